"""Find the artworks that do not fit: unsure, probably mislabelled, or like nothing else.

In: `data/features/`, `data/splits.csv`, `models/heads/TARGET/`. Out: `reports/TARGET/outliers.csv`.
"""
