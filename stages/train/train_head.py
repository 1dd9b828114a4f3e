"""The train stage: fit one target's head and write it with its card and its training log.

In: `data/features/` and `data/splits.csv`. Out: `models/heads/TARGET/` with `head.safetensors`, `head.json`, `log/`.
The test split is not looked at. Meanwhile `.training/TARGET/` holds what a killed training goes on from.
"""

import hashlib
import importlib.metadata
import logging
import platform
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import accuracy_score, f1_score

from stages.core.device import choose_device
from stages.core.errors import StageError
from stages.core.features.labelled import (
    Collection,
    LabelledFeatures,
    labelled,
    load_collection,
    not_finite_message,
    refuse_stale_labels,
)
from stages.core.features.placement import FeatureArray, place
from stages.core.head.checkpoint import Checkpoint
from stages.core.head.files import save_head
from stages.core.head.fit import Fit, NotFiniteError, fit_head
from stages.core.head.settings import HeadSettings, TrainSettings
from stages.core.head.temperature import fit_temperature
from stages.train.curves import learning_curves

log = logging.getLogger(__name__)


def train_head(
    *,
    target: str,
    head_settings: HeadSettings,
    train_settings: TrainSettings,
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
    head_settings, train_settings
        The head's shape and the optimisation.
    features, splits
        The published cache and the table of split.
    destination
        The folder to write: `models/heads/TARGET`.
    work
        The folder of the checkpoint and of TensorBoard's files: `.training/TARGET`. A training that was killed goes on
        from there, to the same weights; the checkpoint is removed when the head is written.
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
    data = checked_labels(target, collection, splits=splits, manifest=manifest)
    return train_on(
        data,
        place(data.features, choose_device(), train_settings.placement),
        head_settings=head_settings,
        train_settings=train_settings,
        features=features,
        splits=splits,
        destination=destination,
        work=work,
    )


def checked_labels(target: str, collection: Collection, *, splits: Path, manifest: Path | None) -> LabelledFeatures:
    """Give a collection a target's labels, unless they changed since the split."""
    data = labelled(target, collection)
    if manifest:
        refuse_stale_labels(data, splits=splits, manifest=manifest)
    return data


def train_on(
    data: LabelledFeatures,
    placed: FeatureArray,
    *,
    head_settings: HeadSettings,
    train_settings: TrainSettings,
    features: Path,
    splits: Path,
    destination: Path,
    work: Path,
    quiet: bool = False,
) -> str:
    """Train a head as `train_head` does, on features that `place` brought to where they are read from.

    `quiet` shows no bar: for one of several trainings side by side.
    """
    device = choose_device()
    train, val = data.rows("train"), data.rows("val")
    settings = {"head": head_settings.model_dump(), "train": train_settings.model_dump()}
    checkpoint = Checkpoint(work, _identity(data, settings, device))
    destination.mkdir(parents=True, exist_ok=True)
    with learning_curves(
        data.target,
        train_settings.epochs,
        logs=destination / "log",
        tensorboard=work / "tensorboard" if train_settings.tensorboard else None,
        quiet=quiet,
    ) as on_epoch:
        try:
            fit = fit_head(
                placed,
                data.labels,
                train=train,
                val=val,
                classes=len(data.classes),
                head_settings=head_settings,
                settings=train_settings,
                device=device,
                on_epoch=on_epoch,
                checkpoint=checkpoint,
            )
        except NotFiniteError as error:
            raise StageError(not_finite_message(data, error.row, features)) from None
    temperature = fit_temperature(fit.val_logits, data.labels[val])
    save_head(destination, fit.head.state_dict(), _card(data, fit, temperature, settings, splits))
    checkpoint.remove()
    return _summary(data, fit, val, head_settings)


def _identity(data: LabelledFeatures, settings: dict[str, dict], device: torch.device) -> dict[str, object]:
    """Everything that decides a head's weights: training goes on only from a checkpoint of the same."""
    decisive = {name: value for name, value in settings["train"].items() if name not in ("placement", "tensorboard")}
    return {
        "classes": data.classes,
        "device": device.type,
        "fingerprint": data.fingerprint,
        "labels": data.digest("train", "val"),
        "settings": {"head": settings["head"], "train": decisive},
        "shape": list(data.features.shape[1:]),
        "target": data.target,
        "torch": torch.__version__,
    }


def _card(
    data: LabelledFeatures, fit: Fit, temperature: float, settings: dict[str, dict], splits: Path
) -> dict[str, object]:
    """What a head was trained on, so that nobody uses it on anything else."""
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
        "settings": settings,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Of what computes a head."""
    project, numpy = (importlib.metadata.version(name) for name in ("art-feature-pipeline", "numpy"))
    return {
        "art-feature-pipeline": project,
        "numpy": numpy,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _summary(data: LabelledFeatures, fit: Fit, val: np.ndarray, head: HeadSettings) -> str:
    best = fit.epochs[fit.best_epoch - 1]
    said = (
        f"{data.target}: best of {len(fit.epochs)} epochs is {fit.best_epoch}, "
        f"validation accuracy {best['val/accuracy']:.3f}, macro F1 {best['val/f1_macro']:.3f}"
    )
    if head.skip != "probe":
        return said
    y_true, y_pred = data.labels[val], fit.val_logits.argmax(axis=1)
    f1 = f1_score(y_true, y_pred, average="macro", zero_division=0)
    return f"{said}; averaged with the logistic regression {accuracy_score(y_true, y_pred):.3f} and {f1:.3f}"
