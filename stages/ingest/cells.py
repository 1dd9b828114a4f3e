"""Label cells, the common form of all sources: checked, merged per image, laid out as the manifest.

In: rows `(image, attribute, value, file, row)` as a source lists them. Out: a row per image, a column per attribute.
A bad path costs its row, a bad label its cell, and each is noted.
"""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from stages.core.errors import StageError
from stages.core.tables.csv_files import is_own_split
from stages.core.tables.labels import CONTROL, clean_label, normalise
from stages.core.tables.problems import Problems

# What later stages add to the table; a label column of the same name would be overwritten.
RESERVED_COLUMNS = {"image", "sha256", "width", "height", "mode", "group"}
SPLITS = {"train", "val", "test"}
# How other collections call them.
SPLIT_NAMES = {"validation": "val", "valid": "val", "dev": "val", "training": "train", "testing": "test"}
ATTRIBUTE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
COLUMNS = ["image", "attribute", "value", "file", "row"]


def check_attribute(name: str, where: Path | str) -> None:
    """Refuse a label column whose name cannot be a target.

    Raises
    ------
    StageError
        Naming the column, and how to map it.
    """
    if name in RESERVED_COLUMNS:
        raise StageError(f"{where}: a label column cannot be called {name!r}: rename it with dataset.columns")
    if not ATTRIBUTE_NAME.fullmatch(name):
        raise StageError(
            f"{where}: column {name!r} cannot be an attribute (letters, digits, _ and - only): "
            "map the columns you need with dataset.columns, such as {style: 'Art Style'}"
        )


def cells_of(images: pd.Series, values: dict[str, pd.Series], file: Path | str, rows: pd.Series) -> pd.DataFrame:
    """Lay out a table with a column per attribute as cells; each argument has a row per row of the table."""
    parts = [
        pd.DataFrame({"image": images, "attribute": attribute, "value": column, "file": str(file), "row": rows})
        for attribute, column in values.items()
    ]
    return pd.concat(parts, ignore_index=True)[COLUMNS]


def checked(cells: pd.DataFrame, problems: Problems) -> pd.DataFrame:
    """Drop cells whose path names no file under the image root, and mend or empty labels that are no labels."""
    cells = cells.assign(image=_mapped(cells["image"], normalise), value=_mapped(cells["value"], normalise))
    found = _mapped(cells["image"], path_problem)
    for _, cell in cells[found != ""].drop_duplicates(["file", "row"]).iterrows():
        problems.add(cell["file"], cell["row"], f"image path {found[cell.name]}", cell["image"])
    cells = cells[found == ""]
    cells = cells.assign(image=_mapped(cells["image"], lambda image: PurePosixPath(image).as_posix()))
    own_split = cells["attribute"].map(is_own_split).to_numpy(dtype=bool)
    clean = _mapped(cells["value"], clean_label).where(~own_split, _mapped(cells["value"], clean_split))
    for _, cell in cells[clean != cells["value"]].iterrows():
        if clean[cell.name] not in SPLITS:
            problems.add(cell["file"], cell["row"], "label is no plain name", f"{cell['attribute']}: {cell['value']}")
    return cells.assign(value=clean)


def without_no_labels(cells: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Empty the cells whose label is one of `names`, in any case: a source's own word for "not known"."""
    known = {normalise(name).casefold() for name in names}
    is_none = _mapped(cells["value"], lambda label: label.casefold() in known).to_numpy(dtype=bool)
    return cells.assign(value=cells["value"].mask(is_none, ""))


def _mapped(column: pd.Series, function) -> pd.Series:
    """`column.map(function)`, computed once per distinct text."""
    return column.map({text: function(text) for text in column.unique()})


def path_problem(image: str) -> str:
    """What keeps a text from naming a file under the image root; empty if nothing does."""
    if not image:
        return "is empty"
    # Names that were mis-decoded somewhere hold C1 controls (0x80 to 0x9f) and are names all the same.
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
    """train, val or test, by whatever usual name; empty for anything else."""
    lower = name.lower()
    return lower if lower in SPLITS else SPLIT_NAMES.get(lower, "")


def merged(cells: pd.DataFrame, attributes: Sequence[str], problems: Problems) -> pd.DataFrame:
    """One row per image, ascending, and one column per attribute.

    Where the rows of an image disagree about an attribute, it is left unlabelled there, which is noted with both rows.
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
