"""The data's own page: what was listed, what was rejected and why, duplicates, conflicts, splits and leaks.

In: the tables of ingest, clean and split. Out: `reports/data.html`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cache.atomic import write_text
from stages.core.errors import StageError
from stages.core.pages.render import render
from stages.core.pages.thumbnails import make_thumbnails
from stages.core.tables.columns import CONFLICTS, INGEST_PROBLEMS
from stages.core.tables.csv_files import read_table
from stages.report import tables
from stages.report.settings import TEMPLATES, ReportSettings
from stages.report.sources import Collection, read_collection

DUPLICATE_GROUPS = 24
DUPLICATE_IMAGES = 6
SHOWN_CONFLICTS = 48
# Rows of a table on the page; the file it comes from has all.
ROWS = 500


@dataclass(frozen=True)
class Conflict:
    """A picture whose copies carry different labels: each copy with its label."""

    attribute: str
    copies: list[tuple[str, str]]


def write_data_page(
    *,
    settings: ReportSettings,
    targets: list[str],
    images: Path,
    manifest: Path,
    rejected: Path,
    splits: Path,
    backbone: Path,
    features: Path,
    conflicts: Path,
    ingest_problems: Path,
    split_report: Path,
    destination: Path,
    n_jobs: int = -1,
) -> Path:
    """Write `destination/data.html`.

    `conflicts`, `ingest_problems` and `split_report` may be missing; the other parameters and errors are as in
    `write_report`.
    """
    collection = read_collection(
        manifest=manifest, rejected=rejected, splits=splits, backbone=backbone, features=features
    )
    duplicates, found = tables.duplicates(collection.splits), read_conflicts(conflicts)
    html = render(
        "data.html",
        folder=TEMPLATES,
        target="",
        page="data",
        targets=targets,
        root="",
        thumbnails=make_thumbnails(images, _thumbnails(duplicates, found, settings.thumbnail_px), n_jobs=n_jobs),
        collection=collection,
        attributes=tables.attributes(collection),
        split_rows=tables.split_rows(collection.splits),
        rejections=tables.rejections(collection.rejected),
        duplicates=duplicates,
        duplicate_limits=(DUPLICATE_GROUPS, DUPLICATE_IMAGES),
        conflicts=found[:SHOWN_CONFLICTS],
        conflicts_total=len(found),
        split=_split_report(split_report),
        problems=_problems(ingest_problems),
        row_limit=ROWS,
        provenance=provenance(collection, settings),
    )
    page = destination / "data.html"
    write_text(page, html)
    return page


def read_conflicts(path: Path) -> list[Conflict]:
    """Read the pictures whose copies disagree, those with most copies first; none where there is no file."""
    if not path.is_file():
        return []
    table = read_table(path, CONFLICTS)
    found = [
        Conflict(attribute, list(zip(part["image"], part["label"], strict=True)))
        for (attribute, _), part in table.groupby(["attribute", "group"], sort=False)
    ]
    return sorted(found, key=lambda conflict: -len(conflict.copies))


def provenance(collection: Collection, settings: ReportSettings) -> list[tuple[str, list[tuple[str, str]]]]:
    """Titled lists of names and values that concern all pages."""
    return [
        ("Backbone", list(tables.flattened(collection.backbone))),
        ("Features", list(tables.flattened(collection.features))),
        ("Report settings", list(tables.flattened(settings.model_dump()))),
        ("Libraries that wrote this page", tables.library_versions()),
    ]


def _split_report(path: Path) -> dict[str, Any] | None:
    """What split found; leaks become a list of (what, where, names)."""
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        leaks = [
            (kind, where, [", ".join(name) if isinstance(name, list) else str(name) for name in names])
            for kind, places in found.get("leaks", {}).items()
            for where, names in places.items()
            if names
        ]
        beyond = [row for row in found.get("classes", []) if row["deviation"] > row["allowed"] + 0.005]
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise StageError(f"{path} is not a split report ({error!r}): run `pipeline split` again") from None
    return found | {"leaks": leaks, "beyond": beyond}


def _problems(path: Path) -> pd.DataFrame | None:
    """What ingest found wrong with the source; None where there is no file."""
    if not path.is_file():
        return None
    return read_table(path, INGEST_PROBLEMS)


def _thumbnails(duplicates: tables.Duplicates, conflicts: list[Conflict], px: int) -> dict[str, int]:
    copies = [image for group in duplicates.groups[:DUPLICATE_GROUPS] for image in group[:DUPLICATE_IMAGES]]
    disagreeing = [image for conflict in conflicts[:SHOWN_CONFLICTS] for image, _ in conflict.copies[:DUPLICATE_IMAGES]]
    return dict.fromkeys([*copies, *disagreeing], px)
