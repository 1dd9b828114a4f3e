"""Turn what was read into the rows that the pages print: scores, labels, splits, duplicates, provenance.

In: a `Collection` and metrics. Out: small frozen rows and lists, ready for a template.
"""

import platform
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pandas as pd

from stages.core.pages.render import MODEL_NAMES
from stages.core.tables.columns import SPLITS
from stages.report.sources import Collection

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
PACKAGES = (
    "torch",
    "torchvision",
    "h5py",
    "numpy",
    "pillow",
    "pandas",
    "scikit-learn",
    "dvc",
    "vl-convert-python",
    "pacmap",
)


@dataclass(frozen=True)
class Score:
    """One measure of one model, with its 95 % interval where one is known.

    `best` where no other model of its row does better.
    """

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


@dataclass(frozen=True)
class Attribute:
    """A label column: how many images carry a label, and its classes with their counts per split."""

    name: str
    labelled: int
    unlabelled: int
    classes: list[tuple[str, dict[str, int], int]]


@dataclass(frozen=True)
class SplitRow:
    """Images and distinct pictures (duplicate groups) of one split."""

    split: str
    images: int
    share: float
    groups: int


@dataclass(frozen=True)
class Duplicates:
    """Groups of more than one image: the images of each, the largest groups first; groups on two splits are leaks."""

    groups: list[list[str]]
    images: int
    exact: int
    leaks: int


def models(metrics: Mapping[str, Any]) -> list[str]:
    """The head and its baselines, the strongest baseline first."""
    known = [name for name in MODEL_NAMES if name == "head" or name in metrics.get("baselines", {})]
    return known + [name for name in metrics.get("baselines", {}) if name not in MODEL_NAMES]


def score_rows(
    metrics: Mapping[str, Any], models: Iterable[str], split: str, keys: Container[str] | None = None
) -> list[ScoreRow]:
    """Put the head beside its baselines, a row per measure, and mark the best of each row."""
    by_model = {"head": metrics} | metrics.get("baselines", {})
    wanted = [measure for measure in MEASURES if keys is None or measure[1] in keys]
    rows = []
    for name, key, lower_is_better in wanted:
        found = {model: by_model.get(model, {}).get(split, {}) for model in models}
        known = [scores[key] for scores in found.values() if scores.get(key) is not None]
        best = (min if lower_is_better else max)(known, default=None)
        rows.append(ScoreRow(name, [_score(model, scores, key, best) for model, scores in found.items()]))
    return [row for row in rows if any(score.value is not None for score in row.scores)]


def _score(model: str, scores: Mapping[str, Any], key: str, best: float | None) -> Score:
    value = scores.get(key)
    return Score(model, value, value is not None and value == best, scores.get(f"{key}_low"), scores.get(f"{key}_high"))


def attributes(collection: Collection) -> list[Attribute]:
    """Describe every label column by the images that were kept."""
    found = []
    for name in collection.attributes:
        labels = collection.splits[name]
        counts = pd.crosstab(labels, collection.splits["split"]).reindex(columns=list(SPLITS), fill_value=0)
        counts = counts.drop(index="", errors="ignore")
        order = counts.sum(axis=1).sort_values(ascending=False, kind="stable").index
        classes = [
            (str(label), {s: int(counts.at[label, s]) for s in SPLITS}, int(counts.loc[label].sum())) for label in order
        ]
        unlabelled = int((labels == "").sum())
        found.append(Attribute(name, len(labels) - unlabelled, unlabelled, classes))
    return found


def split_rows(splits: pd.DataFrame) -> list[SplitRow]:
    """Count the images of each split."""
    parts = {split: splits[splits["split"] == split] for split in SPLITS}
    return [
        SplitRow(s, len(part), len(part) / max(len(splits), 1), part["group"].nunique()) for s, part in parts.items()
    ]


def duplicates(splits: pd.DataFrame) -> Duplicates:
    """Find the groups that hold several images."""
    sizes = splits.groupby("group")["image"].transform("size")
    members = splits[sizes > 1]
    groups = [sorted(part["image"]) for _, part in members.groupby("group")]
    leaks = int((members.groupby("group")["split"].nunique() > 1).sum())
    exact = int(splits["sha256"].duplicated().sum())
    return Duplicates(sorted(groups, key=lambda group: (-len(group), group)), len(members), exact, leaks)


def rejections(rejected: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Rejected files by reason, the most frequent reason first."""
    counts = rejected["reason"].value_counts()
    order = sorted(counts.index, key=lambda reason: (-counts[reason], reason))
    return [(reason, rejected[rejected["reason"] == reason].sort_values("image")) for reason in order]


def flattened(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Name every value of nested mappings by its dotted key, as params.yaml would."""
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", "\N{EN DASH}" if value is None else str(value)


def library_versions() -> list[tuple[str, str]]:
    """Versions of Python and of the libraries that decide the numbers."""
    return [("python", platform.python_version())] + [(name, _version(name)) for name in PACKAGES]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
