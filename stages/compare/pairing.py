"""Pair the test images of two runs, by the digest of each image's file.

In: two `Run`s. Out: a row per image that both scored fairly, and how many others there are, and why. An image that one
of the runs has learned from is left out: it would favour that run.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from stages.compare.paired_statistics import Answers
from stages.compare.runs import Run

LEARNED = ("train", "val")


@dataclass(frozen=True)
class Paired:
    """The images that both runs are compared on.

    Attributes
    ----------
    table
        Columns image (B's path), sha256, y_true, a_pred, a_confidence, b_pred, b_confidence, and group: an index from
        0 on; a group joins what either run takes for copies.
    left_out
        How many test images of either run are not compared, and why; the first reason that fits counts.
    """

    table: pd.DataFrame
    left_out: list[tuple[int, str]]

    @property
    def classes(self) -> list[str]:
        """The labels that occur, sorted."""
        return sorted(set(self.table["y_true"]))

    def answers(self) -> Answers:
        """The same as indices; a prediction of a class without a paired image gets one beyond them."""
        classes = {name: index for index, name in enumerate(self.classes)}
        codes = {
            name: self.table[name].map(lambda label: classes.get(label, len(classes))).to_numpy(dtype=int)
            for name in ("y_true", "a_pred", "b_pred")
        }
        return Answers(codes["y_true"], codes["a_pred"], codes["b_pred"], self.table["group"].to_numpy(), len(classes))


def pair_runs(a: Run, b: Run) -> Paired:
    """Pair the images that are test images of both runs, with one label, and that neither has learned from."""
    both = _prepare(a).merge(_prepare(b), on="key", how="outer", suffixes=("_a", "_b"), indicator="found_in")
    considered = (both["test_a"] == True) | (both["test_b"] == True)  # noqa: E712 (missing is neither)
    both = both[considered].reset_index(drop=True)
    left = np.ones(len(both), dtype=bool)
    left_out = []
    for mask, why in _reasons(both, a, b):
        fits = left & mask.to_numpy(dtype=bool)
        left &= ~fits
        if count := int(fits.sum()):
            left_out.append((count, why))
    kept = both[left]
    table = pd.DataFrame(
        {
            "image": kept["image_b"], "sha256": kept["sha256_b"], "y_true": kept["y_true_b"],
            "a_pred": kept["y_pred_a"], "a_confidence": kept["confidence_a"],
            "b_pred": kept["y_pred_b"], "b_confidence": kept["confidence_b"],
        }
    )  # fmt: skip
    table["group"] = _join_groups(kept["group_a"], kept["group_b"])
    return Paired(table.sort_values("image", kind="stable").reset_index(drop=True), left_out)


def _prepare(run: Run) -> pd.DataFrame:
    """Add a key, also where one file occurs several times; whether the run scores the image; whether it saw a copy."""
    table = run.table.sort_values("image", kind="stable")
    name = table["sha256"].where(table["sha256"] != "", table["image"])
    table = table.assign(key=name + " " + name.groupby(name).cumcount().astype(str))
    if "group" not in table:
        table = table.assign(group=name)
    labelled = table["y_true"] != ""
    learned = table.loc[labelled & table["split"].isin(LEARNED), "group"]
    return table.assign(test=labelled & (table["split"] == "test"), seen=table["group"].isin(learned))


def _reasons(both: pd.DataFrame, a: Run, b: Run) -> Iterator[tuple[pd.Series, str]]:
    """Why a row is not compared, the plainest reason first."""
    for one, other, only in (("A", "B", "left_only"), ("B", "A", "right_only")):
        yield both["found_in"] == only, f"test images of {one} are not among the images of {other}"
    for split, what in (("train", "has learned from them"), ("val", "was chosen on them")):
        for one, other in (("A", "B"), ("B", "A")):
            of = both[f"split_{other.lower()}"]
            yield of == split, f"test images of {one} are {split} images of {other}, which {what}"
    yield both["y_true_a"] != both["y_true_b"], "test images have another label, or none, in the other run"
    for side, run in (("A", a), ("B", b)):
        yield ~both["y_true_a"].isin(list(run.classes)), f"test images are of classes that {side} does not know"
    yield both["seen_a"] | both["seen_b"], "test images have a copy among the train or val images of A or B"


def _join_groups(one: pd.Series, other: pd.Series) -> np.ndarray:
    """Number the groups that result where two images are copies if either run says so: components of a graph."""
    if one.empty:
        return np.empty(0, dtype=int)
    rows, columns = (pd.factorize(found)[0] for found in (one, other))
    nodes = int(rows.max()) + 1
    size = nodes + int(columns.max()) + 1
    graph = coo_array((np.ones(len(rows)), (rows, nodes + columns)), shape=(size, size))
    return np.unique(connected_components(graph, directed=False)[1][rows], return_inverse=True)[1]
