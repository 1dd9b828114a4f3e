"""The work, one package per step: ingest, clean, split, backbone, extract, train, evaluate, outliers, report.

A package's `settings.py` says what can be set and imports nothing heavy; its `run.py` holds the entry function.
"""
