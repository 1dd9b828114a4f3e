"""The outliers stage: an out-of-sample prediction for every image, and from it the images that do not fit.

In: the feature cache, the splits, the target's head (for its settings), the images. Out, in `reports/TARGET/`:
`outliers.csv` (those listed, by kind), `out_of_sample.csv` (all), and what the misclassified have in common:
`traits.csv` and `clusters.csv`.
"""

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from stages.core.features.labelled import UNLABELLED, LabelledFeatures, load_labelled_features
from stages.core.head.files import check_same_data, load_head
from stages.core.tables.columns import OUTLIERS
from stages.core.tables.csv_files import write_table
from stages.outliers.clusters import find_clusters
from stages.outliers.folds import out_of_sample_probabilities
from stages.outliers.kinds import (
    conflicting_labels,
    listed,
    low_confidence,
    neighbour_names,
    sureness,
    suspect_label,
    unlike_anything,
)
from stages.outliers.levels import divide
from stages.outliers.neighbours import nearest_neighbours, standardised
from stages.outliers.properties import measure_images
from stages.outliers.settings import OutlierSettings
from stages.outliers.traits import SIGNIFICANT, find_traits

MAX_PIXELS = 100_000_000
COLUMNS = [*OUTLIERS.names, *OUTLIERS.optional]

log = logging.getLogger(__name__)


def find_outliers(
    *,
    target: str,
    settings: OutlierSettings,
    features: Path,
    splits: Path,
    head: Path,
    destination: Path,
    images: Path | None = None,
    measures: Path | None = None,
    max_pixels: int = MAX_PIXELS,
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
    images
        The image root; without it, nothing is said of how the misclassified pictures look.
    measures
        The database of how pictures look, as earlier runs measured it; None keeps nothing.
    max_pixels
        Larger images are not measured.
    n_jobs
        Folds side by side, sharing the cores; -1: as many as there are cores.

    Returns
    -------
    str
        Images listed per kind, and the strongest trait.

    Raises
    ------
    StageError
        If the head is missing or was trained on other data, or there are fewer pictures than folds.
    """
    data = load_labelled_features(target, features=features, splits=splits)
    _, card = load_head(head)
    check_same_data(card, data)
    probabilities = out_of_sample_probabilities(data, card, settings, features=features, n_jobs=n_jobs)
    pooled = standardised(data)
    distances, neighbours = nearest_neighbours(pooled, data.table["group"].to_numpy(), settings.neighbours)
    most = max(1, round(settings.list_share * len(data.table)))
    kinds = [
        low_confidence(data, probabilities),
        suspect_label(data, probabilities),
        unlike_anything(data, distances),
        conflicting_labels(data),
    ]
    found = pd.concat([listed(kind, most) for kind in kinds], ignore_index=True)
    predicted = probabilities.argmax(axis=1)
    properties = divide(data, _measures(data, images, max_pixels, measures))
    clusters, cluster = find_clusters(
        data, predicted, pooled, properties, most=settings.clusters, random_state=settings.random_state
    )
    traits = find_traits(data, predicted, properties, min_images=settings.trait_min_images)
    sure = sureness(probabilities)
    everyone = _all_predictions(data, probabilities, sure, cluster)
    write_table(_described(found, everyone, sure, neighbours), destination / "outliers.csv")
    write_table(everyone, destination / "out_of_sample.csv")
    write_table(traits, destination / "traits.csv")
    write_table(clusters, destination / "clusters.csv")
    return _summary(target, found, traits)


def _measures(data: LabelledFeatures, images: Path | None, max_pixels: int, kept: Path | None) -> pd.DataFrame | None:
    if images is None:
        return None
    if not images.is_dir():
        log.warning("%s is not a folder: what the misclassified have in common is said without their looks", images)
        return None
    return measure_images(data.table, images, max_pixels=max_pixels, kept=kept)


def _summary(target: str, found: pd.DataFrame, traits: pd.DataFrame) -> str:
    """Images per kind, and the strongest trait of the misclassified."""
    counts = found["kind"].value_counts(sort=False)
    lines = [f"{target}: " + (", ".join(f"{count} {kind}" for kind, count in counts.items()) or "no outliers")]
    raising = traits[(traits["q_value"] <= SIGNIFICANT) & (traits["odds_ratio"] > 1)]
    if len(raising):
        lines.append(f"{len(raising)} traits go with being misclassified, first: {raising['sentence'].iloc[0]}")
    return "\n".join(lines)


def _all_predictions(
    data: LabelledFeatures, probabilities: np.ndarray, sure: pd.DataFrame, cluster: np.ndarray
) -> pd.DataFrame:
    """Every image's prediction by a head that has not seen it; `p_true` is its own label's probability."""
    names = np.array(data.classes, dtype=object)
    labelled = data.labels != UNLABELLED
    of_label = probabilities[np.arange(len(data.labels)), np.where(labelled, data.labels, 0)]
    return data.table[["image", "sha256", "split"]].assign(
        y_true=data.table[data.target],
        y_pred=names[probabilities.argmax(axis=1)],
        confidence=sure["confidence"],
        p_true=np.where(labelled, of_label, np.nan),
        cluster=np.where(cluster < 0, "", cluster.astype(str)),
    )


def _described(table: pd.DataFrame, everyone: pd.DataFrame, sure: pd.DataFrame, neighbours: np.ndarray) -> pd.DataFrame:
    """Add what a person wants to know of each listed image."""
    rows = table["row"].to_numpy(dtype=np.int64)
    names = neighbour_names(everyone["image"].tolist(), neighbours)
    said = everyone.iloc[rows][["image", "y_true", "y_pred"]].reset_index(drop=True)
    table = pd.concat([table, said, sure.iloc[rows].reset_index(drop=True)], axis=1)
    return table.assign(neighbours=[names(row) for row in rows])[COLUMNS]
