"""Label cells, the common form of all sources: check them, merge them per image, lay them out as the manifest.

In: rows `(image, attribute, value, file, row)` as a source lists them. Out: a row per image, a column per attribute.
A bad path costs its row, a bad label its cell, and each is noted.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pandas as pd

from stages.core.errors import StageError
from stages.core.tables.columns import LABEL_NAME_RULE, RESERVED_NAMES, label_name_problem
from stages.core.tables.labels import CONTROL, MAX_LABEL, clean_label, normalise
from stages.core.tables.problems import Problems

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


def attribute_problem(name: str) -> str:
    """What keeps a column from being a label column; empty if nothing does."""
    if name in RESERVED_NAMES:
        return f"a label column cannot be called {name!r}: rename it with dataset.columns"
    if label_name_problem(name):
        return (
            f"column {name!r} cannot be a label column, whose name {LABEL_NAME_RULE}: "
            "map the columns you need with dataset.columns, such as {style: 'Art Style'}"
        )
    return ""


def check_attribute(name: str, where: Path | str) -> None:
    """Refuse a label column whose name cannot be a target.

    Raises
    ------
    StageError
        Naming the column, and how to map it.
    """
    if problem := attribute_problem(name):
        raise StageError(f"{where}: {problem}")


def make_cells(images: pd.Series, values: dict[str, pd.Series], file: Path | str, rows: pd.Series) -> pd.DataFrame:
    """Lay out a table with a column per attribute as cells; each argument has a row per row of the table."""
    parts = [
        pd.DataFrame({"image": images, "attribute": attribute, "value": column, "file": str(file), "row": rows})
        for attribute, column in values.items()
    ]
    return pd.concat(parts, ignore_index=True)[CELL_COLUMNS]


def check_paths(cells: pd.DataFrame, problems: Problems) -> pd.DataFrame:
    """Drop cells whose path names no file under the image root; each is noted."""
    found = _map_distinct(cells["image"], path_problem)
    for _, cell in cells[found != ""].drop_duplicates(["file", "row"]).iterrows():
        problems.add(cell["file"], cell["row"], f"image path {found[cell.name]}", cell["image"])
    return cells[found == ""]


def clean_cells(cells: pd.DataFrame, problems: Problems) -> pd.DataFrame:
    """Give labels their one spelling; every cell that changes by more than its form and outer spaces is noted."""
    plain = _map_distinct(cells["value"], normalise)
    clean = _map_distinct(plain, clean_label)
    for _, cell in cells[clean != plain].iterrows():
        detail = f"{cell['attribute']}: {cell['value']!r} is {clean[cell.name]!r}"
        problems.add(cell["file"], cell["row"], "label had invisible characters, or spaces in a row", detail)
    long = clean.str.len() > MAX_LABEL
    for _, cell in cells[long].iterrows():
        detail = f"{cell['attribute']}: {cell['value']}"
        problems.add(cell["file"], cell["row"], f"label is longer than {MAX_LABEL} characters: left out", detail)
    return cells.assign(value=clean.mask(long, ""))


def map_labels(cells: pd.DataFrame, mapping: Mapping[str, Mapping[str, str]], problems: Problems) -> pd.DataFrame:
    """Give labels the names that `dataset.map` has for them; what each one joins is noted."""
    values = cells["value"]
    for attribute, names in mapping.items():
        for old, new in names.items():
            chosen = (cells["attribute"] == attribute) & (cells["value"] == clean_label(normalise(old)))
            detail = f"{attribute}: {old!r} to {new!r} in {chosen.sum()} cells"
            if chosen.any():
                problems.add(*_first(cells[chosen]), "label is renamed by dataset.map", detail)
                values = values.mask(chosen, clean_label(normalise(new)))
            else:
                problems.add("dataset.map", 0, "no cell has the label to rename", detail)
    return cells.assign(value=values)


def empty_no_labels(cells: pd.DataFrame, names: Sequence[str], problems: Problems) -> pd.DataFrame:
    """Empty the cells whose label is one of `names` (case-insensitive): a source's word for "not known"."""
    known = {normalise(name).casefold() for name in names}
    is_none = _map_distinct(cells["value"], lambda text: bool(text) and text.casefold() in known).to_numpy(dtype=bool)
    for (attribute, word), rows in cells[is_none].groupby(["attribute", "value"], sort=True):
        detail = f"{attribute}: {word!r} in {len(rows)} cells"
        problems.add(*_first(rows), "not known, by dataset.no_label: unlabelled", detail)
    return cells.assign(value=cells["value"].mask(is_none, ""))


def _first(cells: pd.DataFrame) -> tuple[str, int]:
    return str(cells["file"].iloc[0]), int(cells["row"].iloc[0])


def _map_distinct(column: pd.Series, function: Callable[[str], object]) -> pd.Series:
    """`column.map(function)`, computed once per distinct text."""
    return column.map({text: function(text) for text in column.unique()})


def path_problem(image: str) -> str:
    """What keeps a text from naming a file under the image root; empty if nothing does.

    >>> path_problem("../secret.png")
    'has .. in it'
    """
    if image in ("", "."):
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
