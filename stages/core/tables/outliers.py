"""The table of outliers: its columns, what its kinds mean, and how it is read.

In: `reports/TARGET/outliers.csv`. Out: its rows with numbers as floats and neighbours as lists.
"""

import json
from pathlib import Path

import pandas as pd

from stages.core.errors import StageError
from stages.core.tables.columns import OUTLIERS
from stages.core.tables.csv_files import read_table, with_numbers

OUTLIER_COLUMNS = OUTLIERS.names
KINDS = {
    "suspect_label": (
        "Suspect labels",
        "The head is sure of another label: either the label is wrong, or the mistake is worth a look.",
    ),
    "low_confidence": (
        "Low confidence",
        "No label convinces the head: works between two classes, or unlike the others of theirs.",
    ),
    "unlike_anything": (
        "Unlike anything",
        "Far from every other image in feature space: often no artwork of this collection at all.",
    ),
    "conflicting_labels": (
        "Conflicting labels",
        "Copies of one picture that carry different labels: at most one of them is right.",
    ),
}


def read_outliers(target: str, results: Path) -> pd.DataFrame:
    """Read one target's outliers, ranked within each kind; `neighbours` becomes a list of image paths per row.

    The numbers `margin` and `entropy` are NaN where the table has no such column.
    """
    path = results / target / "outliers.csv"
    table = read_table(path, OUTLIERS, target=target)
    table = table.assign(**{column: "" for column in OUTLIERS.optional if column not in table})
    table = with_numbers(table, OUTLIERS.numbers)
    try:
        neighbours = [[str(image) for image in json.loads(text or "[]")] for text in table["neighbours"]]
    except (ValueError, TypeError):
        command = OUTLIERS.command_for(target)
        raise StageError(f"{path}: a cell of `neighbours` is not a JSON array: run `{command}` again") from None
    return table.assign(neighbours=pd.Series(neighbours, index=table.index, dtype=object)).sort_values(
        "rank", kind="stable"
    )
