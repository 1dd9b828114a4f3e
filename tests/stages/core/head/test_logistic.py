"""The logistic regression that heads are compared with, and that they are averaged with, is scikit-learn's."""

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from threadpoolctl import threadpool_info, threadpool_limits

from stages.core.head.logistic import best_on, logistic_path
from stages.evaluate.baselines import fit_logistic_regression

STRENGTHS = [0.001, 0.01, 0.1]


def noisy_classes(classes: int, n: int = 120, channels: int = 30) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.arange(n) % classes
    return rng.standard_normal((n, channels)) + rng.standard_normal((classes, channels))[y], y


@pytest.mark.parametrize("classes", [2, 5])
def test_a_path_passes_through_what_each_strength_gives_alone(classes: int) -> None:
    x, y = noisy_classes(classes)
    for strength, (weights, biases) in zip(STRENGTHS, logistic_path(x, y, STRENGTHS), strict=True):
        alone = LogisticRegression(C=strength, max_iter=1000).fit(x, y)
        found = softmax(x @ weights.T + biases, axis=1)
        np.testing.assert_allclose(found, alone.predict_proba(x), atol=2e-3)


def test_the_baseline_takes_the_strength_with_the_best_macro_f1_on_val() -> None:
    x, y = noisy_classes(4, n=200)
    x = 3.0 + 10.0 * x  # which it standardises
    train, val = np.arange(100), np.arange(100, 150)
    probabilities, strength = fit_logistic_regression(x, y, train, val, STRENGTHS)
    scaled = (x - x[train].mean(axis=0)) / x[train].std(axis=0)
    scores = []
    for candidate in STRENGTHS:
        alone = LogisticRegression(C=candidate, max_iter=1000).fit(scaled[train], y[train])
        scores.append(f1_score(y[val], alone.predict(scaled[val]), average="macro"))
    assert strength == STRENGTHS[int(np.argmax(scores))]
    assert f1_score(y[val], probabilities[val].argmax(axis=1), average="macro") == pytest.approx(max(scores))


def test_of_equally_good_solutions_the_first_is_taken() -> None:
    x, y = noisy_classes(2)
    solutions = logistic_path(x, y, [0.01])
    assert best_on(x, y, [*solutions, *solutions]) == 0


def test_one_thread_solves_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads would wait for each other at every product: 13 s in place of 0.3 s on busy cores."""
    threads, fit = [], LogisticRegression.fit

    def recorded(self: LogisticRegression, x: np.ndarray, y: np.ndarray) -> LogisticRegression:
        threads.append({library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"})
        return fit(self, x, y)

    monkeypatch.setattr(LogisticRegression, "fit", recorded)
    with threadpool_limits(2, user_api="blas"):
        logistic_path(*noisy_classes(3), [0.01])
        assert {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"} == {2}
    assert threads == [{1}]
