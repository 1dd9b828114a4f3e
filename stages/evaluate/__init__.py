"""Score a head on val and test, next to baselines on the same features.

In: `models/heads/TARGET/`, `data/features/`, `data/splits.csv`. Out: tables and plots in `reports/TARGET/`.
"""
