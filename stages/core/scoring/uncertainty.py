"""Uncertainty of the scores: intervals, and a paired test of one model against another.

In: labels, probabilities and duplicate groups of one split. Out: plain numbers and a sentence. Groups are resampled,
not images: copies of one picture are no independent evidence. Macro F1 is left to `jackknife`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stages.core.scoring.jackknife import Jackknife, average, jackknife_macro_f1
from stages.core.scoring.metrics import SMALLEST_PROBABILITY, rank_truth

INTERVAL = (2.5, 97.5)
RANDOM_STATE = 0
# The scores of `metrics.score` that get an interval. Not the calibration error: resampling adds noise to every bin, so
# that it is larger on a resample than on the images themselves.
MEASURES = ("accuracy", "f1_macro", "f1_weighted", "top3_accuracy", "top5_accuracy", "log_loss")
BOOTSTRAPPED = tuple(measure for measure in MEASURES if measure != "f1_macro")
COMPARED = {"accuracy": "accuracy", "f1_macro": "macro F1"}


@dataclass(frozen=True)
class Uncertainty:
    """How far a model's scores, or a difference of two models' scores, may be from those of more images like these.

    Attributes
    ----------
    draws
        By measure of `BOOTSTRAPPED`, the scores on the resamples, shape `(resamples,)`.
    f1_macro
        Its jackknife.
    """

    draws: Mapping[str, np.ndarray]
    f1_macro: Jackknife

    def __sub__(self, other: "Uncertainty") -> "Uncertainty":
        """Of the difference of two models on the same images."""
        draws = {measure: values - other.draws[measure] for measure, values in self.draws.items()}
        return Uncertainty(draws, self.f1_macro - other.f1_macro)

    def interval(self, measure: str) -> tuple[float, float]:
        """Compute the 95 % interval of one of `MEASURES`."""
        if measure == "f1_macro":
            return self.f1_macro.interval()
        low, high = np.percentile(self.draws[measure], INTERVAL)
        return float(low), float(high)

    def p_value(self, measure: str) -> float:
        """Compute the two-sided p-value of a difference being zero; of a bootstrap, by the resamples beyond zero."""
        if measure == "f1_macro":
            return self.f1_macro.p_value()
        values = self.draws[measure]
        return float(min(1.0, 2 * min((values <= 0).mean(), (values >= 0).mean()) + 1 / len(values)))

    def intervals(self) -> dict[str, float]:
        """Compute all intervals: `accuracy_low`, `accuracy_high`, `f1_macro_low`, …"""
        ends = {measure: self.interval(measure) for measure in MEASURES}
        return {f"{measure}_{end}": ends[measure][i] for measure in MEASURES for i, end in enumerate(("low", "high"))}


def measure_uncertainty(
    y_true: np.ndarray, probabilities: Mapping[str, np.ndarray], groups: np.ndarray, resamples: int
) -> dict[str, Uncertainty]:
    """Measure the uncertainty of each model's scores, on the same resamples; arguments as for `bootstrap_scores`."""
    drawn = bootstrap_scores(y_true, probabilities, groups, resamples)
    return {
        model: Uncertainty(drawn[model], jackknife_macro_f1(y_true, found.argmax(axis=1), groups))
        for model, found in probabilities.items()
    }


def average_uncertainty(models: Sequence[Uncertainty]) -> Uncertainty:
    """Give the uncertainty of the mean of several models' scores on the same images."""
    draws = {measure: np.mean([m.draws[measure] for m in models], axis=0) for measure in BOOTSTRAPPED}
    return Uncertainty(draws, average([m.f1_macro for m in models]))


