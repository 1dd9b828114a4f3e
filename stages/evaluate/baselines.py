"""What a head is compared with: the majority class, and a logistic regression on the same features.

In: pooled features and labels. Out: class probabilities of all images.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import softmax
from sklearn.preprocessing import StandardScaler

from stages.core.head.logistic import best_on, logistic_path


def predict_majority(labels: np.ndarray, train: np.ndarray, classes: int) -> np.ndarray:
    """Give every image the class shares of the train split, n_c / n: the prediction is the largest class.

    Returns
    -------
    ndarray
        Probabilities, shape `(n, classes)`.
    """
    shares = np.bincount(labels[train], minlength=classes) / len(train)
    return np.tile(shares, (len(labels), 1))


def fit_logistic_regression(
    pooled: np.ndarray, labels: np.ndarray, train: np.ndarray, val: np.ndarray, strengths: Sequence[float]
) -> tuple[np.ndarray, float]:
    """Fit a logistic regression on standardised pooled features, its regularisation chosen by validation macro F1.

    p = softmax(W (x - mean) / std + b), mean and std of the train split

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
    x = StandardScaler().fit(pooled[train]).transform(pooled)
    strengths = sorted(strengths)
    solutions = logistic_path(x[train], labels[train], strengths)
    best = best_on(x[val], labels[val], solutions)
    weights, biases = solutions[best]
    return softmax(x @ weights.T + biases, axis=1), strengths[best]
