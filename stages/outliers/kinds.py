"""The kinds of outlier, each a table of images ranked by a score.

In: out-of-sample probabilities, labels, features. Out: rows of `outliers.csv`.
"""

import json
from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from stages.train.data import UNLABELLED, LabelledFeatures


def nearest_neighbours(data: LabelledFeatures, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Find each image's nearest neighbours by Euclidean distance of standardised pooled features.

    Not by cosine: a stranger's features are often not turned elsewhere but larger (of ten planted in the demo
    collection, nine are among the first tenth by Euclidean distance, one by cosine).

    Duplicates of an image are no neighbours of it: they would make every stranger with a copy look at home.

    Returns
    -------
    distances : ndarray
        Shape `(n, count)`, ascending; `inf` where a small collection has fewer neighbours.
    neighbours : ndarray
        Row indices, shape `(n, count)`; -1 where there are fewer.
    """
    pooled = StandardScaler().fit_transform(data.pooled())
    groups = pd.factorize(data.table["group"])[0]
    largest_group = int(np.bincount(groups).max())
    wanted = min(count + largest_group, len(pooled))
    distances, neighbours = NearestNeighbors(n_neighbors=wanted, metric="euclidean").fit(pooled).kneighbors(pooled)
    distances = np.where(groups[neighbours] == groups[:, None], np.inf, distances)
    order = np.argsort(distances, axis=1, kind="stable")[:, :count]
    distances, neighbours = np.take_along_axis(distances, order, 1), np.take_along_axis(neighbours, order, 1)
    return distances, np.where(np.isfinite(distances), neighbours, -1)


def low_confidence(data: LabelledFeatures, probabilities: np.ndarray) -> pd.DataFrame:
    """Images that the head is least sure about; the score is one minus the highest probability."""
    rows = np.flatnonzero(data.labels != UNLABELLED)
    top = np.sort(probabilities[rows], axis=1)
    order = np.argsort(-probabilities[rows], axis=1, kind="stable")
    names = np.array(data.classes, dtype=object)
    reasons = [
        f"{names[first]} at {p[-1]:.2f}, {names[second]} at {p[-2]:.2f}"
        for (first, second), p in zip(order[:, :2], top, strict=True)
    ]
    return _table("low_confidence", rows, 1 - top[:, -1], reasons)


def suspect_label(data: LabelledFeatures, probabilities: np.ndarray) -> pd.DataFrame:
    """Images that the head confidently puts elsewhere; the score is how much more probable that class is."""
    predicted = probabilities.argmax(axis=1)
    rows = np.flatnonzero((data.labels != UNLABELLED) & (predicted != data.labels))
    of_label = probabilities[rows, data.labels[rows]]
    of_other = probabilities[rows, predicted[rows]]
    names = np.array(data.classes, dtype=object)
    reasons = [
        f"labelled {names[label]} ({p_label:.2f}), looks like {names[other]} ({p_other:.2f})"
        for label, other, p_label, p_other in zip(data.labels[rows], predicted[rows], of_label, of_other, strict=True)
    ]
    return _table("suspect_label", rows, of_other - of_label, reasons, suggested=names[predicted[rows]])


def unlike_anything(data: LabelledFeatures, distances: np.ndarray) -> pd.DataFrame:
    """Images far from all others; the score is the mean distance to the nearest neighbours."""
    finite = np.isfinite(distances)
    rows = np.flatnonzero(finite.any(axis=1))
    mean = np.where(finite, distances, 0).sum(axis=1)[rows] / finite.sum(axis=1)[rows]
    median = float(np.median(mean)) if len(mean) else 1.0
    reasons = [f"{value / max(median, 1e-9):.1f} x the usual distance to its neighbours" for value in mean]
    return _table("unlike_anything", rows, mean, reasons)


def conflicting_labels(data: LabelledFeatures) -> pd.DataFrame:
    """Duplicates whose labels disagree; the score is the number of labels that the picture has."""
    labelled = data.table[data.table[data.target] != ""]
    labels = labelled.groupby("group")[data.target].agg(lambda column: sorted(set(column)))
    conflicts = labels[labels.map(len) > 1]
    members = labelled[labelled["group"].isin(conflicts.index)]
    found = members["group"].map(conflicts)
    return _table(
        "conflicting_labels",
        members.index.to_numpy(),
        found.map(len).to_numpy(dtype=float),
        [f"copies of this picture are labelled {', '.join(names)}" for names in found],
    )


def _table(kind: str, rows: np.ndarray, scores: np.ndarray, reasons: list[str], suggested: object = "") -> pd.DataFrame:
    table = pd.DataFrame({"row": rows, "kind": kind, "score": scores, "suggested": suggested, "reason": reasons})
    return table.sort_values(["score", "row"], ascending=[False, True], ignore_index=True)


def listed(table: pd.DataFrame, most: int) -> pd.DataFrame:
    """Keep the first `most` rows and rank them from 1."""
    return table.head(most).assign(rank=lambda kept: np.arange(1, len(kept) + 1))


def neighbour_names(images: list[str], neighbours: np.ndarray) -> Callable[[int], str]:
    """Return a function that names a row's neighbours as a JSON array of image paths."""
    return lambda row: json.dumps([images[other] for other in neighbours[row] if other >= 0], ensure_ascii=False)
