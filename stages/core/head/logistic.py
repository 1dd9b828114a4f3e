"""Logistic regressions of one problem at several strengths of regularisation: for the baseline, and a head's probe.

In: standardised features and labels. Out: weights and biases per strength.
"""

import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped, unused-ignore]

from stages.core.optimisation.scores import macro_f1

MAX_ITERATIONS = 300
# Multiplications per iteration below which a second thread gains nothing: it would wait for the first one thousands of
# times, and each wait is long on busy cores.
MANY = 10**9

Solution = tuple[np.ndarray, np.ndarray]


def logistic_path(x: np.ndarray, y: np.ndarray, strengths: Sequence[float]) -> list[Solution]:
    """Fit a multinomial logistic regression with an L2 penalty per strength, each started from the last solution.

    min over W, b of  C · Σ cross_entropy(W x + b, y) + ½ ‖W‖²

    Parameters
    ----------
    x
        Shape `(n, channels)`.
    y
        Class indices, shape `(n,)`; every class occurs.
    strengths
        Values of scikit-learn's `C`; ascending ones take the fewest iterations.

    Returns
    -------
    list of (weights, biases)
        Shapes `(classes, channels)` and `(classes,)`: logits are `x @ weights.T + biases`.
    """
    classes = len(np.unique(y))
    model, found = LogisticRegression(max_iter=MAX_ITERATIONS, warm_start=True), []
    with threadpool_limits(1 if x.size * classes < MANY else None, user_api="blas"), warnings.catch_warnings():
        # On a weakly regularised fit the last digits of the optimum change no prediction.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for strength in strengths:
            model.set_params(C=strength).fit(x, y)
            weights, biases = model.coef_.copy(), model.intercept_.copy()
            if len(weights) == 1:  # of two classes scikit-learn gives the second one's log-odds
                weights, biases = np.concatenate([-weights, weights]) / 2, np.concatenate([-biases, biases]) / 2
            found.append((weights, biases))
    return found


def best_on(x: np.ndarray, y: np.ndarray, solutions: Sequence[Solution]) -> int:
    """Find the solution with the highest macro F1 on these images; of equal ones the first."""
    predicted = [(x @ weights.T + biases).argmax(axis=1) for weights, biases in solutions]
    return int(np.argmax([macro_f1(y, y_pred) for y_pred in predicted]))
