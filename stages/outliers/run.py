"""The outliers stage: an out-of-sample prediction for every image, and from it the images that do not fit.

In: the feature cache, the splits, and the target's head (for its settings). Out: `reports/TARGET/outliers.csv` (those
listed, by kind) and `out_of_sample.csv` (all).
"""

from pathlib import Path

import numpy as np
import pandas as pd

from stages.evaluate.run import check_same_data
from stages.outliers.folds import out_of_sample_probabilities
from stages.outliers.kinds import (
    conflicting_labels,
    listed,
    low_confidence,
    nearest_neighbours,
    neighbour_names,
    sureness,
    suspect_label,
    unlike_anything,
)
from stages.outliers.settings import OutlierSettings
from stages.tables import write_table
from stages.train.data import UNLABELLED, LabelledFeatures, load_labelled_features
from stages.train.head import load_head

COLUMNS = [
    "image",
    "kind",
    "rank",
    "score",
    "y_true",
    "y_pred",
    "confidence",
    "suggested",
    "reason",
    "neighbours",
    "margin",
    "entropy",
]


def find_outliers(
    *,
    target: str,
    settings: OutlierSettings,
    features: Path,
    splits: Path,
    head: Path,
    destination: Path,
    n_jobs: int = 1,
) -> str:
    """List the artworks that do not fit their label or the collection.

    Parameters
    ----------
    target
        The label column.
    settings
        Folds, neighbours and how many to list.
    features, splits
        The published cache and the table of split.
    head
        The folder of the trained head: its settings and number of epochs are used for the folds.
    destination
        The folder to write: `reports/TARGET`.
    n_jobs
        Folds side by side, sharing the cores; -1: as many as there are cores.

    Returns
    -------
    str
        Images listed per kind.

    Raises
    ------
    StageError
        If the head is missing or was trained on other data, or there are fewer pictures than folds.
    """
    data = load_labelled_features(target, features=features, splits=splits)
    _, card = load_head(head)
    check_same_data(card, data)
    probabilities = out_of_sample_probabilities(data, card, settings, features=features, n_jobs=n_jobs)
    distances, neighbours = nearest_neighbours(data, settings.neighbours)
    most = max(1, round(settings.list_share * len(data.table)))
    kinds = [
        low_confidence(data, probabilities),
        suspect_label(data, probabilities),
        unlike_anything(data, distances),
        conflicting_labels(data),
    ]
    sure = sureness(probabilities)
    everyone = _all_predictions(data, probabilities, sure)
    listed_kinds = pd.concat([listed(kind, most) for kind in kinds], ignore_index=True)
    write_table(_described(listed_kinds, everyone, sure, neighbours), destination / "outliers.csv")
    write_table(everyone, destination / "out_of_sample.csv")
    counts = listed_kinds["kind"].value_counts(sort=False)
    return f"{target}: " + (", ".join(f"{count} {kind}" for kind, count in counts.items()) or "no outliers")


def _all_predictions(data: LabelledFeatures, probabilities: np.ndarray, sure: pd.DataFrame) -> pd.DataFrame:
    """Every image's prediction by a head that has not seen it; `p_true` is its own label's probability."""
    names = np.array(data.classes, dtype=object)
    labelled = data.labels != UNLABELLED
    of_label = probabilities[np.arange(len(data.labels)), np.where(labelled, data.labels, 0)]
    return data.table[["image", "sha256", "split"]].assign(
        y_true=data.table[data.target],
        y_pred=names[probabilities.argmax(axis=1)],
        confidence=sure["confidence"],
        p_true=np.where(labelled, of_label, np.nan),
        cluster="",
    )


def _described(table: pd.DataFrame, everyone: pd.DataFrame, sure: pd.DataFrame, neighbours: np.ndarray) -> pd.DataFrame:
    """Add what a person wants to know of each listed image."""
    rows = table["row"].to_numpy(dtype=np.int64)
    names = neighbour_names(everyone["image"].tolist(), neighbours)
    said = everyone.iloc[rows][["image", "y_true", "y_pred"]].reset_index(drop=True)
    table = pd.concat([table, said, sure.iloc[rows].reset_index(drop=True)], axis=1)
    return table.assign(neighbours=[names(row) for row in rows])[COLUMNS]
