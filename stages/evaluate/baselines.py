"""What a head has to beat: the majority class, and a logistic regression on the same features.

In: pooled features and labels. Out: class probabilities of all images.
"""

import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler

MAX_ITERATIONS = 300


def majority(labels: np.ndarray, train: np.ndarray, classes: int) -> np.ndarray:
    """Give every image the class shares of the train split: the prediction is the largest class.

    Returns
    -------
    ndarray
        Probabilities, shape `(n, classes)`.
    """
    shares = np.bincount(labels[train], minlength=classes) / len(train)
    return np.tile(shares, (len(labels), 1))


def logistic_regression(
    pooled: np.ndarray, labels: np.ndarray, train: np.ndarray, val: np.ndarray, strengths: Sequence[float]
) -> tuple[np.ndarray, float]:
    """Fit a linear probe on standardised pooled features, its regularisation chosen by validation macro F1.

    Parameters
    ----------
    pooled
        Shape `(n, channels)`.
    labels
        Shape `(n,)`; every class occurs in `train`.
    train, val
        Row indices.
    strengths
        Values of scikit-learn's `C` to try.

    Returns
    -------
    probabilities : ndarray
        Of all images, shape `(n, classes)`.
    C : float
        The strength chosen.
    """
    x = _in_span_of_train(StandardScaler().fit(pooled[train]).transform(pooled), train)
    fits = [_fit(x[train], labels[train], strength) for strength in strengths]
    scores = [f1_score(labels[val], fit.predict(x[val]), average="macro", zero_division=0) for fit in fits]
    best = int(np.argmax(scores))
    return fits[best].predict_proba(x), strengths[best]


def _in_span_of_train(x: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Rotate features into the span of the train images, which an L2-regularised fit cannot leave.

    With fewer train images than channels this is exact (the representer theorem) and several times faster.
    """
    if len(train) >= x.shape[1]:
        return x
    _, _, directions = np.linalg.svd(x[train], full_matrices=False)
    return x @ directions.T


def _fit(x: np.ndarray, y: np.ndarray, strength: float) -> LogisticRegression:
    with warnings.catch_warnings():
        # On a weakly regularised fit the last digits of the optimum change no prediction.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=strength, max_iter=MAX_ITERATIONS).fit(x, y)
