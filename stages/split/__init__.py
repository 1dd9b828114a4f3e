"""Divide the good images into train, val and test, once for all attributes.

In: `data/clean.csv`. Out: `data/splits.csv`, `data/split_report.json`. No duplicate group is divided.
"""
