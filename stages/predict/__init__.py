"""The stage predict: the labels of new image files, by the code path of extraction.

In: image files, `models/backbone.*`, `models/heads/`. Out: the most probable labels per file and target.
"""
