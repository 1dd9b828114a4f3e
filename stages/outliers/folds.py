"""A prediction for every image by a head that has seen neither it nor a duplicate of it.

In: labelled features, pooled, and the card of the target's head. Out: logits and calibrated probabilities, a row per
image. Ranking them is left to `kinds` and `traits`.
"""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from joblib import Parallel, delayed
from scipy.special import softmax
from sklearn.model_selection import StratifiedGroupKFold

from stages.core.device import choose_device
from stages.core.errors import StageError
from stages.core.features.labelled import UNLABELLED, LabelledFeatures, check_finite
from stages.core.head.fit import fit_head
from stages.core.head.predict_logits import predict_logits
from stages.core.head.recipe import Recipe, read_recipe
from stages.core.head.temperature import fit_temperature
from stages.core.head.training_data import TrainingData
from stages.core.parallel import process_backend, thread_count, threads_each
from stages.core.progress import tracked
from stages.core.scratch import large_files_folder
from stages.outliers.settings import OutlierSettings

Fold = tuple[np.ndarray, np.ndarray]
# Steps per epoch of a fold at most: beyond some 20,000 images, batches grow instead. On a CPU an image in a batch of
# 128 costs less than half as much as in a batch of 32, and thousands of steps are enough for a sequence of one.
STEPS_PER_EPOCH = 512


