"""Cached features joined with the labels of a target, and where in memory they lie."""
