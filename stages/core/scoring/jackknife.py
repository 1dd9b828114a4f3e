"""The jackknife of macro F1: how much it moves when one group of duplicates is left out.

In: labels, predictions and groups of one split. Out: the score with its interval. Other scores are left to
`uncertainty`: a bootstrap loses small classes, which moves macro F1 and makes its intervals too short.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from stages.core.optimisation.scores import macro_f1

LEVEL = 0.95


@dataclass(frozen=True)
class Jackknife:
    """A score, and what it would be without each group.

    Attributes
    ----------
    value
        On all groups.
    left_out
        Shape `(groups,)`: the score without each.
    share
        Whether the score is between 0 and 1; a difference of two is not.
    """

    value: float
    left_out: np.ndarray
    share: bool = True

    def __sub__(self, other: "Jackknife") -> "Jackknife":
        """Of a paired difference: both on the same groups."""
        return Jackknife(self.value - other.value, self.left_out - other.left_out, share=False)

    def interval(self) -> tuple[float, float]:
        """Compute the 95 % interval; it holds the value.

        centre = value + (g - 1) · (value - mean of left_out)            Quenouille's correction of the bias
        error² = (g - 1) / g · Σ d²,  d = left_out - mean of left_out    Tukey, "Bias and confidence in not quite large
                                                                         samples", 1958
        centre ± t · error, Student's t of 2 (Σ d²)² / Σ d⁴ degrees of freedom: a few pictures that matter much are few
        degrees. Of a share, the steps are taken on its logit. `benchmarks/coverage.py` measures how often it holds.
        """
        bias, error, freedom = self._moments()
        half = float(t.ppf((1 + LEVEL) / 2, freedom)) * error
        if self.share and 0 < self.value < 1:
            slope, logit = self.value * (1 - self.value), np.log(self.value / (1 - self.value))
            ends = [float(1 / (1 + np.exp(-(logit + (step - bias) / slope)))) for step in (-half, half)]
        else:
            ends = [self.value - bias - half, self.value - bias + half]
        if self.share:
            ends = [min(max(end, 0.0), 1.0) for end in ends]
        return min(ends[0], self.value), max(ends[1], self.value)

    def p_value(self) -> float:
        """Compute the two-sided p-value of the value being zero."""
        bias, error, freedom = self._moments()
        if not error:
            return 1.0 if self.value == 0 else 0.0
        return float(2 * t.sf(abs(self.value - bias) / error, freedom))

    def _moments(self) -> tuple[float, float, float]:
        """Bias, standard error and degrees of freedom."""
        groups, mean = len(self.left_out), self.left_out.mean()
        squares = (self.left_out - mean) ** 2
        error = float(np.sqrt((groups - 1) / groups * squares.sum()))
        freedom = 2 * squares.sum() ** 2 / (squares**2).sum() if error else 1.0
        return float((groups - 1) * (mean - self.value)), error, max(1.0, float(freedom))


def average(scores: Sequence[Jackknife]) -> Jackknife:
    """Take the mean of several models' scores on the same groups."""
    value, left_out = np.mean([s.value for s in scores]), np.mean([s.left_out for s in scores], axis=0)
    return Jackknife(float(value), left_out, share=all(s.share for s in scores))


def jackknife_macro_f1(y_true: np.ndarray, y_pred: np.ndarray, groups: np.ndarray) -> Jackknife:
    """Score all images, and all but each group's.

    The classes are those with an image in `y_true`, whichever group is left out: a class that has no other image keeps
    the F1 it has with all of them.

    Parameters
    ----------
    y_true, y_pred, groups
        Class indices and duplicate groups, shape `(n,)`.
    """
    codes = np.unique(groups, return_inverse=True)[1]
    count = int(max(y_true.max(), y_pred.max())) + 1
    hits = np.bincount(y_true[y_true == y_pred], minlength=count).astype(float)
    support = np.bincount(y_true, minlength=count).astype(float)
    either = support + np.bincount(y_pred, minlength=count)
    # Per group and class that it touches: hits, true images, and true and predicted images that go with it.
    cells = np.concatenate([codes * count + y_true, codes * count + y_pred])
    touched, place = np.unique(cells, return_inverse=True)
    of_truth = place[: len(codes)]
    lost = np.bincount(place, minlength=len(touched))
    lost_support = np.bincount(of_truth, minlength=len(touched))
    lost_hits = np.bincount(of_truth[y_true == y_pred], minlength=len(touched))
    group, name = np.divmod(touched, count)
    keeps = (support[name] > 0) & (support[name] > lost_support)
    after = 2 * (hits[name] - lost_hits)[keeps] / (either[name] - lost)[keeps]
    change = np.zeros(len(touched))
    change[keeps] = after - 2 * hits[name][keeps] / either[name][keeps]
    value = macro_f1(y_true, y_pred)
    return Jackknife(value, value + np.bincount(group, weights=change) / np.count_nonzero(support))
