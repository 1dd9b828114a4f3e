"""Any label source becomes one manifest: a row per image, a column per attribute.

In: label files or folders. Out: `data/manifest.csv`.
Whether the images can be read is left to `clean`.
"""
