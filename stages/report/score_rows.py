"""Scores as table rows: the head and its baselines, a row per measure, the best of each row marked.

In: `metrics.json` as a dictionary. Out: frozen rows for the templates.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stages.core.pages.render import MODEL_NAMES

# Name, key in metrics.json, whether smaller is better.
MEASURES = (
    ("Accuracy", "accuracy", False),
    ("Macro F1", "f1_macro", False),
    ("Weighted F1", "f1_weighted", False),
    ("Top-3 accuracy", "top3_accuracy", False),
    ("Log-loss (lower is better)", "log_loss", True),
    ("Calibration error (lower is better)", "ece", True),
)
HEADLINES = {"accuracy", "f1_macro", "log_loss"}


@dataclass(frozen=True)
class Score:
    """One measure of one model, with its 95 % interval if known; `best` if no other model of its row is better."""

    model: str
    value: float | None
    best: bool
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class ScoreRow:
    """One measure of all models on one split."""

    measure: str
    scores: list[Score]


def list_models(metrics: Mapping[str, Any]) -> list[str]:
    """List the head and its baselines, the strongest baseline first."""
    known = [name for name in MODEL_NAMES if name == "head" or name in metrics.get("baselines", {})]
    return known + [name for name in metrics.get("baselines", {}) if name not in MODEL_NAMES]


def make_score_rows(
    metrics: Mapping[str, Any], models: Sequence[str], split: str, keys: Container[str] | None = None
) -> list[ScoreRow]:
    """Compare the head with its baselines, a row per measure, and mark the best of each row."""
    by_model = {"head": metrics} | metrics.get("baselines", {})
    wanted = [measure for measure in MEASURES if keys is None or measure[1] in keys]
    rows = []
    for name, key, lower_is_better in wanted:
        found = {model: by_model.get(model, {}).get(split, {}) for model in models}
        known = [scores[key] for scores in found.values() if scores.get(key) is not None]
        best = (min if lower_is_better else max)(known, default=None)
        rows.append(ScoreRow(name, [_make_score(model, scores, key, best) for model, scores in found.items()]))
    return [row for row in rows if any(score.value is not None for score in row.scores)]


def _make_score(model: str, scores: Mapping[str, Any], key: str, best: float | None) -> Score:
    value = scores.get(key)
    return Score(model, value, value is not None and value == best, scores.get(f"{key}_low"), scores.get(f"{key}_high"))
