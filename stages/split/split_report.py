"""Report how a split divides every class, and what leaks through it: as JSON and as a few lines of text.

In: the table with its `split`, and the leaks. Out: `data/split_report.json` and text.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from stages.core.tables.columns import SPLITS
from stages.split.official import Leaks
from stages.split.repair import allowed_deviation

# From this size on, a class's deviation is promised.
PROMISED_SIZE = 20
NAMED = 8


def class_table(table: pd.DataFrame, attributes: Sequence[str], ratios: Sequence[float]) -> pd.DataFrame:
    """Make a table with a row per class: its images per split, and how far they are from the ratios.

    Returns
    -------
    pandas.DataFrame
        `attribute`, `class`, `images`, `train`, `val`, `test`, `deviation` (of the worst split, in images) and
        `allowed` (one image or 2 %, whichever is more).
    """
    parts = [_of_attribute(table, attribute) for attribute in attributes]
    columns = ["attribute", "class", "images", *SPLITS]
    classes = pd.concat([pd.DataFrame(columns=columns), *parts], ignore_index=True)[columns]
    counts = classes[list(SPLITS)].to_numpy(dtype=float)
    images = counts.sum(axis=1)
    classes["deviation"] = np.abs(counts - images[:, None] * np.asarray(ratios)).max(axis=1).round(2)
    classes["allowed"] = allowed_deviation(images).round(2)
    return classes


def _of_attribute(table: pd.DataFrame, attribute: str) -> pd.DataFrame:
    labelled = table[table[attribute] != ""]
    counts = pd.crosstab(labelled[attribute], labelled["split"]).reindex(columns=list(SPLITS), fill_value=0)
    counts = counts.rename_axis("class").rename_axis(None, axis=1).reset_index()
    return counts.assign(attribute=attribute, images=counts[list(SPLITS)].sum(axis=1))


def report_json(found: dict[str, Any], classes: pd.DataFrame, leaks: Leaks) -> str:
    """Write the whole report as JSON; `found` holds what is not in the tables."""
    whole = found | {
        "classes": classes.to_dict("records"),
        "leaks": {
            "cross_attribute": leaks.cross_attribute,
            "duplicate_groups": leaks.duplicate_groups,
            "same_file_name": leaks.same_file_name,
        },
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def deviation_lines(classes: pd.DataFrame) -> list[str]:
    """Write a line per attribute: how well the classes keep their shares, and the worst class."""
    lines = [f"{'attribute':<16}{'classes':>8}{'of 20+':>8}{'beyond':>8}  worst of those of 20 or more"]
    for attribute, rows in classes.groupby("attribute", sort=False):
        large = rows[rows["images"] >= PROMISED_SIZE]
        beyond = large["deviation"] > large["allowed"] + 0.005
        worst = "-"
        if len(large):
            row = large.loc[(large["deviation"] / large["allowed"]).idxmax()]
            share = row["deviation"] / row["images"]
            worst = f"{row['class']} ({row['images']} images): off by {row['deviation']:.1f} ({share:.1%})"
        lines.append(f"{attribute:<16}{len(rows):>8}{len(large):>8}{beyond.sum():>8}  {worst}")
    return lines


def leak_lines(leaks: Leaks) -> list[str]:
    """Write how much leaks through the source's lists; nothing if it has none."""
    lines = [
        f"  {len(images)} images in train of {pair.split(' > ')[0]} are held out by {pair.split(' > ')[1]}"
        for pair, images in leaks.cross_attribute.items()
        if images
    ]
    lines += [f"  {len(g)} groups of duplicates on both sides of {a}" for a, g in leaks.duplicate_groups.items() if g]
    lines += [
        f"  {len(names)} file names on both sides of {attribute} (a hint, never dropped)"
        for attribute, names in leaks.same_file_name.items()
        if names
    ]
    return ["leaks in the source's own lists, named in split_report.json:", *lines] if lines else []


def first_names(names: Sequence[str]) -> str:
    """List the first names, and how many more there are.

    >>> first_names(["a", "b"])
    'a, b'
    """
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
