"""The page of two runs compared: differences with their intervals, classes, and the pictures that changed sides.

In: what `pipeline compare` wrote to `reports/comparison/`. Out: `reports/comparison.html`. No other page links to it:
`dvc repro` makes them, and compares nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cache.atomic import write_text
from stages.core.pages.charts import Chart
from stages.core.pages.render import render
from stages.core.pages.thumbnails import make_thumbnails
from stages.core.records.artefacts import COMPARISON
from stages.core.records.reading import read_json
from stages.core.tables.columns import CHANGES
from stages.core.tables.csv_files import read_table, with_numbers
from stages.report.comparison_chart import draw_differences
from stages.report.inputs import ReportInputs
from stages.report.provenance import Facts, flatten, list_versions
from stages.report.settings import TEMPLATES, ReportSettings

MEASURES = {"accuracy": "accuracy", "f1_macro": "macro F1"}
# Most classes in a chart; the table next to it has all.
CHART_CLASSES = 40
TITLES = {
    "gained": ("Gained", "B is right, A was wrong."),
    "lost": ("Lost", "A is right, B is wrong."),
    "both_wrong": ("Wrong in another way", "Both are wrong, and predict different classes."),
}


@dataclass(frozen=True)
class ChangedImages:
    """Pictures of one target that changed in one way: the first of `total`."""

    title: str
    explanation: str
    images: list[dict[str, Any]]
    total: int


def write_comparison_page(
    *, settings: ReportSettings, inputs: ReportInputs, destination: Path, n_jobs: int = -1
) -> Path:
    """Write `destination/comparison.html`; parameters as in `write_report`.

    Raises
    ------
    StageError
        If nothing has been compared, or a file is not what `pipeline compare` wrote.
    """
    folder = inputs.results / "comparison"
    summary = read_json(folder / "comparison.json", COMPARISON)
    changes = with_numbers(read_table(folder / "changes.csv", CHANGES), CHANGES.numbers)
    compared = {name: found for name, found in summary["targets"].items() if found["images"]}
    galleries = {target: _choose_images(changes, target, settings.gallery_size) for target in compared}
    shown = [image for found in galleries.values() for gallery in found for image in gallery.images]
    html = render(
        "comparison.html",
        folder=TEMPLATES,
        target="",
        page="comparison",
        targets=[name for name in summary["targets"] if (destination / "pages" / f"{name}.html").is_file()],
        root="",
        thumbnails=make_thumbnails(
            inputs.images,
            dict.fromkeys([row["image"] for row in shown], settings.thumbnail_px),
            digests={row["image"]: row["sha256"] for row in shown},
            n_jobs=n_jobs,
        ),
        summary=summary,
        overall=_draw_overall(compared),
        class_charts={target: _draw_classes(target, found) for target, found in compared.items()},
        galleries=galleries,
        provenance=_describe(summary),
    )
    page = destination / "comparison.html"
    write_text(page, html)
    return page


def _draw_overall(compared: Mapping[str, Mapping[str, Any]]) -> Chart:
    rows = [
        _chart_row(f"{target}, {name}", found[measure], found[measure]["significant"])
        for target, found in compared.items()
        for measure, name in MEASURES.items()
    ]
    summary = "Bars are 95 % intervals; right of the line, B is better."
    return draw_differences(pd.DataFrame(rows), title="Difference per target", summary=summary)


def _draw_classes(target: str, found: Mapping[str, Any]) -> Chart:
    """Draw the recall of the classes with the most images."""
    largest = sorted(found["classes"], key=lambda row: -row["images"])[:CHART_CLASSES]
    rows = [_chart_row(row["class"], row["recall"], row["significant"]) for row in largest]
    summary = "Bars are 95 % intervals; a class of few pictures has none. Colours are by the corrected p."
    return draw_differences(pd.DataFrame(rows), title=f"Difference in recall per class of {target}", summary=summary)


def _chart_row(name: str, scores: Mapping[str, Any], significant: bool) -> dict[str, Any]:
    points = {key: None if scores[key] is None else 100 * scores[key] for key in ("difference", "low", "high")}
    return {"name": name, **points, "significant": significant}


def _choose_images(changes: pd.DataFrame, target: str, size: int) -> list[ChangedImages]:
    """The first pictures of each kind of change; kinds without any have no gallery."""
    of_target = changes[changes["target"] == target]
    found = {change: of_target[of_target["change"] == change] for change in TITLES}
    return [
        ChangedImages(*TITLES[change], table.head(size).to_dict("records"), len(table))
        for change, table in found.items()
        if len(table)
    ]


def _describe(summary: Mapping[str, Any]) -> Facts:
    differing = [(row["setting"], f"{row['a']} → {row['b']}") for row in summary["settings_that_differ"]]
    sides = {side.upper(): f"{summary[side]['name']} ({summary[side]['kind']})" for side in ("a", "b")}
    return [
        ("Runs", list(sides.items())),
        ("Settings that differ, A → B", differing or [("none", "as far as they are recorded")]),
        ("Settings of the comparison", list(flatten(summary["settings"]))),
        ("Libraries that wrote this page", list_versions()),
    ]
