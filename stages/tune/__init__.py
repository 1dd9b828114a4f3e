"""Search a head's and its training's settings for one target, on validation only.

In: the published features and the splits. Out: the best settings found, as a table, a page and (if asked) params.yaml.
"""