@dataclass(frozen=True)
class FoldTask:
    """What every fold is trained on and with: the recipe of the target's head, for as many epochs as that one took."""

    labels: np.ndarray
    classes: int
    recipe: Recipe

    @classmethod
    def of(cls, data: LabelledFeatures, card: dict[str, Any], folds: int) -> "FoldTask":
        """Take settings and epochs from the card of the target's head, so that no held-out image decides them."""
        recipe = read_recipe(card)
        images = int(np.count_nonzero(data.labels != UNLABELLED)) * (folds - 1) // folds
        batch_size = max(recipe.train.batch_size, -(-images // STEPS_PER_EPOCH))
        train = recipe.train.model_copy(update={"epochs": card["epoch"], "batch_size": batch_size})
        return cls(data.labels, len(data.classes), recipe.model_copy(update={"train": train}))


def out_of_sample_probabilities(
    data: LabelledFeatures, card: dict[str, Any], settings: OutlierSettings, *, features: Path, n_jobs: int = 1
) -> np.ndarray:
    """Predict every image by heads that have not seen it.

    Every fold's head reads the mean over the tokens, a sequence of one: it takes a third of the time of nine tokens and
    ranks planted wrong labels as well. Unlabelled images get the mean over the folds' heads.

    Parameters
    ----------
    data
        The collection; images of one group are held out together.
    card
        Of the target's head.
    settings
        Number of folds and their seed.
    features
        The published cache, for messages.
    n_jobs
        Folds side by side, sharing the cores; on a GPU they are trained one after another.

    Returns
    -------
    ndarray
        Shape `(n, classes)`, float64, rows that sum to 1; calibrated out of fold, see `calibrate_out_of_fold`.

    Raises
    ------
    StageError
        If there are fewer labelled pictures than folds, or features that are not finite.
    """
    labelled = np.flatnonzero(data.labels != UNLABELLED)
    unlabelled = np.flatnonzero(data.labels == UNLABELLED)
    folds = _draw_folds(data, labelled, settings)
    fold_of = np.full(len(data.labels), UNLABELLED)
    logits = np.zeros((len(data.labels), len(data.classes)))
    of_unlabelled = []
    task = FoldTask.of(data, card, settings.folds)
    with pool_to_disk(data) as pooled:
        check_finite(data, pooled, features)
        found_by_fold = _fold_logits(pooled, task, folds, unlabelled, n_jobs)
        for fold, found in tracked(enumerate(found_by_fold), len(folds), f"Cross-validating {data.target}", "folds"):
            held_out = folds[fold][1]
            logits[held_out], fold_of[held_out] = found[: len(held_out)], fold
            of_unlabelled.append(found[len(held_out) :])
    probabilities, temperature = calibrate_out_of_fold(logits, data.labels, fold_of)
    if len(unlabelled):
        probabilities[unlabelled] = np.mean([softmax(part / temperature, axis=1) for part in of_unlabelled], axis=0)
    return probabilities


@contextmanager
def pool_to_disk(data: LabelledFeatures) -> Iterator[np.ndarray]:
    """Write every view's mean token to a temporary file and map it: all processes share one copy in memory.

    Yields
    ------
    ndarray
        Shape `(n, views, 1, channels)`, float16, read-only.
    """
    images, views, _, channels = data.features.shape
    place = large_files_folder()
    with tempfile.TemporaryDirectory(prefix="folds-", dir=place, ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "pooled.f16"
        with path.open("wb") as file:  # not through the map, where a full disk would be a crash instead of an error
            for block in data.pooled_views():
                file.write(block.tobytes())
        yield np.memmap(path, np.float16, "r", shape=(images, views, 1, channels))


def calibrate_out_of_fold(logits: np.ndarray, labels: np.ndarray, fold_of: np.ndarray) -> tuple[np.ndarray, float]:
    """Turn out-of-fold logits into probabilities, each fold's by the temperature that fits the other folds.

    p = softmax(logits / T), T = fit_temperature of all other folds: neither a head's training images nor an image's own
    label decide how confident its prediction is.

    Parameters
    ----------
    logits
        Shape `(n, classes)`.
    labels, fold_of
        Shape `(n,)`: the class, and the fold in which a row was held out; -1 for rows without (left at 0).

    Returns
    -------
    probabilities : ndarray
        Shape `(n, classes)`, float64.
    temperature : float
        Fitted to all rows that have a fold.
    """
    probabilities = np.zeros(logits.shape)
    known = fold_of >= 0
    for fold in np.unique(fold_of[known]):
        rows, others = fold_of == fold, known & (fold_of != fold)
        probabilities[rows] = softmax(logits[rows] / fit_temperature(logits[others], labels[others]), axis=1)
    return probabilities, fit_temperature(logits[known], labels[known])


def _draw_folds(data: LabelledFeatures, labelled: np.ndarray, settings: OutlierSettings) -> list[Fold]:
    """Row numbers of train and held-out images per fold, stratified by class, groups kept together."""
    groups = data.table["group"].to_numpy()[labelled]
    if len(set(groups)) < settings.folds:
        raise StageError(
            f"{data.target}: {len(set(groups))} labelled pictures are fewer than outliers.folds, {settings.folds}: "
            "set it lower in params.yaml, or label more images"
        )
    splitter = StratifiedGroupKFold(settings.folds, shuffle=True, random_state=settings.random_state)
    with warnings.catch_warnings():
        # Of a class with fewer images than folds some folds have none: their heads give it a low probability.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        folds = list(splitter.split(labelled, data.labels[labelled], groups))
    return [(labelled[train], labelled[held_out]) for train, held_out in folds]


def _fold_logits(
    pooled: np.ndarray, task: FoldTask, folds: list[Fold], unlabelled: np.ndarray, n_jobs: int
) -> Iterator[np.ndarray]:
    """Logits of each fold's held-out images and then of the unlabelled ones, folds in order."""
    rows = [(train, np.concatenate([held_out, unlabelled])) for train, held_out in folds]
    workers = 1 if choose_device().type == "cuda" else min(thread_count(n_jobs), len(folds))
    if workers == 1:
        yield from (_train_fold(pooled, task, *of_fold) for of_fold in rows)
        return
    # Processes get the name of the mapped file, not its content.
    with process_backend():
        yield from Parallel(n_jobs=workers, return_as="generator")(
            delayed(_train_fold)(pooled, task, *of_fold, threads=threads_each(workers)) for of_fold in rows
        )


def _train_fold(
    pooled: np.ndarray, task: FoldTask, train: np.ndarray, held_out: np.ndarray, threads: int | None = None
) -> np.ndarray:
    if threads:
        torch.set_num_threads(threads)
    data = TrainingData(pooled, task.labels, task.classes, train=train, val=None)
    head = fit_head(data, task.recipe, device=choose_device()).head
    return predict_logits(head, pooled[held_out, 0])
