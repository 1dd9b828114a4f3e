"""The train stage: fit one target's head and write it with its card and its training log.

In: `data/features/` and `data/splits.csv`. Out: `models/heads/TARGET/` with `head.safetensors`, `head.json`, `log/`.
The test split is not looked at.
"""

import hashlib
import logging
from pathlib import Path

import torch
from dvclive import Live

from stages.device import choose_device
from stages.progress import Progress
from stages.train.data import LabelledFeatures, load_labelled_features
from stages.train.fit import EpochLog, Fit, fit_head, fit_temperature
from stages.train.head import save_head
from stages.train.placement import place
from stages.train.settings import HeadSettings, TrainSettings

log = logging.getLogger(__name__)


def train_head(
    *,
    target: str,
    head_settings: HeadSettings,
    train_settings: TrainSettings,
    features: Path,
    splits: Path,
    destination: Path,
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

    Returns
    -------
    str
        The best epoch and its validation scores.

    Raises
    ------
    StageError
        If the target's labels do not allow training.
    """
    data = load_labelled_features(target, features=features, splits=splits)
    device = choose_device()
    placed = place(data.features, device, train_settings.placement)
    destination.mkdir(parents=True, exist_ok=True)
    with (
        Live(dir=str(destination / "log"), save_dvc_exp=False, dvcyaml=None, report=None) as live,
        Progress(train_settings.epochs, f"Training {target}", "epochs") as progress,
    ):

        def on_epoch(epoch: EpochLog) -> None:
            for name, value in epoch.items():
                live.log_metric(name, value)
            live.next_step()
            progress.advance()

        fit = fit_head(
            placed,
            data.labels,
            train=data.rows("train"),
            val=data.rows("val"),
            classes=len(data.classes),
            head_settings=head_settings,
            settings=train_settings,
            device=device,
            on_epoch=on_epoch,
        )
    temperature = fit_temperature(fit.val_logits, data.labels[data.rows("val")])
    settings = {"head": head_settings.model_dump(), "train": train_settings.model_dump()}
    save_head(destination, fit.head.state_dict(), _card(data, fit, temperature, settings, splits))
    return _summary(target, fit)


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
        "temperature": temperature,
        "epoch": fit.best_epoch,
        "epochs_trained": len(fit.epochs),
        "train_images": len(data.rows("train")),
        "val_images": len(data.rows("val")),
        "settings": settings,
        "torch": torch.__version__,
    }


def _summary(target: str, fit: Fit) -> str:
    best = fit.epochs[fit.best_epoch - 1]
    return (
        f"{target}: best of {len(fit.epochs)} epochs is {fit.best_epoch}, "
        f"validation accuracy {best['val/accuracy']:.3f}, macro F1 {best['val/f1_macro']:.3f}"
    )
