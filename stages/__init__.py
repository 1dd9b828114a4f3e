"""One package per stage of the DAG (demo, ingest, clean, split, backbone, extract, train, evaluate, outliers, report).

tune, predict and review are commands outside the DAG; `core` holds what several stages share. The module of a stage's
entry function has the function's name. `settings.py` imports nothing heavy.
"""
