"""Predict the labels of new image files, by the code path of extraction."""
