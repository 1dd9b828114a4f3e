"""Divide the good images into train, val and test, once for all attributes.

In: `data/clean.csv`. Out: `data/splits.csv`. No duplicate group stands on two sides.
"""
