"""The front page: the collection at a glance, every head beside its baselines, the planted faults that were found.

In: the tables of ingest, clean and split, and each target's scores. Out: `reports/index.html`, `reports/selfcheck.csv`.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cache.atomic import write_text
from stages.core.images.files import ImageFolder
from stages.core.pages.render import render
from stages.core.pages.thumbnails import make_thumbnails
from stages.core.tables.csv_files import write_table
from stages.core.tables.outliers import read_outliers
from stages.report import tables
from stages.report.data_page import provenance
from stages.report.selfcheck import COLUMNS, read_answer_key, score_against_key
from stages.report.settings import TEMPLATES, ReportSettings
from stages.report.sources import Collection, read_collection, read_metrics

HANGING = 16


def write_index(
    *,
    settings: ReportSettings,
    targets: Sequence[str],
    images: ImageFolder,
    manifest: Path,
    rejected: Path,
    splits: Path,
    backbone: Path,
    features: Path,
    results: Path,
    destination: Path,
    answer_key: Path | None,
    n_jobs: int = -1,
) -> Path:
    """Write the index, and the self-check where there is a key; parameters and errors as in `write_report`."""
    collection = read_collection(
        manifest=manifest, rejected=rejected, splits=splits, backbone=backbone, features=features
    )
    metrics = {target: read_metrics(target, results) for target in targets}
    models = list(dict.fromkeys(model for scores in metrics.values() for model in tables.models(scores)))
    outliers = {target: read_outliers(target, results) for target in targets} if answer_key else {}
    hanging = _hanging(collection.splits)
    html = render(
        "index.html",
        folder=TEMPLATES,
        target="",
        page="index",
        targets=targets,
        root="",
        backbone=collection.backbone,
        thumbnails=make_thumbnails(images, dict.fromkeys(hanging, 2 * settings.thumbnail_px), n_jobs=n_jobs),
        hanging=hanging,
        metrics=metrics,
        models=models,
        score_rows={name: tables.score_rows(metrics[name], models, "test", tables.HEADLINES) for name in targets},
        collection=collection,
        duplicates=tables.duplicates(collection.splits),
        selfcheck=_write_selfcheck(answer_key, collection, outliers, destination),
        provenance=provenance(collection, settings),
    )
    index = destination / "index.html"
    write_text(index, html)
    return index


def _write_selfcheck(
    answer_key: Path | None, collection: Collection, outliers: dict[str, pd.DataFrame], destination: Path
) -> pd.DataFrame | None:
    """Without a key the table is empty: `dvc repro` expects the file of every collection."""
    if answer_key is None:
        write_table(pd.DataFrame(columns=COLUMNS), destination / "selfcheck.csv")
        return None
    selfcheck = score_against_key(
        key=read_answer_key(answer_key), rejected=collection.rejected, splits=collection.splits, outliers=outliers
    )
    write_table(selfcheck, destination / "selfcheck.csv")
    return selfcheck


def _hanging(splits: pd.DataFrame) -> list[str]:
    """Images for the front page's wall, evenly spread over the collection; one per duplicate group."""
    names = splits.drop_duplicates("group")["image"].sort_values().tolist()
    step = max(len(names) / HANGING, 1.0)
    return [names[int((place + 0.5) * step)] for place in range(min(HANGING, len(names)))]
