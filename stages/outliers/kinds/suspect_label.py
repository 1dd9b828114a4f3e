"""Suspect labels (label issues, in the field's words): images that the head confidently assigns to another class.

In: out-of-sample probabilities and labels. Out: images whose predicted class is not their label, with that class as
the suggestion. The method is confident learning (Northcutt, Jiang & Chuang, "Confident Learning: Estimating
Uncertainty in Dataset Labels", 2021), through cleanlab.
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


def find_suspect_labels(evidence: Evidence) -> pd.DataFrame:
    """Rank images whose predicted class is not their label by one minus the label's quality.

    The label's quality is its self-confidence: its probability out of sample. Of cleanlab's scores it ranks flipped
    labels best (docs/outliers.md). The reason says which labels the confident joint counts as wrong.
    """
    data, probabilities = evidence.data, evidence.probabilities
    predicted = probabilities.argmax(axis=1)
    labelled = np.flatnonzero(data.labels != UNLABELLED)
    labels, of_labelled = data.labels[labelled], probabilities[labelled]
    quality = get_label_quality_scores(labels, of_labelled, method="self_confidence")
    counted = find_confident_errors(labels, of_labelled)
    disagrees = predicted[labelled] != labels
    rows = labelled[disagrees]
    names = np.array(data.classes, dtype=object)
    reasons = [
        f"labelled {names[label]} ({p[label]:.2f}), looks like {names[other]} ({p[other]:.2f})"
        + (": counted as wrong by confident learning" if wrong else "")
        for label, other, p, wrong in zip(
            data.labels[rows], predicted[rows], probabilities[rows], counted[disagrees], strict=True
        )
    ]
    return ranked_table(rows, 1 - quality[disagrees], reasons, suggested=names[predicted[rows]])


def find_confident_errors(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Find labels that the confident joint counts as wrong.

    An image counts if its probability for another class reaches that class's threshold: the mean self-confidence of
    the images with that label.

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
        warnings.simplefilter("ignore")  # cleanlab warns of classes without an error
        found: np.ndarray = find_label_issues(labels, probabilities, filter_by="confident_learning", n_jobs=1)
    return found


KIND = OutlierKind(
    name="suspect_label",
    title="Suspect labels",
    explanation="The head is sure of another label: either the label is wrong, or the mistake is worth a look.",
    page_order=1,
    find=find_suspect_labels,
)
