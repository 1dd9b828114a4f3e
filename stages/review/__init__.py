"""Review: pages on this machine on which a person decides about suspects: label wrong, image bad, or fine.

In: `reports/TARGET/outliers.csv` and the images. Out: `data/review.csv`, which `ingest` applies.
"""
