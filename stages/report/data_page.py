"""The data page: images listed and rejected, duplicates, conflicts, splits and leaks.

In: the tables of ingest, clean and split. Out: `reports/data.html`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cache.atomic import write_text
from stages.core.errors import StageError
from stages.core.pages.render import render
from stages.core.pages.thumbnails import make_thumbnails
from stages.core.records.artefacts import SPLIT_REPORT
from stages.core.records.reading import read_json
from stages.core.tables.columns import CONFLICTS, INGEST_PROBLEMS
from stages.core.tables.csv_files import read_table
from stages.report.collection_summary import (
    Duplicates,
    count_labels,
    count_splits,
    find_duplicates,
    group_rejections,
)
from stages.report.inputs import ReportInputs, read_collection, read_digests
from stages.report.provenance import describe_collection
from stages.report.settings import TEMPLATES, ReportSettings

DUPLICATE_GROUPS = 24
DUPLICATE_IMAGES = 6
SHOWN_CONFLICTS = 48
# Rows of a table on the page; its file has all.
ROWS = 500


@dataclass(frozen=True)
class Conflict:
    """A picture whose copies carry different labels, each copy with its label."""

    attribute: str
    copies: list[tuple[str, str]]


def write_data_page(
    *, settings: ReportSettings, inputs: ReportInputs, targets: Sequence[str], destination: Path, n_jobs: int = -1
) -> Path:
    """Write `destination/data.html`; parameters and errors as in `write_report`."""
    collection = read_collection(inputs)
    duplicates, conflicts = find_duplicates(collection.splits), read_conflicts(inputs.conflicts)
    sizes = dict.fromkeys(_list_images(duplicates, conflicts), settings.thumbnail_px)
    html = render(
        "data.html",
        folder=TEMPLATES,
        target="",
        page="data",
        targets=targets,
        root="",
        thumbnails=make_thumbnails(inputs.images, sizes, digests=read_digests(inputs), n_jobs=n_jobs),
        collection=collection,
        attributes=count_labels(collection),
        split_rows=count_splits(collection.splits),
        rejections=group_rejections(collection.rejected),
        duplicates=duplicates,
        duplicate_limits=(DUPLICATE_GROUPS, DUPLICATE_IMAGES),
        conflicts=conflicts[:SHOWN_CONFLICTS],
        conflicts_total=len(conflicts),
        split=_read_split_report(inputs.split_report),
        problems=_read_problems(inputs.ingest_problems),
        row_limit=ROWS,
        provenance=describe_collection(collection, settings),
    )
    page = destination / "data.html"
    write_text(page, html)
    return page


def read_conflicts(path: Path) -> list[Conflict]:
    """Read the pictures whose copies disagree, those with most copies first; an empty list without a file."""
    if not path.is_file():
        return []
    table = read_table(path, CONFLICTS)
    found = [
        Conflict(attribute, list(zip(part["image"], part["label"], strict=True)))
        for (attribute, _), part in table.groupby(["attribute", "group"], sort=False)
    ]
    return sorted(found, key=lambda conflict: -len(conflict.copies))


def _read_split_report(path: Path) -> dict[str, Any] | None:
    """Read the report of split, with leaks as a list of (kind, where, names); None without a file."""
    if not path.is_file():
        return None
    try:
        found = read_json(path, SPLIT_REPORT)
        leaks = [
            (kind, where, [", ".join(name) if isinstance(name, list) else str(name) for name in names])
            for kind, places in found.get("leaks", {}).items()
            for where, names in places.items()
            if names
        ]
        beyond = [row for row in found.get("classes", []) if row["deviation"] > row["allowed"] + 0.005]
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise StageError(f"{path} is not a split report ({error!r}): run `pipeline split` again") from None
    report: dict[str, Any] = found | {"leaks": leaks, "beyond": beyond}
    return report


def _read_problems(path: Path) -> pd.DataFrame | None:
    """Read the problems that ingest found in the source; None without a file."""
    if not path.is_file():
        return None
    return read_table(path, INGEST_PROBLEMS)


def _list_images(duplicates: Duplicates, conflicts: list[Conflict]) -> list[str]:
    """List the images that the page shows."""
    copies = [image for group in duplicates.groups[:DUPLICATE_GROUPS] for image in group[:DUPLICATE_IMAGES]]
    disagreeing = [image for conflict in conflicts[:SHOWN_CONFLICTS] for image, _ in conflict.copies[:DUPLICATE_IMAGES]]
    return [*copies, *disagreeing]
