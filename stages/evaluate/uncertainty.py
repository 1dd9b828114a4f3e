"""Uncertainty of the scores: bootstrap intervals, and a paired test of one model against another.

In: labels, probabilities and duplicate groups of one split. Out: plain numbers and a sentence. Groups are resampled,
not images: copies of one picture are no independent evidence.
"""

from collections.abc import Callable, Mapping

import numpy as np

from stages.evaluate.metrics import SMALLEST_PROBABILITY, rank_truth

INTERVAL = (2.5, 97.5)
RANDOM_STATE = 0
# The scores of `metrics.score` that are resampled. Not the calibration error: resampling adds noise to every bin, so
# that it is larger on a resample than on the images themselves.
MEASURES = ("accuracy", "f1_macro", "f1_weighted", "top3_accuracy", "top5_accuracy", "log_loss")
COMPARED = {"accuracy": "accuracy", "f1_macro": "macro F1"}


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
        By model and measure of `MEASURES`, an array of shape `(resamples,)`.
    """
    codes = np.unique(groups, return_inverse=True)[1]
    n_groups = codes.max() + 1
    scorers = {model: _make_scorer(y_true, found) for model, found in probabilities.items()}
    scores = {model: {measure: np.empty(resamples) for measure in MEASURES} for model in probabilities}
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
        return found | _mean_f1(confusion)

    return scores


def _mean_f1(confusion: np.ndarray) -> dict[str, float]:
    """Mean F1 = 2 tp / (2 tp + fp + fn) of the classes in truth or prediction: plain, and weighted by support."""
    support = confusion.sum(axis=1)
    either = confusion.sum(axis=0) + support
    f1 = np.divide(2 * np.diag(confusion), either, out=np.zeros(len(either)), where=either > 0)
    return {"f1_macro": f1[either > 0].mean(), "f1_weighted": f1 @ support / support.sum()}


def compute_intervals(scores: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Compute the 95 % interval of each measure: `accuracy_low`, `accuracy_high`, `f1_macro_low`, …"""
    found: dict[str, float] = {}
    for measure, values in scores.items():
        low, high = np.percentile(values, INTERVAL)
        found |= {f"{measure}_low": float(low), f"{measure}_high": float(high)}
    return found


def compare_paired(
    scores: Mapping[str, Mapping[str, np.ndarray]], observed: Mapping[str, Mapping[str, float]], one: str, other: str
) -> dict[str, object]:
    """Compare two models scored on the same resamples.

    Parameters
    ----------
    scores
        Of `bootstrap_scores`.
    observed
        By model and measure, the score on the images themselves.
    one, other
        The models; a difference is the first's score minus the second's.

    Returns
    -------
    dict
        By measure `difference`, `low`, `high` (95 %) and `p`, the two-sided share of resamples on the other side of
        zero; and `words`, a sentence.
    """
    found: dict[str, object] = {}
    clauses = []
    for measure, name in COMPARED.items():
        differences = scores[one][measure] - scores[other][measure]
        low, high = (float(value) for value in np.percentile(differences, INTERVAL))
        difference = float(observed[one][measure] - observed[other][measure])
        p = min(1.0, 2 * min((differences <= 0).mean(), (differences >= 0).mean()) + 1 / len(differences))
        found[measure] = {"difference": difference, "low": low, "high": high, "p": float(p)}
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
    found["words"] = f"{' against '.join(names)}, on the same images: {'; '.join(clauses)}."
    return found
