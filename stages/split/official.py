"""Follow the split that a collection was published with, and find what leaks through it.

In: the table of clean with a column `split`, or columns `split_ATTRIBUTE`. Out: a split per image, the leaks by name.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from stages.core.errors import StageError
from stages.core.tables.columns import SOURCE_SPLIT_PREFIX
from stages.split.classes import GroupClasses
from stages.split.stratify import TEST, TRAIN, VAL, divide

# The column of a split that holds for every attribute; `official_attributes` calls it so too.
WHOLE = "split"
HELD_OUT = ("val", "test")
# `name(1).jpg` is often another photograph of `name.jpg`.
COPY_NUMBER = re.compile(r"\(\d+\)(?=\.[^.]*$)")


@dataclass(frozen=True)
class Leaks:
    """Images that leak from the held-out lists into train.

    Attributes
    ----------
    cross_attribute
        Images in the train list of one attribute and held out by the list of another, by `"TRAIN > HELD OUT"`.
    duplicate_groups
        Groups of duplicates with images on both sides of an attribute's list, by attribute.
    same_file_name
        File names, without a number in brackets, that occur on both sides, by attribute: a hint, since different
        artworks may have the same name.
    """

    cross_attribute: dict[str, list[str]]
    duplicate_groups: dict[str, list[list[str]]]
    same_file_name: dict[str, list[str]]


def official_attributes(table: pd.DataFrame) -> list[str]:
    """Attributes that the source has split, in the order of their columns; `split` is one split of all of them."""
    return [
        column.removeprefix(SOURCE_SPLIT_PREFIX)
        for column in table.columns
        if (column == WHOLE or column.startswith(SOURCE_SPLIT_PREFIX)) and (table[column] != "").any()
    ]


def split_column(attribute: str) -> str:
    """The column that holds the source's split of an attribute.

    >>> split_column("style"), split_column("split")
    ('split_style', 'split')
    """
    return WHOLE if attribute == WHOLE else SOURCE_SPLIT_PREFIX + attribute


def check_official(table: pd.DataFrame, attribute: str | None, clean: object) -> str:
    """The attribute whose lists are followed.

    Raises
    ------
    StageError
        If the source has no split for it, or one that is not train and val (or test).
    """
    available = official_attributes(table)
    if not available:
        raise StageError(
            f"split.source is official, but {clean} has no split_ATTRIBUTE column, nor split: the source has no split; "
            "use own"
        )
    if attribute is None:
        attribute = available[0]
    elif attribute not in available and WHOLE in available:
        attribute = WHOLE
    if attribute not in available:
        raise StageError(
            f"split.official_attribute: {clean} has no split of {attribute!r} (only {', '.join(available)})"
        )
    side = table[split_column(attribute)]
    unknown = ~side.isin(["", "train", *HELD_OUT])
    if unknown.any():
        row = int(np.flatnonzero(unknown)[0])
        raise StageError(
            f"{clean}, row {row + 2}: {split_column(attribute)} is {side.iloc[row]!r}; "
            "it must be train, val, test or empty"
        )
    return attribute


def follow(
    table: pd.DataFrame, attribute: str, classes: GroupClasses, ratios: Sequence[float], random_state: int
) -> np.ndarray:
    """The part of every image: the held-out list is our test; our val is taken from the train list by whole groups.

    Images that the lists do not name go where a listed duplicate of theirs went, and are divided by `ratios` otherwise.
    A list with all of train, val and test is followed as it is.

    Returns
    -------
    array
        Shape `(n,)`, int8.
    """
    side = table[split_column(attribute)].to_numpy(dtype=str)
    group = np.searchsorted(classes.groups, table["group"].to_numpy(dtype=str))
    has = {
        name: np.bincount(group, side == name, minlength=len(classes.groups)) > 0 for name in ("train", "val", "test")
    }
    three = set(HELD_OUT) <= set(side)
    held_out = has["test"] if three else has["val"] | has["test"]
    parts = np.full(len(classes.groups), TRAIN, dtype=np.int8)
    if three:
        parts[has["val"]] = VAL
    else:
        free = np.flatnonzero(has["train"] & ~held_out)
        train, val = ratios[TRAIN], ratios[VAL]
        parts[free] = divide(classes.take(free), (train / (train + val), val / (train + val), 0.0), random_state)
    parts[held_out] = TEST
    unlisted = np.flatnonzero(~(has["train"] | has["val"] | has["test"]))
    if len(unlisted) >= 3:
        parts[unlisted] = divide(classes.take(unlisted), ratios, random_state)
    of_image: np.ndarray = parts[group]
    # The lists are followed image by image, even where they divide a group of duplicates.
    of_image[side == "train"] = np.where(of_image[side == "train"] == VAL, VAL, TRAIN)
    of_image[np.isin(side, HELD_OUT)] = TEST
    if three:
        of_image[side == "train"], of_image[side == "val"] = TRAIN, VAL
    return of_image


def find_leaks(table: pd.DataFrame) -> Leaks:
    """Name what leaks through the source's own lists."""
    attributes = official_attributes(table)
    image = table["image"].to_numpy()
    train = {a: (table[split_column(a)] == "train").to_numpy() for a in attributes}
    held = {a: table[split_column(a)].isin(HELD_OUT).to_numpy() for a in attributes}
    cross = {f"{a} > {b}": image[train[a] & held[b]].tolist() for a in attributes for b in attributes if a != b}
    file_names = np.array([COPY_NUMBER.sub("", PurePosixPath(name).name) for name in image], dtype=object)
    groups = {a: _both_sides(table["group"].to_numpy(), train[a], held[a]) for a in attributes}
    names = {a: _both_sides(file_names, train[a], held[a]) for a in attributes}
    return Leaks(
        cross_attribute=cross,
        duplicate_groups={a: _members(image, table["group"].to_numpy(), found) for a, found in groups.items()},
        same_file_name={a: sorted(found) for a, found in names.items()},
    )


def leaking_rows(table: pd.DataFrame, parts: np.ndarray, attribute: str) -> np.ndarray:
    """Rows of train and val that another list holds out, or that have a duplicate in test; shape `(n,)`, bool."""
    copy_in_test: np.ndarray = table["group"].isin(table.loc[parts == TEST, "group"]).to_numpy()
    others = [a for a in official_attributes(table) if a != attribute]
    listed = (table[split_column(attribute)] == "train").to_numpy()
    held_elsewhere = np.zeros(len(table), dtype=bool)
    for other in others:
        held_elsewhere |= table[split_column(other)].isin(HELD_OUT).to_numpy()
    return np.asarray((parts != TEST) & (copy_in_test | (listed & held_elsewhere)))


def _both_sides(keys: np.ndarray, train: np.ndarray, held: np.ndarray) -> set[str]:
    return set(keys[train]) & set(keys[held])


def _members(image: np.ndarray, group: np.ndarray, chosen: set[str]) -> list[list[str]]:
    rows = np.flatnonzero(pd.Series(group).isin(chosen))
    return [sorted(part) for _, part in pd.Series(image[rows]).groupby(group[rows], sort=True)]
