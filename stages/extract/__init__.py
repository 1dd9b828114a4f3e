"""Stage one: every image through the backbone once, its feature tensor into the cache.

In: `data/splits.csv`, the images, `models/backbone.*`. Out: the store `.features/` and the published `data/features/`.
"""
