"""Scores of class probabilities against labels.

In: labels `(n,)` and probabilities `(n, classes)`. Out: plain numbers and tables, by scikit-learn's definitions.
"""

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from stages.core.optimisation.scores import accuracy, macro_f1, weighted_f1
from stages.core.scoring.calibration import expected_calibration_error

# Lower bound of probabilities in the log-loss, so that one confident mistake does not make it infinite.
SMALLEST_PROBABILITY = 1e-12


def score(y_true: np.ndarray, probabilities: np.ndarray) -> dict[str, float | int]:
    """Compute the headline scores of one split.

    Parameters
    ----------
    y_true
        Class indices, shape `(n,)`, n of 1 or more.
    probabilities
        Shape `(n, classes)`, rows adding up to 1.

    Returns
    -------
    dict
        accuracy, f1_macro and f1_weighted (over the classes that have an image in `y_true`), top3_accuracy,
        top5_accuracy, log_loss in nats, ece (expected calibration error), n, and the number of those classes.
    """
    y_pred = probabilities.argmax(axis=1)
    rank = rank_truth(y_true, probabilities)
    of_truth = probabilities[np.arange(len(y_true)), y_true]
    return {
        "accuracy": accuracy(y_true, y_pred),
        "f1_macro": macro_f1(y_true, y_pred),
        "f1_weighted": weighted_f1(y_true, y_pred),
        "top3_accuracy": float((rank < 3).mean()),
        "top5_accuracy": float((rank < 5).mean()),
        "log_loss": float(-np.log(of_truth.clip(min=SMALLEST_PROBABILITY)).mean()),
        "ece": expected_calibration_error(y_true, probabilities),
        "n": len(y_true),
        "classes": len(np.unique(y_true)),
    }


def rank_truth(y_true: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Count the classes that come before the true one, shape `(n,)`; of equal probabilities the first comes first.

    Examples
    --------
    >>> rank_truth(np.array([0, 2]), np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])).tolist()
    [0, 2]
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    rank: np.ndarray = (order == y_true[:, None]).argmax(axis=1)
    return rank


def tabulate_confusion(y_true: np.ndarray, y_pred: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """Count images by true class (rows, named in `y_true`) and predicted class (columns)."""
    counts = confusion_matrix(y_true, y_pred, labels=range(len(classes)))
    return pd.DataFrame(counts, columns=classes).assign(y_true=classes)[["y_true", *classes]]


def tabulate_classes(
    y_true: np.ndarray, y_pred: np.ndarray, classes: list[str], train_counts: np.ndarray
) -> pd.DataFrame:
    """Tabulate precision, recall and F1 of each class, its images in the split (support) and in train."""
    precision, recall, f1, support = precision_recall_fscore_support(
        y_true, y_pred, labels=range(len(classes)), zero_division=0
    )
    return pd.DataFrame(
        {
            "class": classes,
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "support": support,
            "train_n": train_counts,
        }
    )
