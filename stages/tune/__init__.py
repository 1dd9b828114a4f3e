"""Search the settings of a head and its training for one target, on validation only.

In: the published features and the splits. Out: the best settings, as a table, a page and (with --write) in params.yaml.
"""
