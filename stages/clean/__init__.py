"""Keep the images that can be used, say why the others cannot, and group the duplicates.

In: `data/manifest.csv` and the image files. Out: `data/clean.csv`, `data/rejected.csv`, `data/conflicts.csv`.
Nothing is deleted or rewritten.
"""
