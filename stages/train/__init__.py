"""Stage two: a head per target on cached features.

In: `data/features/` and `data/splits.csv`. Out: `models/heads/TARGET/` with the head, its card and the training log.
"""
