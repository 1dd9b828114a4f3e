"""The tests and intervals agree with other ways to compute them, and keep what they promise."""

import doctest
import itertools

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, f1_score, recall_score

from stages.compare import paired_statistics, runs, words
from stages.compare.paired_statistics import (
    Answers,
    bootstrap_differences,
    compute_class_swap_p,
    compute_f1_swap_p,
    compute_interval,
    compute_swap_p,
    correct_p_values,
    score_both,
)

CLASSES = 3


def make_answers(groups: np.ndarray, seed: int, *, right: tuple[float, float] = (0.5, 0.6)) -> Answers:
    """Answers that are right with the given chances, alike for the copies of one picture."""
    rng = np.random.default_rng(seed)
    count = int(groups.max()) + 1
    y_true = np.append(np.arange(CLASSES), rng.integers(CLASSES, size=max(count - CLASSES, 0)))[:count]
    wrong = (y_true + rng.integers(1, CLASSES + 1, size=count)) % (CLASSES + 1)  # also a class that has no image
    a, b = (np.where(rng.random(count) < chance, y_true, wrong) for chance in right)
    return Answers(y_true[groups], a[groups], b[groups], groups, CLASSES)


@pytest.mark.parametrize("module", [paired_statistics, words, runs])
def test_the_examples_in_the_documentation_hold(module: object) -> None:
    assert doctest.testmod(module).failed == 0


def test_scores_are_those_of_scikit_learn() -> None:
    answers = make_answers(np.arange(60), seed=1)
    for scores, found in zip(score_both(answers), (answers.a, answers.b), strict=True):
        labels = {"labels": range(CLASSES), "average": None, "zero_division": 0}
        assert scores.accuracy[0] == pytest.approx(accuracy_score(answers.y_true, found))
        assert scores.recall[:, 0] == pytest.approx(recall_score(answers.y_true, found, **labels))
        assert scores.f1[:, 0] == pytest.approx(f1_score(answers.y_true, found, **labels))
        assert scores.f1_macro[0] == pytest.approx(f1_score(answers.y_true, found, **labels).mean())


def test_a_resample_is_scored_as_the_images_drawn() -> None:
    answers = make_answers(np.repeat(np.arange(20), 2), seed=2)
    drawn = bootstrap_differences(answers, 100, random_state=5)
    rng = np.random.default_rng(5)
    for m, groups in enumerate(rng.integers(20, size=(100, 20))):
        rows = np.concatenate([np.flatnonzero(answers.groups == group) for group in groups])
        y_true, a, b = answers.y_true[rows], answers.a[rows], answers.b[rows]
        present = {"labels": sorted(set(y_true)), "average": "macro", "zero_division": 0}
        assert drawn.accuracy[m] == pytest.approx(accuracy_score(y_true, b) - accuracy_score(y_true, a))
        assert drawn.f1_macro[m] == pytest.approx(f1_score(y_true, b, **present) - f1_score(y_true, a, **present))


@pytest.mark.parametrize("sizes", [[1] * 11, [1, 1, 1, 2, 2, 3, 1, 4, 1, 1]])
def test_swap_p_is_the_share_of_all_swaps(sizes: list[int]) -> None:
    answers = make_answers(np.repeat(np.arange(len(sizes)), sizes), seed=3, right=(0.3, 0.8))
    gains = np.bincount(answers.groups, weights=answers.gains)
    sums = [abs(float(np.dot(signs, gains))) for signs in itertools.product((-1, 1), repeat=len(sizes))]
    assert compute_swap_p(answers) == pytest.approx(np.mean(np.array(sums) >= abs(gains.sum())))


def test_with_one_image_per_group_it_is_mcnemar_exactly() -> None:
    for seed in range(20):
        answers = make_answers(np.arange(40), seed=seed)
        gained, lost = int((answers.gains > 0).sum()), int((answers.gains < 0).sum())
        assert compute_swap_p(answers) == pytest.approx(binomtest(gained, gained + lost, 0.5).pvalue)
        for code, p in enumerate(compute_class_swap_p(answers)):
            gains = answers.gains[answers.y_true == code]
            changed = int(np.abs(gains).sum())
            exact = binomtest(int((gains > 0).sum()), changed, 0.5).pvalue if changed else 1.0
            assert p == pytest.approx(exact)


def test_swap_p_of_macro_f1_is_near_the_share_of_all_swaps() -> None:
    answers = make_answers(np.repeat(np.arange(12), [1, 1, 2] * 4), seed=6, right=(0.4, 0.7))
    labels = {"labels": range(CLASSES), "average": "macro", "zero_division": 0}

    def difference(swapped: np.ndarray) -> float:
        one, other = np.where(swapped, answers.b, answers.a), np.where(swapped, answers.a, answers.b)
        return abs(f1_score(answers.y_true, other, **labels) - f1_score(answers.y_true, one, **labels))

    mixed = np.unique(answers.groups[answers.a != answers.b])
    observed = difference(np.zeros(len(answers.a), dtype=bool))
    chosen = itertools.product((False, True), repeat=len(mixed))
    found = [difference(np.isin(answers.groups, mixed[list(each)])) for each in chosen]
    exact = np.mean(np.array(found) >= observed - 1e-12)
    assert 0.005 < exact < 0.5
    assert compute_f1_swap_p(answers, 20_000, random_state=0) == pytest.approx(exact, abs=0.01)


def test_the_same_answers_differ_in_nothing() -> None:
    answers = make_answers(np.arange(30), seed=5)
    same = Answers(answers.y_true, answers.a, answers.a, answers.groups, CLASSES)
    assert (compute_swap_p(same), compute_f1_swap_p(same, 100, 0)) == (1.0, 1.0)
    assert compute_interval(bootstrap_differences(same, 100, 0).f1_macro) == (0.0, 0.0)


def test_copies_of_a_picture_are_no_further_evidence() -> None:
    once = make_answers(np.arange(30), seed=6, right=(0.5, 0.7))
    copied = make_answers(np.repeat(np.arange(30), 8), seed=6, right=(0.5, 0.7))
    assert compute_swap_p(copied) == pytest.approx(compute_swap_p(once)) != 1.0
    intervals = [compute_interval(bootstrap_differences(found, 200, 0).accuracy) for found in (once, copied)]
    assert intervals[0] == pytest.approx(intervals[1])


def test_intervals_cover_the_true_difference_and_equal_runs_are_rarely_told_apart() -> None:
    """Of 300 comparisons with copies, 95 % of the intervals should hold the truth, and 5 % of p be below 0.05."""
    sizes = np.tile([1, 1, 2, 5], 40)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    covered, rejected = [], []
    for seed in range(300):
        answers = make_answers(groups, seed=seed, right=(0.5, 0.6))
        low, high = compute_interval(bootstrap_differences(answers, 300, seed).accuracy)
        covered.append(low <= 0.1 <= high)
        rejected.append(compute_swap_p(make_answers(groups, seed=1000 + seed, right=(0.6, 0.6))) <= 0.05)
    assert 0.91 <= np.mean(covered) <= 0.98
    assert np.mean(rejected) <= 0.08


def test_holm_corrects_in_order_and_never_beyond_bonferroni() -> None:
    p = np.array([0.04, 0.001, 0.5, 0.02])
    assert correct_p_values(p) == pytest.approx([0.08, 0.004, 0.5, 0.06])
    assert (correct_p_values(p) <= np.minimum(4 * p, 1)).all()
