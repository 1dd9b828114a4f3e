"""Compare two runs on the test images that both have, and tell a difference from chance.

In: the predictions of two folders, git revisions or DVC experiments. Out: `reports/comparison/`.
"""
