"""The label lists of the ArtGAN project ("refined WikiArt"), as published.

In: the folder of the nine lists (Tan et al., "Improved ArtGAN for Conditional Synthesis of Natural Image and Artwork",
IEEE TIP 2019). Out: label cells, and the lists' own train and val as `split_style`, `split_genre`, `split_artist`.
The label comes from the list, never from the folder of the image: the two differ for Art Nouveau.
"""

import re
from pathlib import Path

import pandas as pd

from stages.core.errors import StageError
from stages.core.tables.columns import SOURCE_SPLIT_PREFIX
from stages.core.tables.problems import Problems
from stages.core.tables.text_files import read_text
from stages.ingest.label_cells import SourceLabels, make_cells

ATTRIBUTES = ("style", "genre", "artist")
SUFFIXES = ("", ".csv", ".txt")
# The path may hold commas; the artist lists have an empty column before the class.
ROW = r"^(?P<image>.+?)\s*,[\s,]*(?P<index>-?\d+)\s*$"
LINE_END = re.compile(r"\r\n|\n|\r")  # str.splitlines would cut mis-decoded names in two at 0x85


def read_artgan(problems: Problems, *, labels: str) -> SourceLabels:
    """Read the lists of every attribute in a folder.

    Parameters
    ----------
    problems
        Where rows that cannot be read are noted.
    labels
        The folder of the lists.

    Raises
    ------
    StageError
        If the folder has none of the lists, or only a part of an attribute's three.
    """
    folder = Path(labels)
    if not folder.is_dir():
        raise StageError(f"dataset.labels is {folder}, which is not a folder: set it to the folder of the ArtGAN lists")
    present = [
        attribute for attribute in ATTRIBUTES if any(_find(folder, attribute, kind) for kind in ("train", "val"))
    ]
    if not present:
        raise StageError(
            f"{folder} has no style_train.csv, genre_train.csv or artist_train: unpack the ArtGAN lists there"
        )
    cells = [
        _read_list(folder, attribute, kind, _read_classes(_required(folder, attribute, "class"), problems), problems)
        for attribute in present
        for kind in ("train", "val")
    ]
    splits = [SOURCE_SPLIT_PREFIX + attribute for attribute in present]
    return SourceLabels(pd.concat(cells, ignore_index=True), [*present, *splits])


def _find(folder: Path, attribute: str, kind: str) -> Path | None:
    candidates = [folder / f"{attribute}_{kind}{suffix}" for suffix in SUFFIXES]
    return next((path for path in candidates if path.is_file()), None)


def _required(folder: Path, attribute: str, kind: str) -> Path:
    path = _find(folder, attribute, kind)
    if path is None:
        raise StageError(
            f"{folder} has no {attribute}_{kind} (with .csv, .txt or nothing behind): unpack all nine lists there"
        )
    return path


def _read_classes(path: Path, problems: Problems) -> dict[int, str]:
    """Lines of index and name."""
    classes = {}
    for number, line in enumerate(LINE_END.split(read_text(path, problems)), start=1):
        index, _, name = line.strip().partition(" ")
        if index.isdecimal() and name.strip():
            classes[int(index)] = name.strip()
        elif line.strip():
            problems.add(path, number, "row cannot be read", line)
    return classes


def _read_list(folder: Path, attribute: str, kind: str, classes: dict[int, str], problems: Problems) -> pd.DataFrame:
    path = _required(folder, attribute, kind)
    lines = pd.Series(LINE_END.split(read_text(path, problems)))
    lines.index += 1
    parsed = lines.str.extract(ROW)
    bad = parsed["image"].isna() & (lines.str.strip() != "")
    for number in lines.index[bad]:
        if number > 1:  # the first may be a header
            problems.add(path, number, "row cannot be read", lines[number])
    parsed = parsed.dropna()
    labels = parsed["index"].astype(int).map(classes)
    for number in parsed.index[labels.isna()]:
        detail = f"{attribute} {parsed.loc[number, 'index']} of {parsed.loc[number, 'image']}"
        problems.add(path, number, "class index is not in the class file", detail)
    split = pd.Series(kind, index=parsed.index).where(labels.notna(), "")
    values = {attribute: labels.fillna(""), SOURCE_SPLIT_PREFIX + attribute: split}
    return make_cells(parsed["image"], values, path, parsed.index.to_series())
