"""Whether two runs differ on the same images: paired bootstrap, swap tests, Holm's correction.

In: true and predicted classes, duplicate groups. Out: plain numbers. Whole groups are drawn and swapped, because copies
of one picture are no independent evidence. Pairing the images is left to `pairing`.

Measures, over the classes c that occur in truth (K of them), with hits h, support s and predictions q of each:

    accuracy = Σ h_c / Σ s_c      recall_c = h_c / s_c      F1_c = 2 h_c / (s_c + q_c)      macro F1 = mean of F1_c

A resample that draws no image of a class leaves that class out of the mean, on both sides.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.stats import binom, binomtest

INTERVAL = (2.5, 97.5)
# Draws are made in blocks of at most so many numbers.
BLOCK = 2_000_000
# Two differences that are equal but for rounding.
EQUAL = 1e-12


@dataclass(frozen=True)
class Answers:
    """What both runs answered to the same n images.

    Attributes
    ----------
    y_true
        Class indices, shape `(n,)`, below `classes`; each of them occurs.
    a, b
        Predicted class indices, shape `(n,)`; any number of `classes` or more stands for another class.
    groups
        Duplicate group of each image, shape `(n,)`, from 0 on without gaps.
    classes
        How many classes occur in truth.
    """

    y_true: np.ndarray
    a: np.ndarray
    b: np.ndarray
    groups: np.ndarray
    classes: int

    @property
    def gains(self) -> np.ndarray:
        """1 where only B is right, -1 where only A is, shape `(n,)`."""
        gains: np.ndarray = (self.b == self.y_true).astype(int) - (self.a == self.y_true).astype(int)
        return gains


@dataclass(frozen=True)
class Scores:
    """Scores of one run on m resamples: `accuracy` and `f1_macro` of shape `(m,)`, the others `(classes, m)`."""

    accuracy: np.ndarray
    f1_macro: np.ndarray
    recall: np.ndarray
    f1: np.ndarray

    def minus(self, other: "Scores") -> "Scores":
        """The differences, measure by measure."""
        pairs = ((getattr(self, name), getattr(other, name)) for name in ("accuracy", "f1_macro", "recall", "f1"))
        return Scores(*(mine - theirs for mine, theirs in pairs))


def score_both(answers: Answers) -> tuple[Scores, Scores]:
    """Score A and B on the images themselves, as resamples of which there is one."""
    tables = _Tables.of(answers)
    once = np.ones((tables.groups, 1))
    return tables.score(once, "a"), tables.score(once, "b")


def bootstrap_differences(answers: Answers, resamples: int, random_state: int) -> Scores:
    """Draw n groups with replacement from the n there are, and score B minus A on each draw (Efron, 1979).

    Parameters
    ----------
    answers
        The images; both runs are scored on the same draws.
    resamples
        How many draws.
    random_state
        Their seed.
    """
    tables = _Tables.of(answers)
    parts = [
        tables.score(weights, "b").minus(tables.score(weights, "a"))
        for weights in _draw(tables.groups, resamples, random_state)
    ]
    names = ("accuracy", "f1_macro", "recall", "f1")
    return Scores(*(np.concatenate([getattr(part, name) for part in parts], axis=-1) for name in names))


def _draw(groups: int, resamples: int, random_state: int) -> Iterator[np.ndarray]:
    """How often each group is drawn: blocks of shape `(groups, m)`."""
    rng, block = np.random.default_rng(random_state), max(1, BLOCK // groups)
    for start in range(0, resamples, block):
        m = min(block, resamples - start)
        cells = rng.integers(groups, size=(m, groups)) * m + np.arange(m)[:, None]
        yield np.bincount(cells.ravel(), minlength=groups * m).reshape(groups, m).astype(float)


@dataclass(frozen=True)
class _Tables:
    """Counts by class and group, each of shape `(classes, groups)`: they are all that the scores need."""

    support: csr_array
    hits: dict[str, csr_array]
    predicted: dict[str, csr_array]

    @property
    def groups(self) -> int:
        return int(self.support.shape[1])

    @classmethod
    def of(cls, answers: Answers) -> "_Tables":
        shape = (answers.classes, int(answers.groups.max()) + 1)

        def count(classes: np.ndarray, kept: np.ndarray) -> csr_array:
            places = (classes[kept], answers.groups[kept])
            return csr_array((np.ones(int(kept.sum())), places), shape=shape)

        sides = {"a": answers.a, "b": answers.b}
        return cls(
            support=count(answers.y_true, np.ones(len(answers.y_true), dtype=bool)),
            hits={side: count(answers.y_true, found == answers.y_true) for side, found in sides.items()},
            predicted={side: count(found, found < answers.classes) for side, found in sides.items()},
        )

    def score(self, weights: np.ndarray, side: str) -> Scores:
        """Score one run, each group counted as often as `weights` says, shape `(groups, m)`."""
        return _score(self.support @ weights, self.hits[side] @ weights, self.predicted[side] @ weights)


def _score(support: np.ndarray, hits: np.ndarray, predicted: np.ndarray) -> Scores:
    """The measures above, from counts of shape `(classes, m)`; NaN for a class without an image."""
    present = support > 0
    recall = np.divide(hits, support, out=np.full(hits.shape, np.nan), where=present)
    f1 = np.divide(2 * hits, support + predicted, out=np.full(hits.shape, np.nan), where=present)
    return Scores(hits.sum(axis=0) / support.sum(axis=0), np.nanmean(f1, axis=0), recall, f1)


def compute_swap_p(answers: Answers) -> float:
    """Test whether accuracy differs: the two-sided p of swapping the two runs' answers in whole groups.

    If the runs were equally good, A and B could change places in any group. With d_g the images that B gains in group g
    less those it loses, p = P(abs(Σ ±d_g) ≥ abs(Σ d_g)), each sign with probability ½. The distribution is exact. With
    one image per group this is McNemar's exact test.

    >>> def answers(gained, lost, groups):
    ...     a = np.array([1] * gained + [0] * lost)
    ...     return Answers(np.zeros_like(a), a, 1 - a, np.array(groups), 1)
    >>> round(compute_swap_p(answers(9, 1, range(10))), 6) == round(compute_mcnemar_p(9, 1), 6)
    True
    >>> compute_swap_p(answers(9, 0, [0] * 9))
    1.0
    """
    return _swap_p(np.bincount(answers.groups, weights=answers.gains))


def compute_class_swap_p(answers: Answers) -> np.ndarray:
    """Test whether the recall of each class differs, as `compute_swap_p` does on its images: shape `(classes,)`."""
    gains, of_class = answers.gains, [answers.y_true == code for code in range(answers.classes)]
    inside = [np.unique(answers.groups[rows], return_inverse=True)[1] for rows in of_class]
    pairs = zip(inside, of_class, strict=True)
    return np.array([_swap_p(np.bincount(groups, weights=gains[rows])) for groups, rows in pairs])


def _swap_p(differences: np.ndarray) -> float:
    """P(abs(Σ ±d_g) ≥ abs(Σ d_g)): Σ ±d = 2 T - Σ abs(d), where T adds up k times Bin(m_k, ½) over sizes k of d."""
    sizes, counts = np.unique(np.abs(differences[differences != 0]).astype(int), return_counts=True)
    distribution = np.ones(1)
    for size, count in zip(sizes, counts, strict=True):
        part = np.zeros(size * count + 1)
        part[::size] = binom.pmf(np.arange(count + 1), count, 0.5)
        distribution = np.convolve(distribution, part)
    total = len(distribution) - 1
    sums = np.abs(2 * np.arange(total + 1) - total)
    return min(1.0, float(distribution[sums >= abs(int(differences.sum()))].sum()))


def compute_f1_swap_p(answers: Answers, swaps: int, random_state: int) -> float:
    """Test whether macro F1 differs: as `compute_swap_p`, by drawn swaps, p = (1 + as large) / (1 + swaps).

    Only groups with different answers matter, so only these are swapped.
    """
    tables = _Tables.of(answers)
    mixed = np.unique(answers.groups[answers.a != answers.b])
    if not len(mixed):
        return 1.0
    hits, predicted = tables.hits, tables.predicted
    moved = [(part["b"] - part["a"])[:, mixed] for part in (hits, predicted)]
    sums = [np.asarray(found.sum(axis=1))[:, None] for found in (hits["a"], predicted["a"], hits["b"], predicted["b"])]
    support = np.asarray(tables.support.sum(axis=1))[:, None]

    def difference(swapped: np.ndarray) -> np.ndarray:
        hits_moved, predicted_moved = (found @ swapped for found in moved)
        shares = np.broadcast_to(support, hits_moved.shape)
        one = _score(shares, sums[0] + hits_moved, sums[1] + predicted_moved)
        other = _score(shares, sums[2] - hits_moved, sums[3] - predicted_moved)
        return np.asarray(np.abs(other.f1_macro - one.f1_macro))

    observed = difference(np.zeros((len(mixed), 1)))[0]
    rng, block, as_large = np.random.default_rng(random_state), max(1, BLOCK // len(mixed)), 0
    for start in range(0, swaps, block):
        swapped = rng.integers(2, size=(len(mixed), min(block, swaps - start))).astype(float)
        as_large += int((difference(swapped) >= observed - EQUAL).sum())
    return (1 + as_large) / (1 + swaps)


def compute_mcnemar_p(gained: int, lost: int) -> float:
    """McNemar's exact test: whether of the images that one run alone gets right each has as many (McNemar, 1947).

    It takes images for independent.

    >>> compute_mcnemar_p(0, 0), compute_mcnemar_p(8, 0)
    (1.0, 0.0078125)
    """
    return float(binomtest(gained, gained + lost, 0.5).pvalue) if gained + lost else 1.0


def correct_p_values(p_values: np.ndarray) -> np.ndarray:
    """Correct for having tested several times, after Holm ("A simple sequentially rejective multiple test
    procedure", 1979): the chance that any difference is found where there is none stays below the level.

    >>> correct_p_values(np.array([0.04, 0.01, 0.03])).round(6).tolist()
    [0.06, 0.03, 0.06]
    """
    order = np.argsort(p_values)
    ascending = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1)).clip(max=1.0)
    corrected = np.empty(len(p_values))
    corrected[order] = ascending
    return corrected


def compute_interval(differences: np.ndarray) -> tuple[float, float]:
    """The 95 % percentile interval of resampled differences, shape `(m,)`; NaN is left out."""
    low, high = np.nanpercentile(differences, INTERVAL)
    return float(low), float(high)
