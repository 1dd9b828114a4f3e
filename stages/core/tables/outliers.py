"""The tables of outliers and of their kinds: columns, and how they are read.

In: `outliers.csv` and `outlier_kinds.csv` in `reports/TARGET`. Out: the outliers with numbers as floats and neighbours
as lists, and a title and an explanation per kind. Which kinds exist is left to the stage that writes the files.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from stages.core.errors import StageError
from stages.core.tables.csv_files import read_text_table, with_numbers

OUTLIER_COLUMNS = [
    "image",
    "kind",
    "rank",
    "score",
    "y_true",
    "y_pred",
    "confidence",
    "suggested",
    "reason",
    "neighbours",
]
# Further measures of confidence; readers accept a table without them.
OPTIONAL_COLUMNS = ["margin", "entropy"]
KIND_COLUMNS = ["kind", "title", "explanation"]


class KindTexts(NamedTuple):
    """What pages write above the outliers of one kind."""

    title: str
    explanation: str


def read_outliers(target: str, results: Path) -> pd.DataFrame:
    """Read one target's outliers, ranked within each kind; `neighbours` becomes a list of image paths per row.

    The numbers `margin` and `entropy` are NaN where the table has no such column.

    Raises
    ------
    StageError
        If the file is missing or unreadable, or lacks a column.
    """
    path, command = results / target / "outliers.csv", f"pipeline find-outliers --target {target}"
    table = read_text_table(path, OUTLIER_COLUMNS, command)
    table = table.assign(**{column: "" for column in OPTIONAL_COLUMNS if column not in table})
    table = with_numbers(table, ["rank", "score", "confidence", *OPTIONAL_COLUMNS])
    try:
        neighbours = [[str(image) for image in json.loads(text or "[]")] for text in table["neighbours"]]
    except (ValueError, TypeError):
        raise StageError(f"{path}: a cell of `neighbours` is not a JSON array: run `{command}` again") from None
    return table.assign(neighbours=pd.Series(neighbours, index=table.index, dtype=object)).sort_values(
        "rank", kind="stable"
    )


def read_outlier_kinds(target: str, results: Path, present: Iterable[str]) -> dict[str, KindTexts]:
    """Read the texts of the kinds that one target's outliers have, in the order in which pages show them.

    Parameters
    ----------
    target
        The label column.
    results
        The folder `reports`.
    present
        The kinds to describe. Those that the file does not list come last, with their name as the title and no
        explanation; so do all of them if there is no file.

    Raises
    ------
    StageError
        If the file is unreadable or lacks a column.
    """
    wanted = list(dict.fromkeys(present))
    path = results / target / "outlier_kinds.csv"
    listed: dict[str, KindTexts] = {}
    if path.is_file():
        table = read_text_table(path, KIND_COLUMNS, f"pipeline find-outliers --target {target}")
        texts = zip(table["kind"], table["title"], table["explanation"], strict=True)
        listed = {kind: KindTexts(title, explanation) for kind, title, explanation in texts if kind in wanted}
    return listed | {kind: KindTexts(title_of(kind), "") for kind in wanted if kind not in listed}


def title_of(kind: str) -> str:
    """Turn a kind's name into a title.

    >>> title_of("low_confidence")
    'Low confidence'
    """
    return kind.replace("_", " ").capitalize()
