"""Traits: which properties raise the odds of being misclassified, and by how much.

In: out-of-sample predictions, labels and `levels`. Out: the rows of traits.csv, ranked, each with a plain sentence.
Effects are odds ratios with Woolf's interval, with a half added to every cell (Haldane, "The estimation and
significance of the logarithm of a ratio of frequencies", 1956; Anscombe, "On estimating binomial response relations",
1956); p-values are those of Fisher's exact test, as mid-p (Lancaster, "Significance tests in discrete distributions",
1961), so that one mistake among few images is not significant; q-values are Benjamini and Hochberg's ("Controlling the
false discovery rate", 1995) over all comparisons made.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, hypergeom, norm

from stages.core.features.labelled import UNLABELLED, LabelledFeatures
from stages.core.tables.columns import TRAITS
from stages.outliers.levels import UNKNOWN, Property

COLUMNS = TRAITS.names
SIGNIFICANT = 0.05
Z = norm.ppf(0.975)


def find_traits(
    data: LabelledFeatures, predicted: np.ndarray, properties: list[Property], *, min_images: int
) -> pd.DataFrame:
    """Compare the images of every level with the others, overall and within each class.

    Parameters
    ----------
    data
        The labels; unlabelled images are left out.
    predicted
        Shape `(n,)`: the class that a model which has not seen the image gives it.
    properties
        As `levels.divide` makes them.
    min_images
        Levels with fewer images, or that leave fewer others, are not compared.

    Returns
    -------
    DataFrame
        The columns of traits.csv. First what raises the odds of being misclassified significantly (q at most 0.05),
        then confusions of two classes that are significant, then what lowers the odds significantly, each strongest
        first, then the rest by p-value. Strength is the end of the interval nearer to 1.
    """
    rows = data.labels != UNLABELLED
    labels, predicted = data.labels[rows], predicted[rows]
    wrong = predicted != labels
    tables = [
        *(_of_property(p, p.codes[rows], wrong) for p in properties),
        *(_within_classes(data, p, p.codes[rows], labels, wrong) for p in properties if p.name != "class"),
        _confusions(data.classes, labels, predicted),
    ]
    table = pd.concat(tables, ignore_index=True)
    others = table["others_right"] + table["others_wrong"]
    enough = (table["wrong"] + table["right"] >= min_images) & (others >= min_images)
    table = _with_effects(table[enough].reset_index(drop=True))
    # Pairs of classes that are never confused are not reported, but they count as comparisons for the q-values.
    table = table[(table["outcome"] == "misclassified") | (table["wrong"] > 0)]
    table["sentence"] = [_describe(row) for row in table.itertuples()]
    return _rank(table)[COLUMNS]


def odds_ratios(
    wrong: np.ndarray, right: np.ndarray, others_wrong: np.ndarray, others_right: np.ndarray
) -> pd.DataFrame:
    """Odds ratios of many two by two tables of counts, each of shape `(m,)`.

    Returns
    -------
    DataFrame
        `odds_ratio`, `ci_low` and `ci_high` (95 %), `p_value` (two-sided: twice the smaller tail).
    """
    cells = [np.asarray(count, dtype=float) + 0.5 for count in (wrong, right, others_wrong, others_right)]
    log_ratio = np.log(cells[0] * cells[3] / (cells[1] * cells[2]))
    error = np.sqrt(sum(1 / cell for cell in cells))
    return pd.DataFrame(
        {
            "odds_ratio": np.exp(log_ratio),
            "ci_low": np.exp(log_ratio - Z * error),
            "ci_high": np.exp(log_ratio + Z * error),
            "p_value": _exact_p_values(*(np.asarray(count) for count in (wrong, right, others_wrong, others_right))),
        }
    )


def _exact_p_values(
    wrong: np.ndarray, right: np.ndarray, others_wrong: np.ndarray, others_right: np.ndarray
) -> np.ndarray:
    """Two-sided mid-p of Fisher's exact test: under the hypergeometric law, twice the smaller tail."""
    images, mistakes = wrong + right + others_wrong + others_right, wrong + others_wrong
    null = hypergeom(images, mistakes, wrong + right)
    half = null.pmf(wrong) / 2
    tails = np.minimum(null.sf(wrong) + half, null.cdf(wrong - 1) + half)
    p_values: np.ndarray = np.clip(2 * tails, 0, 1)
    return p_values


def _of_property(divided: Property, codes: np.ndarray, wrong: np.ndarray) -> pd.DataFrame:
    """Count the images of each level and all others whose level is known."""
    known = codes != UNKNOWN
    bad = np.bincount(codes[known], weights=wrong[known], minlength=len(divided.levels))
    good = np.bincount(codes[known], minlength=len(divided.levels)) - bad
    counts = pd.DataFrame(
        {"wrong": bad, "right": good, "others_wrong": bad.sum() - bad, "others_right": good.sum() - good}
    )
    counts = counts.assign(property=divided.name, level=divided.levels, phrase=divided.phrases)
    return counts.iloc[divided.shown].assign(compared_with="the others", outcome="misclassified")


