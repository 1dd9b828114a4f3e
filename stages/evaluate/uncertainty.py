"""How sure the scores are: bootstrap intervals, and a paired test of one model against another.

In: labels, predictions and duplicate groups of one split. Out: plain numbers and a sentence. Pictures are what is drawn
again, not images: copies of one picture are no independent evidence.
"""

from collections.abc import Mapping

import numpy as np

INTERVAL = (2.5, 97.5)
RANDOM_STATE = 0
MEASURES = {"accuracy": "accuracy", "f1_macro": "macro F1"}


def bootstrap(
    y_true: np.ndarray, predictions: Mapping[str, np.ndarray], groups: np.ndarray, resamples: int
) -> dict[str, dict[str, np.ndarray]]:
    """Score models on resamples of the groups, the same resamples for every model.

    Parameters
    ----------
    y_true
        Class indices, shape `(n,)`.
    predictions
        Class indices by model, each of shape `(n,)`.
    groups
        Duplicate group of each image, shape `(n,)`.
    resamples
        How often as many groups as there are get drawn with replacement (Efron, 1979).

    Returns
    -------
    dict
        By model and measure (accuracy, f1_macro), an array of shape `(resamples,)`.
    """
    codes = np.unique(groups, return_inverse=True)[1]
    n_groups = codes.max() + 1
    classes = 1 + max(int(y_true.max()), *(int(y_pred.max()) for y_pred in predictions.values()))
    cells = {model: y_true * classes + y_pred for model, y_pred in predictions.items()}
    scores = {model: {measure: np.empty(resamples) for measure in MEASURES} for model in predictions}
    rng = np.random.default_rng(RANDOM_STATE)
    for index in range(resamples):
        weights = np.bincount(rng.integers(n_groups, size=n_groups), minlength=n_groups)[codes]
        for model, cell in cells.items():
            confusion = np.bincount(cell, weights=weights, minlength=classes**2).reshape(classes, classes)
            scores[model]["accuracy"][index] = np.trace(confusion) / weights.sum()
            scores[model]["f1_macro"][index] = _f1_macro(confusion)
    return scores


def _f1_macro(confusion: np.ndarray) -> float:
    """Mean F1 of the classes that occur in truth or prediction: 2 tp / (2 tp + fp + fn), scikit-learn's definition."""
    either = confusion.sum(axis=0) + confusion.sum(axis=1)
    occurs = either > 0
    return float((2 * np.diag(confusion)[occurs] / either[occurs]).mean())


def intervals(scores: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The 95 % interval of each measure: `accuracy_low`, `accuracy_high`, `f1_macro_low`, `f1_macro_high`."""
    found = {}
    for measure, values in scores.items():
        low, high = np.percentile(values, INTERVAL)
        found |= {f"{measure}_low": float(low), f"{measure}_high": float(high)}
    return found


def paired_comparison(
    scores: Mapping[str, Mapping[str, np.ndarray]], observed: Mapping[str, Mapping[str, float]], one: str, other: str
) -> dict[str, object]:
    """Compare two models scored on the same resamples.

    Parameters
    ----------
    scores
        What `bootstrap` gave.
    observed
        By model and measure, the score on the images themselves.
    one, other
        The models; differences are the first's less the second's.

    Returns
    -------
    dict
        By measure `difference`, `low`, `high` (95 %) and `p`, the two-sided share of resamples on the other side of
        zero; and `words`, a sentence.
    """
    found: dict[str, object] = {}
    clauses = []
    for measure, name in MEASURES.items():
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
