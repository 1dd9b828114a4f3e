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
from stages.core.tables.columns import OUTLIER_KINDS, OUTLIERS
from stages.core.tables.csv_files import read_table, with_numbers


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
    path = results / target / "outliers.csv"
    table = read_table(path, OUTLIERS, target=target)
    table = table.assign(**{column: "" for column in OUTLIERS.optional if column not in table})
    table = with_numbers(table, OUTLIERS.numbers)
    try:
        neighbours = [[str(image) for image in json.loads(text or "[]")] for text in table["neighbours"]]
    except (ValueError, TypeError, RecursionError):
        command = OUTLIERS.command_for(target)
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
        table = read_table(path, OUTLIER_KINDS, target=target)
        texts = zip(table["kind"], table["title"], table["explanation"], strict=True)
        listed = {kind: KindTexts(title, explanation) for kind, title, explanation in texts if kind in wanted}
    return listed | {kind: KindTexts(title_of(kind), "") for kind in wanted if kind not in listed}


def title_of(kind: str) -> str:
    """Turn a kind's name into a title.

    >>> title_of("low_confidence")
    'Low confidence'
    """
    return kind.replace("_", " ").capitalize()
