"""Find the artworks that do not fit: low confidence, suspect labels, out of distribution, conflicting labels.

In: `data/features/`, `data/splits.csv`, `models/heads/TARGET/`. Out: `reports/TARGET/outliers.csv` and the tables that
say what the misclassified have in common.
"""
