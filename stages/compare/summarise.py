"""Compare two runs on the paired images of each target: differences, intervals, tests, corrected over targets.

In: paired images by target. Out: plain numbers, as `comparison.json` holds them. Sentences are left to `words`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from stages.compare.paired_statistics import (
    Answers,
    Scores,
    bootstrap_differences,
    compute_class_swap_p,
    compute_f1_swap_p,
    compute_interval,
    compute_mcnemar_p,
    compute_swap_p,
    correct_p_values,
    score_both,
)
from stages.compare.pairing import Paired
from stages.compare.settings import CompareSettings
from stages.core.scoring.jackknife import jackknife_macro_f1

LEVEL = 0.05
MEASURES = ("accuracy", "f1_macro")
# A class of fewer groups has too few pictures for an interval: drawing them again gives the same few values.
INTERVAL_GROUPS = 5


def summarise(paired: Mapping[str, Paired], settings: CompareSettings) -> dict[str, dict[str, Any]]:
    """Compare the runs on every target that has paired images.

    Returns
    -------
    dict
        By target: `images`, `groups`, `left_out`, by measure the scores, their difference (B - A), its interval and p,
        `changes`, `mcnemar`, and a row per class. `p_corrected` is Holm's over targets, of classes over the classes of
        their target; `significant` is by it.
    """
    found = {target: _compare(images, settings) for target, images in paired.items()}
    for measure in MEASURES:
        _correct([comparison[measure] for comparison in found.values() if comparison["images"]])
    return found


def _compare(paired: Paired, settings: CompareSettings) -> dict[str, Any]:
    left_out = [{"images": count, "why": why} for count, why in paired.left_out]
    summary: dict[str, Any] = {"images": len(paired.table), "left_out": left_out}
    if paired.table.empty:
        return summary | {"groups": 0}
    answers, classes = paired.answers(), paired.classes
    a, b = score_both(answers)
    drawn = bootstrap_differences(answers, settings.resamples, settings.random_state)
    p_values = {
        "accuracy": compute_swap_p(answers),
        "f1_macro": compute_f1_swap_p(answers, settings.resamples, settings.random_state),
    }
    intervals = {"accuracy": compute_interval(drawn.accuracy), "f1_macro": _macro_f1_interval(answers)}
    for measure in MEASURES:
        low, high = intervals[measure]
        values = float(getattr(a, measure)[0]), float(getattr(b, measure)[0])
        summary[measure] = _difference(*values) | {"low": low, "high": high, "p": p_values[measure]}
    return summary | {
        "groups": int(answers.groups.max()) + 1,
        "changes": _count_changes(answers),
        "classes": _compare_classes(answers, classes, (a, b), drawn),
    }


def _macro_f1_interval(answers: Answers) -> tuple[float, float]:
    """By the jackknife, as evaluate does it: a bootstrap loses small classes, which makes its intervals too short."""
    one, other = (jackknife_macro_f1(answers.y_true, found, answers.groups) for found in (answers.a, answers.b))
    return (other - one).interval()


def _difference(a: float, b: float) -> dict[str, Any]:
    return {"a": a, "b": b, "difference": b - a}


def _count_changes(answers: Answers) -> dict[str, Any]:
    """Images and whole groups that one run alone gets right, and images that both get wrong in different ways."""
    gains = answers.gains
    gained, lost = int((gains > 0).sum()), int((gains < 0).sum())
    by_group = np.bincount(answers.groups, weights=gains)
    return {
        "gained": gained,
        "lost": lost,
        "groups_gained": int((by_group > 0).sum()),
        "groups_lost": int((by_group < 0).sum()),
        "both_wrong": int(((gains == 0) & (answers.a != answers.b)).sum()),
        "mcnemar_p": compute_mcnemar_p(gained, lost),
    }


def _compare_classes(
    answers: Answers, classes: list[str], both: tuple[Scores, Scores], drawn: Scores
) -> list[dict[str, Any]]:
    p_values, gains = compute_class_swap_p(answers), answers.gains
    rows: list[dict[str, Any]] = []
    for code, name in enumerate(classes):
        of_class = answers.y_true == code
        groups = len(np.unique(answers.groups[of_class]))
        row: dict[str, Any] = {"class": name, "images": int(of_class.sum()), "groups": groups}
        row |= {"gained": int((gains[of_class] > 0).sum()), "lost": int((gains[of_class] < 0).sum())}
        for measure in ("recall", "f1"):
            values = (float(getattr(scores, measure)[code, 0]) for scores in both)
            enough = groups >= INTERVAL_GROUPS
            low, high = compute_interval(getattr(drawn, measure)[code]) if enough else (None, None)
            row[measure] = _difference(*values) | {"low": low, "high": high}
        rows.append(row | {"p": float(p_values[code])})
    _correct(rows)
    return rows


def _correct(tests: list[dict[str, Any]]) -> None:
    """Add the corrected p to each test of a family, and the verdict by it."""
    if tests:
        for test, p in zip(tests, correct_p_values(np.array([test["p"] for test in tests])), strict=True):
            test |= {"p_corrected": float(p), "significant": bool(p <= LEVEL)}


def tabulate_changes(target: str, paired: Paired) -> pd.DataFrame:
    """Tabulate the images whose prediction changed: gained, lost, then wrong in another way, the surest first.

    Within each, images come by how far the confidence moved.
    """
    table = paired.table[paired.table["a_pred"] != paired.table["b_pred"]]
    right = {side: table[f"{side}_pred"] == table["y_true"] for side in ("a", "b")}
    change = np.select([right["b"], right["a"]], ["gained", "lost"], "both_wrong")
    order = np.select([right["b"], right["a"]], [0, 1], 2)
    moved = -(table["b_confidence"] - table["a_confidence"]).abs()
    table = table.assign(target=target, change=change, order=order, moved=moved)
    table = table.sort_values(["order", "moved", "image"], kind="stable")
    columns = ["target", "image", "sha256", "change", "y_true", "a_pred", "a_confidence", "b_pred", "b_confidence"]
    return table[columns].reset_index(drop=True)
