"""The outliers stage: an out-of-sample prediction for every image, and from it the images that do not fit.

In: the feature cache, the splits, and the target's head (for its settings). Out: `reports/TARGET/outliers.csv`.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import softmax
from sklearn.model_selection import StratifiedGroupKFold

from stages.device import choose_device
from stages.errors import StageError
from stages.evaluate.run import check_same_data
from stages.outliers.kinds import (
    conflicting_labels,
    listed,
    low_confidence,
    nearest_neighbours,
    neighbour_names,
    suspect_label,
    unlike_anything,
)
from stages.outliers.settings import OutlierSettings
from stages.progress import tracked
from stages.tables import write_table
from stages.train.data import UNLABELLED, LabelledFeatures, load_labelled_features, refuse_not_finite
from stages.train.fit import fit_head
from stages.train.head import LSTMHead, load_head, predict_logits
from stages.train.settings import HeadSettings, TrainSettings

COLUMNS = ["image", "kind", "rank", "score", "y_true", "y_pred", "confidence", "suggested", "reason", "neighbours"]


def find_outliers(
    *, target: str, settings: OutlierSettings, features: Path, splits: Path, head: Path, destination: Path
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
        The folder of the trained head: its settings, number of epochs and temperature are used for the folds.
    destination
        The table to write.

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
    probabilities = _out_of_sample_probabilities(data, card, settings, features)
    distances, neighbours = nearest_neighbours(data, settings.neighbours)
    most = max(1, round(settings.list_share * len(data.table)))
    kinds = [
        low_confidence(data, probabilities),
        suspect_label(data, probabilities),
        unlike_anything(data, distances),
        conflicting_labels(data),
    ]
    table = pd.concat([listed(kind, most) for kind in kinds], ignore_index=True)
    table = _described(table, data, probabilities, neighbours)
    write_table(table, destination)
    counts = table["kind"].value_counts(sort=False)
    return f"{target}: " + (", ".join(f"{count} {kind}" for kind, count in counts.items()) or "no outliers")


def _out_of_sample_probabilities(
    data: LabelledFeatures, card: dict, settings: OutlierSettings, features: Path
) -> np.ndarray:
    """Predict every image by a head that has seen neither it nor a duplicate of it, shape `(n, classes)`.

    Each fold's head trains for as many epochs as the target's own head took to its best one, so that nothing is chosen
    by looking at the images held out. It reads the mean over the tokens, a sequence of one: a third of the time of
    nine tokens, for no worse a ranking of planted wrong labels. Unlabelled images get the mean over the folds' heads.
    """
    pooled = data.pooled_views()
    refuse_not_finite(data, pooled, features)
    labelled = np.flatnonzero(data.labels != UNLABELLED)
    unlabelled = np.flatnonzero(data.labels == UNLABELLED)
    groups = data.table["group"].to_numpy()[labelled]
    if len(set(groups)) < settings.folds:
        raise StageError(f"{data.target}: {len(set(groups))} labelled pictures are fewer than outliers.folds")
    folds = StratifiedGroupKFold(settings.folds, shuffle=True, random_state=settings.random_state)
    splits = list(folds.split(labelled, data.labels[labelled], groups))
    probabilities = np.zeros((len(data.labels), len(data.classes)))
    for train, held_out in tracked(splits, len(splits), f"Cross-validating {data.target}", "folds"):
        head = _fit_fold(pooled, data, labelled[train], card)
        for rows, share in ((labelled[held_out], 1.0), (unlabelled, 1 / len(splits))):
            if len(rows):
                logits = predict_logits(head, pooled[rows, 0])
                probabilities[rows] += share * softmax(logits / card["temperature"], axis=1)
    return probabilities


def _fit_fold(features: np.ndarray, data: LabelledFeatures, train: np.ndarray, card: dict) -> LSTMHead:
    head_settings = HeadSettings(**card["settings"]["head"])
    train_settings = TrainSettings(**card["settings"]["train"]).model_copy(update={"epochs": card["epoch"]})
    return fit_head(
        features,
        data.labels,
        train=train,
        val=None,
        classes=len(data.classes),
        head_settings=head_settings,
        settings=train_settings,
        device=choose_device(),
    ).head


def _described(
    table: pd.DataFrame, data: LabelledFeatures, probabilities: np.ndarray, neighbours: np.ndarray
) -> pd.DataFrame:
    """Add what a person wants to know of each listed image."""
    rows = table["row"].to_numpy(dtype=np.int64)
    names = np.array(data.classes, dtype=object)
    images = data.table["image"].tolist()
    return table.assign(
        image=data.table["image"].to_numpy()[rows],
        y_true=data.table[data.target].to_numpy()[rows],
        y_pred=names[probabilities[rows].argmax(axis=1)],
        confidence=probabilities[rows].max(axis=1),
        neighbours=[neighbour_names(images, neighbours)(row) for row in rows],
    )[COLUMNS]
