"""Scores of class probabilities against labels.

In: labels `(n,)` and probabilities `(n, classes)`. Out: plain numbers and tables, by scikit-learn's definitions.
"""

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

from stages.evaluate.calibration import expected_calibration_error

# Probabilities below this are taken as this much in the log-loss, so that one sure mistake does not make it infinite.
SMALLEST_PROBABILITY = 1e-12


def score(y_true: np.ndarray, probabilities: np.ndarray) -> dict[str, float | int]:
    """Headline scores of one split.

    Parameters
    ----------
    y_true
        Class indices, shape `(n,)`, n of 1 or more.
    probabilities
        Shape `(n, classes)`, rows adding up to 1.

    Returns
    -------
    dict
        accuracy, f1_macro and f1_weighted (scikit-learn's, over the classes that occur in truth or prediction),
        top3_accuracy, top5_accuracy, log_loss in nats, ece (expected calibration error), and n.
    """
    y_pred = probabilities.argmax(axis=1)
    rank = rank_of_truth(y_true, probabilities)
    of_truth = probabilities[np.arange(len(y_true)), y_true]
    return {
        "accuracy": float(accuracy_score(y_true, y_pred)),
        "f1_macro": float(f1_score(y_true, y_pred, average="macro", zero_division=0)),
        "f1_weighted": float(f1_score(y_true, y_pred, average="weighted", zero_division=0)),
        "top3_accuracy": float((rank < 3).mean()),
        "top5_accuracy": float((rank < 5).mean()),
        "log_loss": float(-np.log(of_truth.clip(min=SMALLEST_PROBABILITY)).mean()),
        "ece": expected_calibration_error(y_true, probabilities),
        "n": len(y_true),
    }


def rank_of_truth(y_true: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """How many classes come before the true one, shape `(n,)`; of equal probabilities the first class comes first."""
    return (np.argsort(-probabilities, axis=1, kind="stable") == y_true[:, None]).argmax(axis=1)


def confusion_table(y_true: np.ndarray, y_pred: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """Count images by true class (rows, named in `y_true`) and predicted class (columns)."""
    counts = confusion_matrix(y_true, y_pred, labels=range(len(classes)))
    return pd.DataFrame(counts, columns=classes).assign(y_true=classes)[["y_true", *classes]]


def per_class_table(
    y_true: np.ndarray, y_pred: np.ndarray, classes: list[str], train_counts: np.ndarray
) -> pd.DataFrame:
    """Precision, recall and F1 of each class, its images in the split (support) and in train."""
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
