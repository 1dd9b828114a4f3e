"""The kinds of outlier, each a table of images ranked by a score.

In: out-of-sample probabilities, labels, features. Out: rows of `outliers.csv`.
"""

import contextlib
import io
import json
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from scipy.special import entr

from stages.core.features.labelled import UNLABELLED, LabelledFeatures


def sureness(probabilities: np.ndarray) -> pd.DataFrame:
    """How sure each prediction is.

    Parameters
    ----------
    probabilities
        Shape `(n, classes)`, two classes or more.

    Returns
    -------
    DataFrame
        A row per image: `confidence` (the highest probability), `margin` (by how much it leads the second) and
        `entropy` (1 where all classes are as probable, 0 where one is certain).
    """
    top = -np.partition(-probabilities, 1, axis=1)[:, :2]
    entropy = entr(probabilities).sum(axis=1) / np.log(probabilities.shape[1])
    return pd.DataFrame({"confidence": top[:, 0], "margin": top[:, 0] - top[:, 1], "entropy": entropy.clip(0, 1)})


def low_confidence(data: LabelledFeatures, probabilities: np.ndarray) -> pd.DataFrame:
    """Images that the head is least sure about; the score is one minus the highest probability."""
    rows = np.flatnonzero(data.labels != UNLABELLED)
    order = np.argsort(-probabilities[rows], axis=1, kind="stable")[:, :2]
    top = np.take_along_axis(probabilities[rows], order, axis=1)
    names = np.array(data.classes, dtype=object)
    reasons = [
        f"{names[first]} at {p_first:.2f}, {names[second]} at {p_second:.2f}"
        for (first, second), (p_first, p_second) in zip(order, top, strict=True)
    ]
    return _table("low_confidence", rows, 1 - top[:, 0], reasons)


def suspect_label(data: LabelledFeatures, probabilities: np.ndarray) -> pd.DataFrame:
    """Images that the head confidently puts elsewhere, with the class that it suggests.

    Confident learning (Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels",
    2021) through cleanlab: the score is one minus its label quality, the self-confidence, which is how probable the
    label is out of sample; of cleanlab's scores the one that ranked flipped labels best (docs/outliers.md). The reason
    says which of them the confident joint counts as wrong.
    """
    predicted = probabilities.argmax(axis=1)
    labelled = np.flatnonzero(data.labels != UNLABELLED)
    labels, of_labelled = data.labels[labelled], probabilities[labelled]
    quality = get_label_quality_scores(labels, of_labelled, method="self_confidence")
    counted = confident_errors(labels, of_labelled)
    elsewhere = predicted[labelled] != labels
    rows = labelled[elsewhere]
    names = np.array(data.classes, dtype=object)
    reasons = [
        f"labelled {names[label]} ({p[label]:.2f}), looks like {names[other]} ({p[other]:.2f})"
        + (": counted as wrong by confident learning" if wrong else "")
        for label, other, p, wrong in zip(
            data.labels[rows], predicted[rows], probabilities[rows], counted[elsewhere], strict=True
        )
    ]
    return _table("suspect_label", rows, 1 - quality[elsewhere], reasons, suggested=names[predicted[rows]])


def confident_errors(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Which labels the confident joint counts as wrong: probable members of another class, each by its own threshold.

    Parameters
    ----------
    labels
        Shape `(n,)`, int64, indices of classes.
    probabilities
        Shape `(n, classes)`, out of sample.

    Returns
    -------
    ndarray
        Shape `(n,)`, bool.
    """
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # it speaks of classes without an error, which is no fault
        return find_label_issues(labels, probabilities, filter_by="confident_learning", n_jobs=1)


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
