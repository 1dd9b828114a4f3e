"""Logistic regressions of one problem at several strengths of regularisation: the baseline's, and a head's linear path.

In: standardised features and labels. Out: weights and biases per strength.
"""

import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from threadpoolctl import threadpool_limits

MAX_ITERATIONS = 300
# Multiplications per iteration below which a second thread gains nothing, and waits for the first one many thousand
# times: where other work keeps the cores busy, each time for as long as the system lets it.
MANY = 10**9

Solution = tuple[np.ndarray, np.ndarray]


def logistic_path(x: np.ndarray, y: np.ndarray, strengths: Sequence[float]) -> list[Solution]:
    """Fit a multinomial logistic regression with an L2 penalty per strength, each begun where the last one ended.

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
    """Which solution has the highest macro F1 on these images; of equal ones the first."""
    predicted = [(x @ weights.T + biases).argmax(axis=1) for weights, biases in solutions]
    return int(np.argmax([f1_score(y, y_pred, average="macro", zero_division=0) for y_pred in predicted]))
