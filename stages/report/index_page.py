"""The index: the collection at a glance, every head compared with its baselines, and the planted faults found.

In: the tables of ingest, clean and split, and each target's scores. Out: `reports/index.html`, `reports/selfcheck.csv`.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cache.atomic import write_text
from stages.core.pages.render import render
from stages.core.pages.thumbnails import make_thumbnails
from stages.core.tables.csv_files import write_table
from stages.core.tables.outliers import read_outliers
from stages.report.collection_summary import find_duplicates
from stages.report.inputs import (
    CollectionTables,
    ReportInputs,
    bind_target,
    read_collection,
    read_digests,
    read_metrics,
)
from stages.report.provenance import describe_collection
from stages.report.score_rows import HEADLINES, list_models, make_score_rows
from stages.report.selfcheck import COLUMNS, read_answer_key, score_against_key
from stages.report.settings import TEMPLATES, ReportSettings

# Images in the row at the top of the page.
SHOWN_IMAGES = 16


def write_index(
    *, settings: ReportSettings, inputs: ReportInputs, targets: Sequence[str], destination: Path, n_jobs: int = -1
) -> Path:
    """Write `destination/index.html` and `destination/selfcheck.csv`; parameters and errors as in `write_report`."""
    collection = read_collection(inputs)
    for target in targets:
        bind_target(target, inputs)
    metrics = {target: read_metrics(target, inputs.results) for target in targets}
    models = list(dict.fromkeys(model for scores in metrics.values() for model in list_models(scores)))
    shown_images = _choose_images(collection.splits)
    selfcheck = _check_against_key(inputs, collection, targets)
    html = render(
        "index.html",
        folder=TEMPLATES,
        target="",
        page="index",
        targets=targets,
        root="",
        backbone=collection.backbone,
        thumbnails=make_thumbnails(
            inputs.images,
            dict.fromkeys(shown_images, 2 * settings.thumbnail_px),
            digests=read_digests(inputs),
            n_jobs=n_jobs,
        ),
        shown_images=shown_images,
        metrics=metrics,
        models=models,
        score_rows={name: make_score_rows(metrics[name], models, "test", HEADLINES) for name in targets},
        collection=collection,
        duplicates=find_duplicates(collection.splits),
        selfcheck=selfcheck,
        provenance=describe_collection(collection, settings),
    )
    # `dvc repro` expects the file of every collection: without a key the table is empty.
    write_table(pd.DataFrame(columns=COLUMNS) if selfcheck is None else selfcheck, destination / "selfcheck.csv")
    index = destination / "index.html"
    write_text(index, html)
    return index


def _check_against_key(
    inputs: ReportInputs, collection: CollectionTables, targets: Sequence[str]
) -> pd.DataFrame | None:
    """Count the planted faults that were found; None for a collection without a key."""
    if inputs.answer_key is None:
        return None
    return score_against_key(
        key=read_answer_key(inputs.answer_key),
        rejected=collection.rejected,
        splits=collection.splits,
        outliers={target: read_outliers(target, inputs.results) for target in targets},
    )


def _choose_images(splits: pd.DataFrame) -> list[str]:
    """Choose images evenly spread over the collection, one per group of duplicates."""
    names: list[str] = splits.drop_duplicates("group")["image"].sort_values().tolist()
    step = max(len(names) / SHOWN_IMAGES, 1.0)
    return [names[int((place + 0.5) * step)] for place in range(min(SHOWN_IMAGES, len(names)))]
