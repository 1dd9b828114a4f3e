"""Count the images of a collection: labels per column, splits, duplicates, rejected files.

In: `CollectionTables`. Out: frozen rows for the templates.
"""

from dataclasses import dataclass

import pandas as pd

from stages.core.tables.columns import SPLITS
from stages.report.inputs import CollectionTables


@dataclass(frozen=True)
class LabelCounts:
    """A label column: labelled and unlabelled images, and its classes with their counts per split and in all."""

    name: str
    labelled: int
    unlabelled: int
    classes: list[tuple[str, dict[str, int], int]]


@dataclass(frozen=True)
class SplitRow:
    """Images and distinct pictures (groups of duplicates) of one split."""

    split: str
    images: int
    share: float
    groups: int


@dataclass(frozen=True)
class Duplicates:
    """Groups of two or more images, the largest first; `leaks` counts groups with images on two sides of the split."""

    groups: list[list[str]]
    images: int
    exact: int
    leaks: int


def count_labels(collection: CollectionTables) -> list[LabelCounts]:
    """Count the classes of every label column among the images kept."""
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
        found.append(LabelCounts(name, len(labels) - unlabelled, unlabelled, classes))
    return found


def count_splits(splits: pd.DataFrame) -> list[SplitRow]:
    """Count the images of each split."""
    parts = {split: splits[splits["split"] == split] for split in SPLITS}
    return [
        SplitRow(s, len(part), len(part) / max(len(splits), 1), part["group"].nunique()) for s, part in parts.items()
    ]


def find_duplicates(splits: pd.DataFrame) -> Duplicates:
    """Find the groups of two or more images."""
    sizes = splits.groupby("group")["image"].transform("size")
    members = splits[sizes > 1]
    groups = [sorted(part["image"]) for _, part in members.groupby("group")]
    leaks = int((members.groupby("group")["split"].nunique() > 1).sum())
    exact = int(splits["sha256"].duplicated().sum())
    return Duplicates(sorted(groups, key=lambda group: (-len(group), group)), len(members), exact, leaks)


def group_rejections(rejected: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Group rejected files by reason, the most frequent reason first."""
    counts = rejected["reason"].value_counts()
    order = sorted(counts.index, key=lambda reason: (-counts[reason], reason))
    return [(reason, rejected[rejected["reason"] == reason].sort_values("image")) for reason in order]
