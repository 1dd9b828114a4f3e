"""Divide duplicate groups so that every class keeps its shares: iterative stratification, then repair.

In: images per group and class, and the shares. Out: a part for every group.
"""

from collections.abc import Sequence

import numpy as np
from iterstrat.ml_stratifiers import MultilabelStratifiedShuffleSplit

from stages.split.classes import GroupClasses
from stages.split.repair import Shares, repair

TRAIN, VAL, TEST = 0, 1, 2


def divide(
    classes: GroupClasses, ratios: Sequence[float], random_state: int, *, pinned: np.ndarray | None = None
) -> np.ndarray:
    """Assign each group to train (0), val (1) or test (2).

    Groups are stratified over all their classes together (Sechidis, Tsoumakas and Vlahavas, ECML PKDD 2011), which
    counts a group once however many images it has; then groups are moved until the shares hold in images.

    Parameters
    ----------
    classes
        Of the groups to divide.
    ratios
        Shares of the three parts; a share of 0 leaves that part empty.
    random_state
        Seed.
    pinned
        Groups that must be in train, shape `(g,)`, bool.

    Returns
    -------
    array
        Shape `(g,)`, int8.
    """
    count = len(classes.groups)
    pinned = np.zeros(count, dtype=bool) if pinned is None else pinned
    parts = np.full(count, TRAIN, dtype=np.int8)
    rest = np.flatnonzero(~pinned)
    indicators = (classes.counts > 0).astype(np.int8).toarray()
    # What is pinned already counts towards train, so the others are divided by what train still lacks.
    missing = np.maximum(np.asarray(ratios) * count - [pinned.sum(), 0, 0], 0)
    for part in (TEST, VAL):
        share = missing[part] / missing[: part + 1].sum() if missing[part] else 0.0
        rest, taken = _take_out(indicators, rest, share, random_state + TEST - part)
        parts[taken] = part
    shares = Shares(np.asarray(ratios, dtype=float), classes)
    return repair(parts, shares, movable=~pinned, random_state=random_state)


def _take_out(labels: np.ndarray, rows: np.ndarray, share: float, random_state: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide `rows` into those that stay and a stratified `share`, of at least one if the share is not 0."""
    count = min(max(1, round(share * len(rows))), len(rows) - 1) if share else 0
    if count <= 0:
        return rows, rows[:0]
    if not labels.shape[1]:
        taken = np.random.default_rng(random_state).permutation(len(rows))[:count]
    else:
        # The stratifier counts the groups without any label too, as members of an empty class.
        splitter = MultilabelStratifiedShuffleSplit(n_splits=1, test_size=count, random_state=random_state)
        indicators = np.column_stack([labels[rows], ~labels[rows].any(axis=1)])
        _, taken = next(splitter.split(np.zeros(len(rows)), indicators))
    stays = np.setdiff1d(np.arange(len(rows)), taken)
    return rows[stays], rows[np.sort(taken)]
