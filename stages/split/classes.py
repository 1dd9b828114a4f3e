"""Which classes occur in which duplicate groups, and which classes are too small to be divided.

In: the table of clean. Out: a sparse matrix of images per group and class. Dividing is left to `stratify`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import csr_array, hstack

# A column of which more than this share of the labelled images are in too small classes (a title, an accession
# number) tells images apart, not classes.
MOSTLY_SMALL = 0.5


@dataclass(frozen=True)
class GroupClasses:
    """Images per duplicate group and class.

    Attributes
    ----------
    groups
        Names of the groups, ascending, shape `(g,)`.
    sizes
        Images in each, shape `(g,)`, int64.
    counts
        Images of each class that can be divided, shape `(g, c)`, int64.
    small
        Attribute and name of the classes that are too small.
    has_small
        Which groups hold one of those, shape `(g,)`, bool.
    unclassed
        Columns that were passed over because nearly every image has its own class.
    """

    groups: np.ndarray
    sizes: np.ndarray
    counts: csr_array
    small: list[tuple[str, str]]
    has_small: np.ndarray
    unclassed: list[str]

    def take(self, rows: np.ndarray) -> "GroupClasses":
        """The same for some of the groups."""
        return GroupClasses(
            self.groups[rows], self.sizes[rows], self.counts[rows], self.small, self.has_small[rows], self.unclassed
        )


def count_classes(table: pd.DataFrame, columns: Sequence[str], min_class_size: int) -> GroupClasses:
    """Count the images of every class in every group; a class's size is the number of groups that it occurs in."""
    groups, group_of = np.unique(table["group"].to_numpy(dtype=str), return_inverse=True)
    matrices, small, unclassed = [], [], []
    has_small = np.zeros(len(groups), dtype=bool)
    for column in columns:
        labels = table[column].to_numpy(dtype=str)
        rows = np.flatnonzero(labels != "")
        if not len(rows):
            continue
        names, codes = np.unique(labels[rows], return_inverse=True)
        shape = (len(groups), len(names))
        matrix = csr_array((np.ones(len(rows), dtype=np.int64), (group_of[rows], codes)), shape=shape)
        too_small = np.bincount(matrix.indices, minlength=len(names)) < min_class_size
        if too_small[codes].mean() > MOSTLY_SMALL:
            unclassed.append(column)
            continue
        small += [(column, name) for name in names[too_small]]
        has_small[group_of[rows[too_small[codes]]]] = True
        matrices.append(matrix[:, np.flatnonzero(~too_small)])
    empty = csr_array((len(groups), 0), dtype=np.int64)
    return GroupClasses(
        groups, np.bincount(group_of, minlength=len(groups)), _join(matrices, empty), small, has_small, unclassed
    )


def _join(matrices: list[csr_array], empty: csr_array) -> csr_array:
    """Join matrices column by column."""
    return csr_array(hstack([empty, *matrices], format="csr")) if matrices else empty
