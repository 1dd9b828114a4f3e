"""The report stage: an index of the collection and one page per target, each a file that opens without a network.

In: the files of all other stages. Out: `reports/index.html`, `reports/pages/TARGET.html`, and `reports/selfcheck.csv`
where there is an answer key. Equal inputs give equal bytes: no page holds a date.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cache.atomic import write_text
from stages.report import charts, galleries, tables
from stages.report.pages import render
from stages.report.selfcheck import COLUMNS, read_answer_key, score_against_key
from stages.report.settings import ReportSettings
from stages.report.sources import (
    Collection,
    Results,
    read_backbone,
    read_collection,
    read_fingerprint,
    read_metrics,
    read_outliers,
    read_results,
)
from stages.report.thumbnails import make_thumbnails
from stages.tables import write_table

CURVE_TITLES = {"loss": "Loss", "accuracy": "Accuracy", "f1_macro": "Macro F1"}
BARS_CLASSES = 60
HANGING = 16
DUPLICATE_GROUPS = 24
DUPLICATE_IMAGES = 6


def write_report(
    *,
    settings: ReportSettings,
    targets: Sequence[str],
    images: Path,
    manifest: Path,
    rejected: Path,
    splits: Path,
    backbone: Path,
    features: Path,
    heads: Path,
    results: Path,
    destination: Path,
    answer_key: Path | None,
    n_jobs: int = -1,
) -> Path:
    """Write all pages.

    Parameters
    ----------
    settings
        How many pictures, and how large.
    targets
        The label columns that have a head.
    images
        The image root.
    manifest, rejected, splits
        The tables of ingest, clean and split.
    backbone
        The backbone's card, `backbone.json`.
    features
        The published cache, for its `fingerprint.json`.
    heads
        Folder of the trained heads.
    results
        Folder with what evaluate and find-outliers wrote per target.
    destination
        Folder of the pages.
    answer_key
        The list of planted faults, or None for a collection that has none.
    n_jobs
        Threads that make thumbnails; -1 is one per core.

    Returns
    -------
    Path
        The index.

    Raises
    ------
    StageError
        If a file of another stage is missing; the message names the command that writes it.
    """
    for target in targets:
        write_page(
            settings=settings, target=target, images=images, backbone=backbone, features=features,
            heads=heads, results=results, destination=destination, n_jobs=n_jobs,
        )  # fmt: skip
    return write_index(
        settings=settings, targets=targets, images=images, manifest=manifest, rejected=rejected, splits=splits,
        backbone=backbone, features=features, results=results, destination=destination, answer_key=answer_key,
        n_jobs=n_jobs,
    )  # fmt: skip


def write_page(
    *,
    settings: ReportSettings,
    target: str,
    images: Path,
    backbone: Path,
    features: Path,
    heads: Path,
    results: Path,
    destination: Path,
    n_jobs: int = -1,
) -> Path:
    """Write one target's page, `destination/pages/TARGET.html`; parameters and errors as in `write_report`."""
    found = read_results(target, heads=heads, results=results)
    models = tables.models(found.metrics)
    matrix = galleries.matrix(found, settings)
    shown = galleries.galleries(found.outliers, settings.gallery_size, found.confusion.classes)
    html = render(
        "target.html",
        target=target,
        # No link to the other targets' pages: then a further target changes none of them.
        targets=[target],
        root="../",
        backbone=read_backbone(backbone),
        thumbnails=make_thumbnails(
            images, galleries.thumbnail_sizes(matrix, shown, settings.thumbnail_px), n_jobs=n_jobs
        ),
        metrics=found.metrics,
        models=models,
        score_rows={split: tables.score_rows(found.metrics, models, split) for split in ("test", "val")},
        curves=_curves(found),
        per_class=found.per_class,
        bars=_bars(found.per_class),
        matrix=matrix,
        galleries=shown,
        classes=found.confusion.classes,
        provenance=_target_provenance(found, read_fingerprint(features), settings),
    )
    page = destination / "pages" / f"{target}.html"
    write_text(page, html)
    return page


def write_index(
    *,
    settings: ReportSettings,
    targets: Sequence[str],
    images: Path,
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
    selfcheck = _write_selfcheck(answer_key, collection, outliers, destination)
    duplicates = tables.duplicates(collection.splits)
    hanging = _hanging(collection.splits)
    html = render(
        "index.html",
        target="",
        targets=targets,
        root="",
        backbone=collection.backbone,
        thumbnails=make_thumbnails(
            images, _index_thumbnails(hanging, duplicates, settings.thumbnail_px), n_jobs=n_jobs
        ),
        hanging=hanging,
        metrics=metrics,
        models=models,
        score_rows={name: tables.score_rows(metrics[name], models, "test", tables.HEADLINES) for name in targets},
        collection=collection,
        attributes=tables.attributes(collection),
        split_rows=tables.split_rows(collection.splits),
        rejections=tables.rejections(collection.rejected),
        duplicates=duplicates,
        duplicate_limits=(DUPLICATE_GROUPS, DUPLICATE_IMAGES),
        selfcheck=selfcheck,
        provenance=_provenance(collection, settings),
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


def _index_thumbnails(hanging: Sequence[str], duplicates: tables.Duplicates, px: int) -> dict[str, int]:
    copies = [image for group in duplicates.groups[:DUPLICATE_GROUPS] for image in group[:DUPLICATE_IMAGES]]
    return dict.fromkeys(copies, px // 2) | dict.fromkeys(hanging, 2 * px)


def _curves(found: Results) -> list[charts.Chart]:
    return [
        charts.learning_curve(
            found.curves[metric], title=title, best_epoch=found.head.get("epoch"), lower_is_better=metric == "loss"
        )
        for metric, title in CURVE_TITLES.items()
        if len(found.curves[metric])
    ]


def _bars(per_class: pd.DataFrame) -> charts.Chart | None:
    """Bars of the classes with the most test images; the table beside them has all."""
    largest = per_class.sort_values("support", ascending=False, kind="stable").head(BARS_CLASSES)
    return charts.class_bars(largest) if len(largest) else None


def _provenance(collection: Collection, settings: ReportSettings) -> list[tuple[str, list[tuple[str, str]]]]:
    """Titled lists of names and values."""
    return [
        ("Backbone", list(tables.flattened(collection.backbone))),
        ("Features", list(tables.flattened(collection.features))),
        ("Report settings", list(tables.flattened(settings.model_dump()))),
        ("Libraries that wrote this page", tables.library_versions()),
    ]


def _target_provenance(
    found: Results, features: dict[str, Any], settings: ReportSettings
) -> list[tuple[str, list[tuple[str, str]]]]:
    head = {name: value for name, value in found.head.items() if name != "classes"}
    return [
        ("Head", list(tables.flattened(head))),
        ("Features", list(tables.flattened({name: features[name] for name in features if name != "description"}))),
        ("Report settings", list(tables.flattened(settings.model_dump()))),
        ("SHA-256 of the files behind this page", list(found.digests.items())),
    ]
