"""Accuracy and macro F1 as every stage computes them: in training, fine-tuning, evaluation and the baselines.

In: true and predicted class indices. Out: plain numbers, by scikit-learn's definitions.
"""

from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, f1_score

Labels = np.ndarray[Any, np.dtype[Any]]


def accuracy(y_true: Labels, y_pred: Labels) -> float:
    """Share of correct predictions; both of shape `(n,)`."""
    return float(accuracy_score(y_true, y_pred))


def macro_f1(y_true: Labels, y_pred: Labels) -> float:
    """Mean over classes of F1 = 2 tp / (2 tp + fp + fn); both of shape `(n,)`.

    The classes are those that occur in truth, whatever is predicted, so that every model is scored on the same ones. A
    class without a correct prediction counts as 0; predicting a class that no image has is a mistake of the true one.

    Examples
    --------
    >>> macro_f1(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1]))
    0.7333333333333334
    >>> macro_f1(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2]))
    0.8333333333333333
    """
    return float(f1_score(y_true, y_pred, labels=np.unique(y_true), average="macro", zero_division=0))


def weighted_f1(y_true: Labels, y_pred: Labels) -> float:
    """Mean of the classes' F1, weighted by how many images truly have the class."""
    return float(f1_score(y_true, y_pred, average="weighted", zero_division=0))