def bootstrap_scores(
    y_true: np.ndarray, probabilities: Mapping[str, np.ndarray], groups: np.ndarray, resamples: int
) -> dict[str, dict[str, np.ndarray]]:
    """Score models on resamples of the groups, the same resamples for every model.

    Parameters
    ----------
    y_true
        Class indices, shape `(n,)`.
    probabilities
        By model, each of shape `(n, classes)`.
    groups
        Duplicate group of each image, shape `(n,)`.
    resamples
        How many times n groups are drawn with replacement from the n there are (Efron, 1979).

    Returns
    -------
    dict
        By model and measure of `BOOTSTRAPPED`, an array of shape `(resamples,)`.
    """
    codes = np.unique(groups, return_inverse=True)[1]
    n_groups = codes.max() + 1
    scorers = {model: _make_scorer(y_true, found) for model, found in probabilities.items()}
    scores = {model: {measure: np.empty(resamples) for measure in BOOTSTRAPPED} for model in probabilities}
    rng = np.random.default_rng(RANDOM_STATE)
    for index in range(resamples):
        weights = np.bincount(rng.integers(n_groups, size=n_groups), minlength=n_groups)[codes]
        for model, scorer in scorers.items():
            for measure, value in scorer(weights).items():
                scores[model][measure][index] = value
    return scores


def _make_scorer(y_true: np.ndarray, probabilities: np.ndarray) -> Callable[[np.ndarray], dict[str, float]]:
    """Make the function from the images' weights `(n,)` to the scores that `metrics.score` defines."""
    classes = probabilities.shape[1]
    rank = rank_truth(y_true, probabilities)
    of_truth = probabilities[np.arange(len(y_true)), y_true].clip(min=SMALLEST_PROBABILITY)
    means = np.stack([rank < 1, rank < 3, rank < 5, -np.log(of_truth)])
    cells = y_true * classes + probabilities.argmax(axis=1)

    def scores(weights: np.ndarray) -> dict[str, float]:
        confusion = np.bincount(cells, weights=weights, minlength=classes**2).reshape(classes, classes)
        accuracy, top3, top5, log_loss = means @ weights / weights.sum()
        found = {"accuracy": accuracy, "top3_accuracy": top3, "top5_accuracy": top5, "log_loss": log_loss}
        return found | {"f1_weighted": _weighted_f1(confusion)}

    return scores


def _weighted_f1(confusion: np.ndarray) -> float:
    """Mean F1 = 2 tp / (2 tp + fp + fn), weighted by support: a class that a resample lacks has no weight."""
    support = confusion.sum(axis=1)
    either = confusion.sum(axis=0) + support
    f1 = np.divide(2 * np.diag(confusion), either, out=np.zeros(len(either)), where=either > 0)
    return float(f1 @ support / support.sum())


def compare_paired(
    found: Mapping[str, Uncertainty], observed: Mapping[str, Mapping[str, float]], one: str, other: str
) -> dict[str, object]:
    """Compare two models scored on the same images.

    Parameters
    ----------
    found
        Of `measure_uncertainty`.
    observed
        By model and measure, the score on the images themselves.
    one, other
        The models; a difference is the first's score minus the second's.

    Returns
    -------
    dict
        By measure `difference`, `low`, `high` (95 %) and `p`, two-sided; and `words`, a sentence.
    """
    between = found[one] - found[other]
    compared: dict[str, object] = {}
    clauses = []
    for measure, name in COMPARED.items():
        low, high = between.interval(measure)
        difference = float(observed[one][measure] - observed[other][measure])
        compared[measure] = {"difference": difference, "low": low, "high": high, "p": between.p_value(measure)}
        if low > 0:
            verdict = "beats it"
        elif high < 0:
            verdict = "is worse"
        else:
            verdict = "cannot be told from it"
        clauses.append(
            f"in {name} it {verdict} ({100 * difference:+.1f} points, 95 % interval {100 * low:+.1f} to "
            f"{100 * high:+.1f})"
        )
    names = (name.replace("_", " ") for name in (one, other))
    compared["words"] = f"{' against '.join(names)}, on the same images: {'; '.join(clauses)}."
    return compared
