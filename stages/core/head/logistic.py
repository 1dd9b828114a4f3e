"""Logistic regressions of one problem at several strengths of regularisation: for the baseline, and a head's probe.

In: standardised features and labels. Out: weights and biases per strength, also for classes without an image.
"""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped, unused-ignore]

from stages.core.optimisation.scores import macro_f1

MAX_ITERATIONS = 300

Solution = tuple[np.ndarray, np.ndarray]


def logistic_path(
    x: np.ndarray,
    y: np.ndarray,
    strengths: Sequence[float],
    enough: Callable[[Solution], bool] = lambda _: False,
) -> list[Solution]:
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
    enough
        Whether this solution is the last that is wanted.

    Returns
    -------
    list of (weights, biases)
        Shapes `(classes, channels)` and `(classes,)`: logits are `x @ weights.T + biases`.
    """
    model, found = LogisticRegression(max_iter=MAX_ITERATIONS, warm_start=True), []
    # A second thread would wait for the first one at every product, which is long on busy cores, and change bits.
    with threadpool_limits(1, user_api="blas"), warnings.catch_warnings():
        # On a weakly regularised fit the last digits of the optimum change no prediction.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for strength in strengths:
            model.set_params(C=strength).fit(x, y)
            weights, biases = model.coef_.copy(), model.intercept_.copy()
            if len(weights) == 1:  # of two classes scikit-learn gives the second one's log-odds
                weights, biases = np.concatenate([-weights, weights]) / 2, np.concatenate([-biases, biases]) / 2
            found.append((weights, biases))
            if enough(found[-1]):
                break
    return found


def logistic_path_over(
    x: np.ndarray,
    y: np.ndarray,
    classes: int,
    strengths: Sequence[float],
    enough: Callable[[Solution], bool] = lambda _: False,
) -> list[Solution]:
    """`logistic_path` over so many classes: those that no image has get the share of half an image, whatever it is."""
    seen, y_seen = np.unique(y, return_inverse=True)
    if len(seen) == classes:
        return logistic_path(x, y, strengths, enough)
    if len(seen) == 1:
        return [_with_unseen((np.zeros((1, x.shape[1])), np.zeros(1)), seen, classes, len(y))] * len(strengths)
    solutions = logistic_path(x, y_seen, strengths, lambda s: enough(_with_unseen(s, seen, classes, len(y))))
    return [_with_unseen(solution, seen, classes, len(y)) for solution in solutions]


def _with_unseen(solution: Solution, seen: np.ndarray, classes: int, images: int) -> Solution:
    weights, biases = solution
    all_weights = np.zeros((classes, weights.shape[1]), dtype=weights.dtype)
    all_biases = np.full(classes, logsumexp(biases) + np.log(0.5 / images), dtype=biases.dtype)
    all_weights[seen], all_biases[seen] = weights, biases
    return all_weights, all_biases


def best_on(x: np.ndarray, y: np.ndarray, solutions: Sequence[Solution]) -> int:
    """Find the solution with the highest macro F1 on these images; of equal ones the first."""
    predicted = [(x @ weights.T + biases).argmax(axis=1) for weights, biases in solutions]
    return int(np.argmax([macro_f1(y, y_pred) for y_pred in predicted]))
