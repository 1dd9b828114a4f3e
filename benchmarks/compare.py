"""Measure `pipeline compare`: how often intervals hold the true difference, how often tests raise false alarms.

In: nothing; pairs of runs are simulated whose true difference is known, with test sizes as of real targets. In half of
the collections, one picture in five has three copies, which a run answers alike. Out: per collection the share of
intervals that hold the truth, and the share of p below 0.05 where two runs are equally good; then the same for the
smallest p of three targets, as it is and after Holm's correction.

    python benchmarks/compare.py
"""

import argparse

import numpy as np

from stages.compare.paired_statistics import (
    Answers,
    bootstrap_differences,
    compute_f1_swap_p,
    compute_interval,
    compute_mcnemar_p,
    compute_swap_p,
    correct_p_values,
)
from stages.core.scoring.jackknife import jackknife_macro_f1

# Test images per class, as in coverage.py.
COLLECTIONS = {
    "artist, 20 classes of 2 to 30": [30, 20, 15, 12, 10, 8, 7, 6, 6, 5, 5, 4, 4, 4, 3, 3, 3, 2, 2, 2],
    "genre, 9 classes of 14 to 139": [139, 108, 101, 52, 47, 34, 29, 16, 14],
    "style, 7 classes of 120": [120] * 7,
}
RESAMPLES = 500
COPIES = 4
COPIED = 0.2
LEVEL = 0.05


def main() -> None:
    """Read the command line, simulate, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=1000, help="pairs of runs per collection (default 1000)")
    pairs = parser.parse_args().pairs
    print(f"{pairs} pairs of runs per collection, in percent")
    print(f"{'':<44}{'intervals that hold the truth':^34}{'false alarms of equal runs':^32}")
    print(
        f"{'test images':<32}{'copies':<12}{'accuracy':>10}{'macro F1':>11}{'(bootstrap)':>13}"
        f"{'accuracy':>10}{'macro F1':>10}{'McNemar':>10}"
    )
    alarms = []
    for name, sizes in COLLECTIONS.items():
        for copies in (False, True):
            rng = np.random.default_rng(0)
            held = np.array([cover(np.array(sizes), rng, copies) for _ in range(pairs)])
            found = np.array([p_values(np.array(sizes), rng, copies) for _ in range(pairs)])
            shares = [*100 * held.mean(axis=0), *100 * (found <= LEVEL).mean(axis=0)]
            cells = "".join(
                f"{share:>{width}.1f}" for share, width in zip(shares, (10, 11, 13, 10, 10, 10), strict=True)
            )
            print(f"{name:<32}{'yes' if copies else 'no':<12}{cells}", flush=True)
            if not copies:
                alarms.append(found[:, 0])
    of_three = np.stack(alarms, axis=1)
    plain = 100 * (of_three.min(axis=1) <= LEVEL).mean()
    corrected = 100 * np.mean([correct_p_values(p).min() <= LEVEL for p in of_three])
    print(f"\na false alarm in any of three targets, accuracy: {plain:.1f} uncorrected, {corrected:.1f} after Holm")


def cover(sizes: np.ndarray, rng: np.random.Generator, copies: bool) -> list[bool]:
    """Simulate two runs that differ: whether the intervals of accuracy, of macro F1, and its bootstrap's hold."""
    chances = [draw_classifier(len(sizes), rng) for _ in range(2)]
    answers = simulate(sizes, chances, rng, copies)
    counts = np.bincount(answers.y_true, minlength=len(sizes))
    confusions = [counts[:, None] * found for found in chances]
    accuracy, f1 = ([score(found) for found in confusions] for score in (true_accuracy, true_macro_f1))
    drawn = bootstrap_differences(answers, RESAMPLES, int(rng.integers(2**32)))
    one, other = (jackknife_macro_f1(answers.y_true, found, answers.groups) for found in (answers.a, answers.b))
    intervals = [compute_interval(drawn.accuracy), (other - one).interval(), compute_interval(drawn.f1_macro)]
    truths = [accuracy[1] - accuracy[0], *[f1[1] - f1[0]] * 2]
    return [low <= truth <= high for (low, high), truth in zip(intervals, truths, strict=True)]


def p_values(sizes: np.ndarray, rng: np.random.Generator, copies: bool) -> list[float]:
    """Simulate two runs that are equally good, and test them."""
    answers = simulate(sizes, [draw_classifier(len(sizes), rng)] * 2, rng, copies)
    gains = answers.gains
    mcnemar = compute_mcnemar_p(int((gains > 0).sum()), int((gains < 0).sum()))
    return [compute_swap_p(answers), compute_f1_swap_p(answers, RESAMPLES, int(rng.integers(2**32))), mcnemar]


def draw_classifier(classes: int, rng: np.random.Generator) -> np.ndarray:
    """Chances of each prediction given the true class, `(classes, classes)`: right in 30 to 80 %."""
    right = rng.uniform(0.3, 0.8, size=classes)
    wrong = rng.dirichlet(np.ones(classes), size=classes)
    np.fill_diagonal(wrong, 0.0)
    chances = wrong / wrong.sum(axis=1, keepdims=True) * (1 - right[:, None])
    np.fill_diagonal(chances, right)
    return chances


def simulate(sizes: np.ndarray, chances: list[np.ndarray], rng: np.random.Generator, copies: bool) -> Answers:
    """Draw both runs' answers; they depend on one another, since half of the pictures are answered by one draw."""
    times = np.where(rng.random(int(sizes.sum())) < (COPIED if copies else 0.0), COPIES, 1)
    picture_class = np.repeat(np.arange(len(sizes)), sizes)
    shared, own = rng.random(len(picture_class)), rng.random((2, len(picture_class)))
    common = rng.random(len(picture_class)) < 0.5
    drawn = [np.where(common, shared, mine) for mine in own]
    found = [
        (np.cumsum(chance, axis=1)[picture_class] < u[:, None]).sum(axis=1).clip(max=len(sizes) - 1)
        for chance, u in zip(chances, drawn, strict=True)
    ]
    groups = np.repeat(np.arange(len(picture_class)), times)
    return Answers(picture_class[groups], found[0][groups], found[1][groups], groups, len(sizes))


def true_accuracy(confusion: np.ndarray) -> float:
    return float(np.trace(confusion) / confusion.sum())


def true_macro_f1(confusion: np.ndarray) -> float:
    return float((2 * np.diag(confusion) / (confusion.sum(axis=0) + confusion.sum(axis=1))).mean())


if __name__ == "__main__":
    main()
