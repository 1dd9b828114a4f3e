"""Label cells, the common form of all sources: check them, merge them per image, lay them out as the manifest.

In: rows `(image, attribute, value, file, row)` as a source lists them. Out: a row per image, a column per attribute.
A bad path costs its row, a bad label its cell, and each is noted.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pandas as pd

from stages.core.errors import StageError
from stages.core.tables.columns import LABEL_NAME_RULE, RESERVED_NAMES, SPLITS, is_source_split, label_name_problem
from stages.core.tables.labels import CONTROL, clean_label, normalise
from stages.core.tables.problems import Problems

# Other collections' names of the splits.
SPLIT_NAMES = {"validation": "val", "valid": "val", "dev": "val", "training": "train", "testing": "test"}
CELL_COLUMNS = ["image", "attribute", "value", "file", "row"]


class SourceLabels(NamedTuple):
    """What a label source lists.

    Attributes
    ----------
    cells
        As `make_cells` makes them.
    attributes
        The columns of the manifest after `image`, in order.
    """

    cells: pd.DataFrame
    attributes: list[str]


def check_attribute(name: str, where: Path | str) -> None:
    """Refuse a label column whose name cannot be a target.

    Raises
    ------
    StageError
        Naming the column, and how to map it.
    """
    if name in RESERVED_NAMES:
        raise StageError(f"{where}: a label column cannot be called {name!r}: rename it with dataset.columns")
    if label_name_problem(name):
        raise StageError(
            f"{where}: column {name!r} cannot be a label column, whose name {LABEL_NAME_RULE}: "
            "map the columns you need with dataset.columns, such as {style: 'Art Style'}"
        )


def make_cells(images: pd.Series, values: dict[str, pd.Series], file: Path | str, rows: pd.Series) -> pd.DataFrame:
    """Lay out a table with a column per attribute as cells; each argument has a row per row of the table."""
    parts = [
        pd.DataFrame({"image": images, "attribute": attribute, "value": column, "file": str(file), "row": rows})
        for attribute, column in values.items()
    ]
    return pd.concat(parts, ignore_index=True)[CELL_COLUMNS]


def check_cells(cells: pd.DataFrame, problems: Problems) -> pd.DataFrame:
    """Drop cells whose path names no file under the image root, and correct or empty labels that are no labels."""
    cells = cells.assign(image=_map_distinct(cells["image"], normalise), value=_map_distinct(cells["value"], normalise))
    found = _map_distinct(cells["image"], path_problem)
    for _, cell in cells[found != ""].drop_duplicates(["file", "row"]).iterrows():
        problems.add(cell["file"], cell["row"], f"image path {found[cell.name]}", cell["image"])
    cells = cells[found == ""]
    cells = cells.assign(image=_map_distinct(cells["image"], lambda image: PurePosixPath(image).as_posix()))
    source_split = cells["attribute"].map(is_source_split).to_numpy(dtype=bool)
    clean = _map_distinct(cells["value"], clean_label).where(~source_split, _map_distinct(cells["value"], clean_split))
    for _, cell in cells[clean != cells["value"]].iterrows():
        if clean[cell.name] not in SPLITS:
            problems.add(cell["file"], cell["row"], "label is no plain name", f"{cell['attribute']}: {cell['value']}")
    return cells.assign(value=clean)


def empty_no_labels(cells: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Empty the cells whose label is one of `names` (case-insensitive): a source's word for "not known"."""
    known = {normalise(name).casefold() for name in names}
    is_none = _map_distinct(cells["value"], lambda label: label.casefold() in known).to_numpy(dtype=bool)
    return cells.assign(value=cells["value"].mask(is_none, ""))


def _map_distinct(column: pd.Series, function: Callable[[str], object]) -> pd.Series:
    """`column.map(function)`, computed once per distinct text."""
    return column.map({text: function(text) for text in column.unique()})


def path_problem(image: str) -> str:
    """What keeps a text from naming a file under the image root; empty if nothing does.

    >>> path_problem("../secret.png")
    'has .. in it'
    """
    if not image:
        return "is empty"
    # Mis-decoded names hold C1 controls (0x80 to 0x9f); they are valid names.
    if CONTROL.search(image):
        return "has control characters"
    if PurePosixPath(image).is_absolute() or re.match(r"[A-Za-z]:[\\/]|\\\\", image):
        return "is absolute; it must be relative to dataset.images"
    if ".." in PurePosixPath(image).parts:
        return "has .. in it"
    encoded = image.encode("utf-8", "surrogatepass")
    if len(encoded) > 4095 or max(len(part.encode("utf-8", "surrogatepass")) for part in image.split("/")) > 255:
        return "is longer than a file system allows"
    if encoded.decode("utf-8", "replace") != image:
        return "is not Unicode"
    return ""


def clean_split(name: str) -> str:
    """Give a split its name (train, val or test) if the text is one of the usual names; else an empty text.

    >>> clean_split("Validation")
    'val'
    """
    lower = name.lower()
    return lower if lower in SPLITS else SPLIT_NAMES.get(lower, "")


def merge_cells(cells: pd.DataFrame, attributes: Sequence[str], problems: Problems) -> pd.DataFrame:
    """Make one row per image, ascending, and one column per attribute.

    Where the rows of an image disagree about an attribute, the image has no label there; both rows are noted.
    """
    labelled = cells[cells["value"] != ""]
    distinct = labelled.drop_duplicates(["image", "attribute", "value"])
    disagreeing = distinct.duplicated(["image", "attribute"], keep=False)
    for (image, attribute), rows in distinct[disagreeing].groupby(["image", "attribute"], sort=True):
        first, last = rows.iloc[0], rows.iloc[-1]
        detail = (
            f"{image}: {attribute} is {first['value']!r}, but {last['value']!r} in {first['file']}, row {first['row']}"
        )
        problems.add(last["file"], last["row"], "labels of one image disagree", detail)
    twice = labelled.duplicated(["image", "attribute", "value", "file"], keep="first")
    for _, cell in labelled[twice].drop_duplicates(["file", "row"]).iterrows():
        problems.add(cell["file"], cell["row"], "image is listed again", cell["image"])
    wide = distinct[~disagreeing].pivot(index="image", columns="attribute", values="value")
    every = sorted(cells["image"].unique())
    wide = wide.reindex(index=every, columns=list(attributes), fill_value="").fillna("")
    return wide.rename_axis(columns=None).rename_axis(index="image").reset_index()
