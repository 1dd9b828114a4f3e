"""A prediction for every image by a model that has seen neither it nor a duplicate of it.

In: labelled features and the recipe of the target's head. Out: logits and calibrated probabilities, a row per image.
Ranking them is left to `kinds` and `traits`.
"""

import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from scipy.special import softmax
from sklearn.model_selection import StratifiedGroupKFold

from stages.core.errors import StageError
from stages.core.features.labelled import UNLABELLED, LabelledFeatures, check_finite
from stages.core.features.placement import blocks
from stages.core.head.logistic import Solution, logistic_path_over
from stages.core.head.recipe import Recipe
from stages.core.head.temperature import calibrated_loss, fit_temperature
from stages.core.parallel import process_backend, thread_count
from stages.core.progress import tracked
from stages.core.scratch import large_files_folder
from stages.outliers.settings import OutlierSettings

Fold = tuple[np.ndarray, np.ndarray]
# Values of scikit-learn's C to choose from, ascending: the best differs a hundredfold with the size of the classes.
STRENGTHS = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
ROWS = 4096


@dataclass(frozen=True)
class FoldTask:
    """What every fold is fitted to and with.

    Attributes
    ----------
    labels
        Shape `(n,)`, int64.
    classes
        Number of classes.
    strength
        The logistic regression's C.
    tau
        Strength of the logit adjustment.
    """

    labels: np.ndarray
    classes: int
    strength: float
    tau: float


def out_of_sample_probabilities(
    data: LabelledFeatures, recipe: Recipe, settings: OutlierSettings, *, features: Path, n_jobs: int = 1
) -> np.ndarray:
    """Predict every image by logistic regressions that have not seen it.

    Their input is the mean over views and tokens of the features' square roots. They predict as well as the target's
    head, small classes too, in a fraction of its time (docs/outliers.md). One regularisation is chosen for all folds on
    val, and large classes are held back as in the head's training. Unlabelled images get the mean over the folds.

    Parameters
    ----------
    data
        The collection; images of one group are held out together.
    recipe
        Of the target's head: its `train.imbalance` and `train.tau`.
    settings
        Number of folds and their seed.
    features
        The published cache, for messages.
    n_jobs
        Folds side by side.

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
    with pool_to_disk(data) as pooled:
        check_finite(data, pooled, features)
        task = FoldTask(data.labels, len(data.classes), choose_strength(pooled, data), adjustment(recipe))
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
    """Write every image's pooled features to a temporary file and map it: all processes share one copy in memory.

    x = mean over views and tokens of sign(f) · sqrt(abs(f))

    Yields
    ------
    ndarray
        Shape `(n, channels)`, float16, read-only.
    """
    with tempfile.TemporaryDirectory(prefix="folds-", dir=large_files_folder(), ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "pooled.f16"
        with path.open("wb") as file:  # not through the map, where a full disk would be a crash instead of an error
            for rows in blocks(data.features):
                found = data.features[rows].astype(np.float32)
                roots = np.copysign(np.sqrt(np.abs(found)), found)
                file.write(roots.mean(axis=(1, 2)).astype(np.float16).tobytes())
        data.features.release()
        yield np.memmap(path, np.float16, "r", shape=(len(data.labels), data.features.shape[-1]))


def choose_strength(pooled: np.ndarray, data: LabelledFeatures) -> float:
    """Find the C whose logistic regression on the train split predicts val best: by log-loss, once calibrated.

    The path ends where the loss rises.
    """
    train, val = data.rows("train"), data.rows("val")
    losses: list[float] = []

    def rises(weights: np.ndarray, biases: np.ndarray) -> bool:
        losses.append(calibrated_loss(_logits(pooled, val, (weights, biases)), data.labels[val]))
        return losses[-1] > min(losses)

    _fit(pooled, train, data.labels, len(data.classes), STRENGTHS, rises)
    return STRENGTHS[int(np.argmin(losses))]


def adjustment(recipe: Recipe) -> float:
    """Strength of the logit adjustment that does what keeps large classes from swallowing small ones in training."""
    return {"none": 0.0, "balanced": 1.0, "logit_adjustment": recipe.train.tau}[recipe.train.imbalance]


def calibrate_out_of_fold(logits: np.ndarray, labels: np.ndarray, fold_of: np.ndarray) -> tuple[np.ndarray, float]:
    """Turn out-of-fold logits into probabilities, each fold's by the temperature that fits the other folds.

    p = softmax(logits / T), T = fit_temperature of all other folds: neither a model's training images nor an image's
    own label decide how confident its prediction is.

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
        # Of a class with fewer images than folds some folds have none: their models give it a low probability.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        folds = list(splitter.split(labelled, data.labels[labelled], groups))
    return [(labelled[train], labelled[held_out]) for train, held_out in folds]


def _fold_logits(
    pooled: np.ndarray, task: FoldTask, folds: list[Fold], unlabelled: np.ndarray, n_jobs: int
) -> Iterator[np.ndarray]:
    """Logits of each fold's held-out images and then of the unlabelled ones, folds in order."""
    rows = [(train, np.concatenate([held_out, unlabelled])) for train, held_out in folds]
    workers = min(thread_count(n_jobs), len(folds))
    if workers == 1:
        yield from (_predict_fold(pooled, task, *of_fold) for of_fold in rows)
        return
    # Processes get the name of the mapped file, not its content.
    with process_backend():
        yield from Parallel(n_jobs=workers, return_as="generator")(
            delayed(_predict_fold)(pooled, task, *of_fold) for of_fold in rows
        )


def _predict_fold(pooled: np.ndarray, task: FoldTask, train: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """Fit to a fold's images, and predict those held out: x W + b - tau · log prior (Menon et al., 2021)."""
    weights, biases = _fit(pooled, train, task.labels, task.classes, (task.strength,))
    counts = np.bincount(task.labels[train], minlength=task.classes) + 0.5
    return _logits(pooled, held_out, (weights, biases - task.tau * np.log(counts / counts.sum())))


def _fit(
    pooled: np.ndarray,
    rows: np.ndarray,
    labels: np.ndarray,
    classes: int,
    strengths: Sequence[float],
    enough: Callable[[np.ndarray, np.ndarray], bool] = lambda weights, biases: False,
) -> Solution:
    """Fit to standardised features; return the last solution, for features as they are."""
    x = pooled[rows].astype(np.float32)
    mean, std = x.mean(axis=0, dtype=np.float64).astype(np.float32), _deviations(x)
    x -= mean
    x /= std

    def unscale(solution: Solution) -> Solution:
        weights = solution[0] / std
        return weights, solution[1] - weights @ mean

    last = logistic_path_over(x, labels[rows], classes, strengths, lambda solution: enough(*unscale(solution)))[-1]
    return unscale(last)


def _deviations(x: np.ndarray) -> np.ndarray:
    """Standard deviation per channel, 1 where it is constant; some channels at a time, since each takes a copy."""
    std = np.concatenate([x[:, start : start + 256].std(axis=0) for start in range(0, x.shape[1], 256)])
    std[std < 1e-6] = 1.0
    return std


def _logits(pooled: np.ndarray, rows: np.ndarray, solution: Solution) -> np.ndarray:
    weights, biases = solution
    parts = (rows[start : start + ROWS] for start in range(0, max(len(rows), 1), ROWS))
    return np.concatenate([pooled[part].astype(np.float32) @ weights.T + biases for part in parts])
