"""The scores of a target over its seeds: mean, deviation and interval, with its leaking images and without, per class.

In: labels, groups and every seed's test probabilities. Out: plain numbers for `tables`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.core.scoring.metrics import score, tabulate_classes
from stages.core.scoring.uncertainty import MEASURES, average_uncertainty, measure_uncertainty

PER_CLASS = ("precision", "recall", "f1")


@dataclass(frozen=True)
class Scored:
    """The test images of a target, of all its folds.

    Attributes
    ----------
    classes
        Their names.
    y_true, groups, leaking
        Class index, duplicate group, and whether a train or val image repeats it; each of shape `(n,)`.
    probabilities
        By seed, of shape `(n, classes)`.
    train_counts
        Train images of each class, shape `(classes,)`: of a fold, their mean.
    """

    classes: list[str]
    y_true: np.ndarray
    groups: np.ndarray
    leaking: np.ndarray
    probabilities: Mapping[int, np.ndarray]
    train_counts: np.ndarray


def summarise(scored: Scored, resamples: int) -> dict[str, Any]:
    """Score every seed, and put mean, deviation and interval together.

    Returns
    -------
    dict
        `all` and `without_leaks`: by measure, `mean`, `sd` (over seeds, n - 1; None with one seed) and the 95 %
        interval `low` to `high`; the number of images `n`, and of the `classes` that they are of, over which macro F1
        is the mean. `per_class`: a row for each. `seeds`: each one's scores.
    """
    everything = np.arange(len(scored.y_true))
    kept = np.flatnonzero(~scored.leaking)
    found = {"all": _score_rows(scored, everything, resamples)}
    found["without_leaks"] = found["all"] if len(kept) == len(everything) else _score_rows(scored, kept, resamples)
    seeds = [{"seed": seed} | score(scored.y_true, p) for seed, p in scored.probabilities.items()]
    return found | {"per_class": _score_classes(scored), "seeds": seeds}


def _score_rows(scored: Scored, rows: np.ndarray, resamples: int) -> dict[str, Any]:
    """Score some of the images. The interval is of the mean over seeds, on the same resamples for all of them."""
    if not len(rows):
        return {"n": 0}
    y_true, probabilities = scored.y_true[rows], {str(s): p[rows] for s, p in scored.probabilities.items()}
    each = [score(y_true, found) for found in probabilities.values()]
    uncertainty = measure_uncertainty(y_true, probabilities, scored.groups[rows], resamples)
    of_mean = average_uncertainty(list(uncertainty.values()))
    summary: dict[str, Any] = {"n": len(rows), "classes": each[0]["classes"]}
    for measure in (*MEASURES, "ece"):
        summary[measure] = _mean_and_sd([float(scores[measure]) for scores in each])
        if measure in MEASURES:
            summary[measure] |= dict(zip(("low", "high"), of_mean.interval(measure), strict=True))
    return summary


def _score_classes(scored: Scored) -> list[dict[str, Any]]:
    """Give each class its precision, recall and F1 over seeds."""
    tables = [
        tabulate_classes(scored.y_true, p.argmax(axis=1), scored.classes, scored.train_counts)
        for p in scored.probabilities.values()
    ]
    return [
        {
            "class": name,
            "support": int(tables[0]["support"][row]),
            "train": int(tables[0]["train_n"][row]),
            **{measure: _mean_and_sd([float(table[measure][row]) for table in tables]) for measure in PER_CLASS},
        }
        for row, name in enumerate(scored.classes)
    ]


def _mean_and_sd(values: list[float]) -> dict[str, float | None]:
    return {"mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None}