def _within_classes(
    data: LabelledFeatures, divided: Property, codes: np.ndarray, labels: np.ndarray, wrong: np.ndarray
) -> pd.DataFrame:
    """Count the images of each class and level and the others of that class, which removes the effect of the class."""
    known, size = codes != UNKNOWN, len(divided.levels)
    shape = (len(data.classes), size)
    cells = labels[known] * size + codes[known]
    bad = np.bincount(cells, weights=wrong[known], minlength=shape[0] * size).reshape(shape)
    good = np.bincount(cells, minlength=shape[0] * size).reshape(shape) - bad
    keep = (bad + good > 0) & np.isin(np.arange(size), divided.shown)
    names, levels = np.nonzero(keep)
    return pd.DataFrame(
        {
            "wrong": bad[keep],
            "right": good[keep],
            "others_wrong": (bad.sum(axis=1, keepdims=True) - bad)[keep],
            "others_right": (good.sum(axis=1, keepdims=True) - good)[keep],
            "property": f"{divided.name} within {data.target}",
            "level": [
                f"{data.classes[name]}: {divided.levels[level]}" for name, level in zip(names, levels, strict=True)
            ],
            "phrase": [
                f"{divided.phrases[level]} among those labelled {data.classes[name]}"
                for name, level in zip(names, levels, strict=True)
            ],
            "compared_with": [f"the others labelled {data.classes[name]}" for name in names],
            "outcome": "misclassified",
        }
    )


def _confusions(classes: list[str], labels: np.ndarray, predicted: np.ndarray) -> pd.DataFrame:
    """Count how often a class is taken for another, and how often all third classes are taken for it."""
    size = len(classes)
    taken = np.bincount(labels * size + predicted, minlength=size * size).reshape(size, size).astype(float)
    sizes = taken.sum(axis=1)
    right = np.diag(taken)
    others_taken = taken.sum(axis=0)[None] - taken - right[None]
    others = sizes.sum() - sizes[:, None] - sizes[None] - others_taken
    first, second = np.nonzero(~np.eye(size, dtype=bool))
    return pd.DataFrame(
        {
            "wrong": taken[first, second],
            "right": (sizes[:, None] - taken)[first, second],
            "others_wrong": others_taken[first, second],
            "others_right": others[first, second],
            "property": "confusion",
            "level": [f"{classes[a]} → {classes[b]}" for a, b in zip(first, second, strict=True)],
            "phrase": [f"Images labelled {classes[a]}" for a in first],
            "compared_with": "images of third classes",
            "outcome": [f"taken for {classes[b]}" for b in second],
        }
    )


def _with_effects(table: pd.DataFrame) -> pd.DataFrame:
    effects = odds_ratios(table["wrong"], table["right"], table["others_wrong"], table["others_right"])
    q_values = false_discovery_control(effects["p_value"]) if len(effects) else effects["p_value"]
    n = table["wrong"] + table["right"]
    return table.join(effects).assign(q_value=q_values, n=n.astype(int), misclassified_share=table["wrong"] / n)


def _describe(row: Any) -> str:
    """Describe a row in one line: odds as in the columns, and the shares that they come from."""
    others = row.others_wrong / (row.others_wrong + row.others_right)
    interval = f"95 %: {_format_ratio(row.ci_low)} to {_format_ratio(row.ci_high)}"
    shares = f"{100 * row.misclassified_share:.0f} % of {row.n}, against {100 * others:.0f} % of {row.compared_with}"
    ratio = _format_ratio(row.odds_ratio)
    return f"{row.phrase} have {ratio} times the odds of being {row.outcome} ({interval}): {shares}"


def _format_ratio(value: float) -> str:
    if value < 0.01:
        return "less than 0.01"
    return f"{value:.2f}" if value < 0.95 else f"{value:.1f}" if value < 9.95 else f"{value:.0f}"


def _rank(table: pd.DataFrame) -> pd.DataFrame:
    raising, confusion = table["odds_ratio"] > 1, table["property"] == "confusion"
    significant = table["q_value"] <= SIGNIFICANT
    strength = np.where(raising, np.log(table["ci_low"]), -np.log(table["ci_high"]))
    place = np.select([~significant, ~raising, confusion], [3, 2, 1], default=0)
    table = table.assign(place=place, order=np.where(significant, -strength, table["p_value"]))
    return table.sort_values(["place", "order", "property", "level"], ignore_index=True)
