"""Measure how often the 95 % interval of macro F1 holds the truth: the pipeline's, and a percentile bootstrap's.

In: nothing; test sets are drawn from classifiers whose macro F1 is known, with test sizes as of real targets. Out: per
collection, the share of test sets whose interval holds it, and the intervals' mean width. Sizes are either those of a
stratified split, the same in every test set, or vary as those of a sample do. The bootstrap is the usual one: images
are drawn again, and classes that a resample lacks are left out of its mean.

    python benchmarks/coverage.py
"""

import argparse

import numpy as np

from stages.core.scoring.jackknife import jackknife_macro_f1

# Test images per class; a share of 0.2 of WikiArt's artists, genres and styles at three sizes of the collection.
COLLECTIONS = {
    "artist, 20 classes of 2 to 30": [30, 20, 15, 12, 10, 8, 7, 6, 6, 5, 5, 4, 4, 4, 3, 3, 3, 2, 2, 2],
    "artist, 19 classes of 1 to 50": [50, 24, 19, 15, 14, 12, 11, 11, 10, 7, 6, 6, 6, 6, 6, 4, 3, 2, 1],
    "artist, 20 classes of 6 to 90": [90, 60, 45, 36, 30, 24, 21, 18, 18, 15, 15, 12, 12, 12, 9, 9, 9, 6, 6, 6],
    "genre, 9 classes of 14 to 139": [139, 108, 101, 52, 47, 34, 29, 16, 14],
    "style, 7 classes of 120": [120] * 7,
}
RESAMPLES = 500
SETS_PER_CLASSIFIER = 10


def main() -> None:
    """Read the command line, draw, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=1000, help="test sets per collection (default 1000)")
    sets = parser.parse_args().sets
    print(f"share of {sets} test sets whose 95 % interval of macro F1 holds the truth, and mean width in points")
    print(f"{'test images':<32}{'sizes':<12}{'pipeline':>9}{'width':>7}{'bootstrap':>11}{'width':>7}")
    for name, sizes in COLLECTIONS.items():
        for stratified in (True, False):
            rng = np.random.default_rng(0)
            found = np.array([cover(np.array(sizes), rng, stratified) for _ in range(-(-sets // SETS_PER_CLASSIFIER))])
            held, ours, boot_held, boot = 100 * found.reshape(-1, 4)[:sets].mean(axis=0)
            kind = "fixed" if stratified else "vary"
            print(f"{name:<32}{kind:<12}{held:>9.1f}{ours:>7.1f}{boot_held:>11.1f}{boot:>7.1f}", flush=True)


def cover(sizes: np.ndarray, rng: np.random.Generator, stratified: bool) -> list[list[float]]:
    """Draw a classifier and its test sets: whether each interval holds the truth, and its width, of both methods."""
    chances = draw_classifier(sizes, rng)
    expected = sizes[:, None] * chances
    rows = []
    for _ in range(SETS_PER_CLASSIFIER):
        counts = draw_test_set(expected, chances, sizes, rng, stratified)
        present = counts.sum(axis=1) > 0
        truth = class_f1(expected)[present].mean()
        y_true, y_pred = (np.repeat(index.ravel(), counts.ravel()) for index in np.indices(counts.shape))
        ours = jackknife_macro_f1(y_true, y_pred, np.arange(len(y_true))).interval()
        usual = bootstrap(counts, rng)
        rows.append([value for low, high in (ours, usual) for value in (low <= truth <= high, high - low)])
    return rows


def draw_classifier(sizes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Chances of each prediction given the class, `(k, k)`: large classes are found more often, and taken for more."""
    recall = np.clip(0.25 + 0.13 * np.log(sizes) + rng.normal(0, 0.15, len(sizes)), 0.05, 0.95)
    others = sizes * rng.gamma(0.5, 1, (len(sizes), len(sizes)))
    np.fill_diagonal(others, 0)
    return others / others.sum(axis=1, keepdims=True) * (1 - recall)[:, None] + np.diag(recall)


def draw_test_set(
    expected: np.ndarray, chances: np.ndarray, sizes: np.ndarray, rng: np.random.Generator, stratified: bool
) -> np.ndarray:
    """Counts of images by class and prediction, `(k, k)`."""
    if stratified:
        return np.stack([rng.multinomial(size, row) for size, row in zip(sizes, chances, strict=True)])
    return rng.multinomial(sizes.sum(), (expected / expected.sum()).ravel()).reshape(expected.shape)


def bootstrap(counts: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """The usual percentile bootstrap's interval."""
    images = counts.sum()
    drawn = rng.multinomial(images, counts.ravel() / images, size=RESAMPLES).reshape(-1, *counts.shape)
    either = drawn.sum(axis=1) + drawn.sum(axis=2)
    f1 = np.where(either > 0, class_f1(drawn), np.nan)
    low, high = np.percentile(np.nanmean(f1, axis=1), [2.5, 97.5])
    return float(low), float(high)


def class_f1(counts: np.ndarray) -> np.ndarray:
    """F1 of each class, of counts `(…, k, k)`."""
    hits = np.einsum("...ii->...i", counts)
    found: np.ndarray = 2 * hits / np.maximum(counts.sum(axis=-1) + counts.sum(axis=-2), 1e-12)
    return found


if __name__ == "__main__":
    main()
