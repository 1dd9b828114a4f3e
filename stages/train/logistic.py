"""Logistic regressions of one problem at several strengths of regularisation: the baseline's, and a head's linear path.

In: standardised features and labels. Out: weights and biases per strength.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence

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


def logistic_path(x: np.ndarray, y: np.ndarray, strengths: Sequence[float]) -> Iterator[Solution]:
    """Fit a multinomial logistic regression with an L2 penalty per strength, each begun where the last one ended.

    Each is solved when it is asked for: whoever has seen enough saves the others' time.

    Parameters
    ----------
    x
        Shape `(n, channels)`.
    y
        Class indices, shape `(n,)`; every class occurs.
    strengths
        Values of scikit-learn's `C`; ascending ones take the fewest iterations.

    Yields
    ------
    (weights, biases)
        Shapes `(classes, channels)` and `(classes,)`: logits are `x @ weights.T + biases`.
    """
    threads = 1 if x.size * len(np.unique(y)) < MANY else None
    model = LogisticRegression(max_iter=MAX_ITERATIONS, warm_start=True)
    for strength in strengths:
        with threadpool_limits(threads, user_api="blas"), warnings.catch_warnings():
            # On a weakly regularised fit the last digits of the optimum change no prediction.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.set_params(C=strength).fit(x, y)
        weights, biases = model.coef_.copy(), model.intercept_.copy()
        if len(weights) == 1:  # of two classes scikit-learn gives the second one's log-odds
            weights, biases = np.concatenate([-weights, weights]) / 2, np.concatenate([-biases, biases]) / 2
        yield weights, biases


def best_on(
    x: np.ndarray, y: np.ndarray, solutions: Iterable[Solution], patience: int | None = None
) -> tuple[int, Solution]:
    """The solution with the highest macro F1 on these images, and its number; of equal ones the first.

    With `patience`, after so many in a row that are no better, the others are not asked for.
    """
    best, best_score, found = -1, -1.0, (np.empty(0), np.empty(0))
    for number, (weights, biases) in enumerate(solutions):
        y_pred = (x @ weights.T + biases).argmax(axis=1)
        score = f1_score(y, y_pred, average="macro", zero_division=0)
        if score > best_score:
            best, best_score, found = number, score, (weights, biases)
        elif patience is not None and number - best >= patience:
            break
    return best, found
