"""Review: pages on this machine where a person says of each suspect whether its label is wrong, it is bad, or fine.

In: `reports/TARGET/outliers.csv` and the images. Out: `data/review.csv`, which `ingest` applies.
"""
