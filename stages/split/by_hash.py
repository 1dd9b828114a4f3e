"""Divide pictures by a hash of their name: the part of a picture does not depend on the other pictures.

In: group names. Out: a part for every group.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd


def divide_by_hash(groups: Sequence[str], ratios: Sequence[float], random_state: int) -> np.ndarray:
    """Assign each group to train (0), val (1) or test (2) by its name and the seed alone, shape `(g,)`, int8."""
    places = np.array([_place(group, random_state) for group in groups])
    # The last edge is 1 whatever the rounding of the sum is.
    return np.searchsorted(np.cumsum(ratios)[:2], places, side="right").astype(np.int8)


def _place(group: str, random_state: int) -> float:
    """A pseudo-random number in [0, 1) that depends on the group and the seed alone."""
    return int.from_bytes(hashlib.sha256(f"{random_state}\0{group}".encode()).digest()[:6]) / 2**48


def keep_previous(
    parts: np.ndarray, groups: np.ndarray, table: pd.DataFrame, previous: pd.DataFrame, names: Sequence[str]
) -> tuple[np.ndarray, int]:
    """Put every group that holds an image of an earlier split back where that image was.

    A new duplicate can change a group's name or join two groups: without this, old images would move.

    Parameters
    ----------
    parts, groups
        The new part of each group, and the groups' names, ascending; shape `(g,)`.
    table, previous
        The images now (`image`, `sha256`, `group`), and the earlier split (`image`, `sha256`, `split`).
    names
        What parts 0, 1 and 2 are called.

    Returns
    -------
    tuple
        The parts, and how many old images had to move because groups of two parts became one picture.
    """
    known = dict(
        zip(previous["sha256"].where(previous["sha256"] != "", previous["image"]), previous["split"], strict=True)
    )
    was = table["sha256"].where(table["sha256"] != "", table["image"]).map(known)
    codes = was.map({name: code for code, name in enumerate(names)})
    old = codes.notna().to_numpy()
    rows = np.searchsorted(groups, table["group"].to_numpy(dtype=str)[old])
    votes = np.zeros((len(groups), len(names)), dtype=np.int64)
    np.add.at(votes, (rows, codes[old].to_numpy(dtype=np.int64)), 1)
    parts = np.where(votes.any(axis=1), votes.argmax(axis=1), parts).astype(np.int8)
    return parts, int((votes.sum(axis=1) - votes.max(axis=1)).sum())
