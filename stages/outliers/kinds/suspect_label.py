"""Suspect labels (label issues, in the field's words): labels that the predictions of other images count as wrong.

In: out-of-sample probabilities and labels. Out: the counted images, with the predicted class as the suggestion. The
method is confident learning (Northcutt, Jiang & Chuang, "Confident Learning: Estimating Uncertainty in Dataset
Labels", 2021), through cleanlab.
"""

import contextlib
import io
import warnings

import numpy as np
import pandas as pd
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores

from stages.core.features.labelled import UNLABELLED
from stages.outliers.outlier_kind import Evidence, OutlierKind, ranked_table

FILTERS = ("confident_learning", "prune_by_noise_rate")


def find_suspect_labels(evidence: Evidence) -> pd.DataFrame:
    """Rank the labels counted as wrong by one minus the label's quality: its self-confidence.

    That is its probability out of sample. Of cleanlab's scores it ranks flipped labels best (docs/outliers.md).
    """
    data, probabilities = evidence.data, evidence.probabilities
    labelled = np.flatnonzero(data.labels != UNLABELLED)
    labels, of_labelled = data.labels[labelled], probabilities[labelled]
    quality = get_label_quality_scores(labels, of_labelled, method="self_confidence")
    suspect = count_errors(labels, of_labelled)
    rows, predicted = labelled[suspect], probabilities.argmax(axis=1)
    names = np.array(data.classes, dtype=object)
    reasons = [
        f"labelled {names[label]} ({p[label]:.2f}), looks like {names[other]} ({p[other]:.2f})"
        for label, other, p in zip(data.labels[rows], predicted[rows], probabilities[rows], strict=True)
    ]
    return ranked_table(rows, 1 - quality[suspect], reasons, suggested=names[predicted[rows]])


def count_errors(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Find the labels that are improbable, or that confident learning counts as wrong; none that is predicted.

    A label is improbable below 1 / classes. Confident learning counts an image whose probability for another class
    reaches the mean that images with that label have; from the counts it estimates how many labels of each pair of
    classes are wrong, and takes as many, those with the largest lead first. One of the three is enough: in a clean
    collection that mean is so high that the two count hardly any, in a hard one the first does.

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
    another = probabilities.argmax(axis=1) != labels
    improbable = probabilities[np.arange(len(labels)), labels] < 1 / probabilities.shape[1]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # cleanlab warns of classes without an error
        counted = [find_label_issues(labels, probabilities, filter_by=name, n_jobs=1) for name in FILTERS]
    return np.asarray(another & np.any([improbable, *counted], axis=0))


KIND = OutlierKind(
    name="suspect_label",
    title="Suspect labels",
    explanation="Images like this one have another label: either the label is wrong, or the mistake is worth a look.",
    page_order=1,
    find=find_suspect_labels,
    counts=True,
)
