"""The train stage: fit the head of one target and write it with its card and its training log.

In: `data/features/` and `data/splits.csv`. Out: `models/heads/TARGET/` with `head.safetensors`, `head.json`, `log/`.
The test split is not read. Until the head is written, `.training/TARGET/` holds the checkpoint of a killed training.
"""

import hashlib
import importlib.metadata
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stages.core.device import choose_device
from stages.core.errors import StageError
from stages.core.features.labelled import (
    UNLABELLED,
    CachedCollection,
    LabelledFeatures,
    attach_labels,
    check_labels_unchanged,
    describe_not_finite,
    load_collection,
)
from stages.core.features.placement import FeatureArray, place
from stages.core.head.checkpoint import Checkpoint
from stages.core.head.files import save_head
from stages.core.head.fit import Fit, NotFiniteError, fit_head
from stages.core.head.recipe import Recipe
from stages.core.head.temperature import fit_harmless_temperature
from stages.core.head.training_data import TrainingData
from stages.core.optimisation.scores import accuracy, macro_f1
from stages.core.records import producers
from stages.core.records.outputs import write_outputs
from stages.train.curves import record_curves


def train_head(
    *,
    target: str,
    recipe: Recipe,
    features: Path,
    splits: Path,
    destination: Path,
    work: Path,
    manifest: Path | None = None,
) -> str:
    """Train the head of one target.

    Parameters
    ----------
    target
        The label column.
    recipe
        The settings of the head and of its training.
    features, splits
        The published cache and the table of split.
    destination
        The folder to write: `models/heads/TARGET`.
    work
        The folder of the checkpoint and of TensorBoard's files: `.training/TARGET`. A killed training resumes from
        there, to the same weights; the checkpoint is removed when the head is written.
    manifest
        The table of ingest: labels that changed there since the split are refused.

    Returns
    -------
    str
        The best epoch and its validation scores.

    Raises
    ------
    StageError
        If the target's labels do not allow training.
    """
    collection = load_collection(features=features, splits=splits, targets=[target])
    data = attach_checked_labels(target, collection, splits=splits, manifest=manifest)
    placed = place(data.features, choose_device(), recipe.train.placement)
    return train_on(data, placed, recipe=recipe, features=features, splits=splits, destination=destination, work=work)


def attach_checked_labels(
    target: str, collection: CachedCollection, *, splits: Path, manifest: Path | None
) -> LabelledFeatures:
    """Attach a target's labels to a collection, unless they changed since the split."""
    data = attach_labels(target, collection)
    if manifest:
        check_labels_unchanged(data, splits=splits, manifest=manifest)
    return data


def train_on(
    data: LabelledFeatures,
    placed: FeatureArray,
    *,
    recipe: Recipe,
    features: Path,
    splits: Path,
    destination: Path,
    work: Path,
    quiet: bool = False,
) -> str:
    """Train a head as `train_head` does, on features that `place` has loaded.

    `quiet` shows no bar: for one of several trainings side by side.
    """
    recorded = recipe.model_dump(mode="json")
    with write_outputs(
        producers.TRAIN, destination, settings=recorded, inputs=data.inputs, target=data.target
    ) as outputs:
        summary, checkpoint = _train(data, placed, recipe, features, splits, outputs.path(destination), work, quiet)
    checkpoint.remove()
    return summary


def _train(
    data: LabelledFeatures,
    placed: FeatureArray,
    recipe: Recipe,
    features: Path,
    splits: Path,
    destination: Path,
    work: Path,
    quiet: bool,
) -> tuple[str, Checkpoint]:
    """Train and write the head; return its summary and the checkpoint, which is obsolete once the head is in place."""
    device, rows = choose_device(), TrainingData.of(data, placed)
    checkpoint = Checkpoint(work, _identify(data, recipe, device))
    tensorboard = work / "tensorboard" if recipe.train.tensorboard else None
    try:
        with record_curves(
            data.target, recipe.train.epochs, logs=destination / "log", tensorboard=tensorboard, quiet=quiet
        ) as on_epoch:
            fit = fit_head(rows, recipe, device=device, on_epoch=on_epoch, checkpoint=checkpoint)
    except NotFiniteError as error:
        raise StageError(describe_not_finite(data, error.row, features)) from None
    y_val = data.labels[data.rows("val")]
    temperature = fit_harmless_temperature(fit.val_logits, y_val)
    card = _make_card(data, fit, recipe, temperature=temperature, splits=splits)
    save_head(destination, fit.head.state_dict(), card)
    return _summarise(data, fit, y_val), checkpoint


def identify_files(data: LabelledFeatures, recipe: Recipe, *, splits: Path) -> dict[str, Any]:
    """Collect everything that decides the bytes of a head's files: its weights, and what its card and record hold."""
    return _identify(data, recipe, choose_device()) | {
        "inputs": dict(data.inputs),
        "settings": recipe.model_dump(mode="json"),
        "splits_sha256": hashlib.sha256(splits.read_bytes()).hexdigest(),
        "versions": collect_versions(),
    }


def _identify(data: LabelledFeatures, recipe: Recipe, device: torch.device) -> dict[str, Any]:
    """Collect everything that decides a head's weights: training resumes only from a checkpoint of the same."""
    return {
        "classes": data.classes,
        "device": device.type,
        "fingerprint": data.fingerprint,
        "labels": data.digest("train", "val"),
        "settings": recipe.decisive(),
        "shape": list(data.features.shape[1:]),
        "target": data.target,
        "torch": torch.__version__,
    }


def _make_card(data: LabelledFeatures, fit: Fit, recipe: Recipe, *, temperature: float, splits: Path) -> dict[str, Any]:
    """Describe what a head was trained on, so that it is refused on anything else."""
    return {
        "target": data.target,
        "classes": data.classes,
        "shape": list(data.features.shape[1:]),
        "fingerprint": data.fingerprint,
        "splits_sha256": hashlib.sha256(splits.read_bytes()).hexdigest(),
        "labels_sha256": data.digest("train", "val"),
        "temperature": temperature,
        "epoch": fit.best_epoch,
        "epochs_trained": len(fit.epochs),
        "train_images": len(data.rows("train")),
        "val_images": len(data.rows("val")),
        "settings": recipe.model_dump(),
        "versions": collect_versions(),
    }


def collect_versions() -> dict[str, str]:
    """Collect the versions of this project, NumPy, Python and torch."""
    project, numpy = (importlib.metadata.version(name) for name in ("art-feature-pipeline", "numpy"))
    return {
        "art-feature-pipeline": project,
        "numpy": numpy,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _summarise(data: LabelledFeatures, fit: Fit, y_val: np.ndarray) -> str:
    """Report the best epoch's scores and, if the head was finished after it, those of the finished head."""
    labelled, images = int(np.count_nonzero(data.labels != UNLABELLED)), len(data.labels)
    few = f" ({labelled} of {images} images have a label)" if 2 * labelled < images else ""
    best = fit.epochs[fit.best_epoch - 1]
    summary = (
        f"{data.target}{few}: best of {len(fit.epochs)} epochs is {fit.best_epoch}, "
        f"validation accuracy {best['val/accuracy']:.3f}, macro F1 {best['val/f1_macro']:.3f}"
    )
    if not fit.finish_note:
        return summary
    y_pred = fit.val_logits.argmax(axis=1)
    return f"{summary}; {fit.finish_note} {accuracy(y_val, y_pred):.3f} and {macro_f1(y_val, y_pred):.3f}"
