"""Which images each head is trained, validated and tested on; and which test images leak.

In: the labels of a target and its split. Out: a `Division` per fold.
"""

from dataclasses import dataclass, replace

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from stages.core.errors import StageError
from stages.core.features.labelled import UNLABELLED, LabelledFeatures


@dataclass(frozen=True)
class Division:
    """One division of the labelled images: row numbers, ascending."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def divide_by_split(data: LabelledFeatures) -> list[Division]:
    """Take the project's split, as training and `evaluate` do."""
    return [Division(data.rows("train"), data.rows("val"), data.rows("test"))]


def divide_into_folds(data: LabelledFeatures, folds: int, random_state: int) -> list[Division]:
    """Cross-validate over whole duplicate groups, stratified by class: fold i is test, fold i + 1 val, the rest train.

    Parameters
    ----------
    data
        Without small classes, see `without_small_classes`.
    folds
        3 or more.
    random_state
        Seed of the division.

    Returns
    -------
    list of Division
        Every labelled image is a test image of exactly one.
    """
    rows = np.flatnonzero(data.labels != UNLABELLED)
    splitter = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=random_state)
    parts = splitter.split(rows, data.labels[rows], data.table["group"].to_numpy()[rows])
    tests = [rows[np.sort(test)] for _, test in parts]
    divisions = []
    for fold, test in enumerate(tests):
        val = tests[(fold + 1) % folds]
        divisions.append(Division(np.setdiff1d(rows, np.concatenate([val, test])), val, test))
    return divisions


def without_small_classes(data: LabelledFeatures, folds: int) -> tuple[LabelledFeatures, list[str]]:
    """Leave out the classes that have fewer duplicate groups than there are folds; also return their names.

    Raises
    ------
    StageError
        If fewer than two classes are left.
    """
    groups = data.table["group"].to_numpy()
    large = [len(np.unique(groups[data.labels == code])) >= folds for code in range(len(data.classes))]
    if sum(large) < 2:
        raise StageError(
            f"{data.target}: {folds} folds need two classes of {folds} distinct pictures or more, there are "
            f"{sum(large)}: set score.folds to less"
        )
    code = np.where(large, np.cumsum(large) - 1, UNLABELLED)
    labels = np.where(data.labels == UNLABELLED, UNLABELLED, code[data.labels])
    kept, small = ([name for name, big in zip(data.classes, large, strict=True) if big is of] for of in (True, False))
    return replace(data, classes=kept, labels=labels), small


def find_leaking(data: LabelledFeatures, division: Division) -> np.ndarray:
    """Find the test images that repeat an image of train or val: one duplicate group, or the same bytes.

    Returns
    -------
    ndarray
        Shape `(test images,)`, bool.
    """
    known = np.concatenate([division.train, division.val])
    leaking = np.zeros(len(division.test), dtype=bool)
    for column in ("group", "sha256"):
        values = data.table[column].to_numpy(dtype=str)
        leaking |= np.isin(values[division.test], values[known])
    return leaking
