"""The backbone stage: put the weights that extraction will use into one file, with a card that says what they are.

In: the settings; train images for random weights and fine-tuning. Out: `models/backbone.safetensors` and `.json`.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from safetensors.torch import save_file

from cache.atomic import atomic_path, write_text
from stages.backbone.calibrate import batch_norms, calibrate_batch_norm
from stages.backbone.finetune import finetune
from stages.backbone.processes import is_first_process, joined_processes
from stages.backbone.settings import BackboneSettings
from stages.backbone.weights import Provenance, get_backbone
from stages.core.errors import StageError
from stages.core.extraction.settings import FeatureSettings
from stages.core.images.files import UnusableImage
from stages.core.images.views import load_views
from stages.core.networks.architectures import Backbone, build
from stages.core.networks.extractor import map_shape
from stages.core.tables.columns import SPLIT_IMAGES
from stages.core.tables.csv_files import read_table

CALIBRATION_BATCH = 32


def prepare_backbone(
    *,
    settings: BackboneSettings,
    features: FeatureSettings,
    splits: Path,
    images: Path,
    max_pixels: int,
    weights: Path,
    n_jobs: int = -1,
) -> str:
    """Write the backbone's weights and their card.

    Under `torchrun` every process takes part in fine-tuning, and the first does the rest.

    Parameters
    ----------
    settings
        Which network, whose weights, and what to fine-tune it on.
    features
        The transform with which train images are read (random weights and fine-tuning only).
    splits, images
        Where the images are (random weights and fine-tuning only).
    max_pixels
        Larger images are not decoded.
    weights
        The .safetensors file to write; the card is the .json beside it.
    n_jobs
        Processes that decode while fine-tuning, as in joblib.

    Returns
    -------
    str
        What the backbone is; empty in all but the first process.

    Raises
    ------
    StageError
        If the weights cannot be had, no train image can be read to calibrate random ones, or fine-tuning cannot work.
    """
    first = is_first_process()
    if not first and settings.finetune.target is None:
        return ""
    calibrated_on, provenance = 0, None
    if first:
        backbone, provenance = get_backbone(
            settings.arch, settings.weights, random_state=settings.random_state, timeout_s=settings.download_timeout_s
        )
    else:  # the weights come from the first process
        backbone = build(settings.arch, weights=settings.weights)
    features = features.for_backbone(backbone.transform.as_json())
    channels, height, width = map_shape(backbone, features.crop_px)
    if provenance and provenance.weights == "random" and batch_norms(backbone.network):
        pixels = _calibration_pixels(settings, features, splits, images, max_pixels)
        calibrate_batch_norm(backbone, _batches(pixels))
        calibrated_on = len(pixels)
    saw, checkpoint = None, weights.with_name("finetune-checkpoint.pt")
    if settings.finetune.target is not None:
        with joined_processes() as processes:
            saw = finetune(
                backbone, channels=channels, settings=settings.finetune, features=features, splits=splits,
                images=images, max_pixels=max_pixels, checkpoint=checkpoint, processes=processes, n_jobs=n_jobs,
            )  # fmt: skip
    if provenance is None:
        return ""
    with atomic_path(weights) as temporary:
        save_file({key: value.contiguous() for key, value in backbone.network.state_dict().items()}, temporary)
    card = _card(settings, backbone, provenance, weights, (channels, height, width), calibrated_on, saw)
    write_text(weights.with_suffix(".json"), json.dumps(card, indent=2, ensure_ascii=False) + "\n")
    checkpoint.unlink(missing_ok=True)
    summary = f"{card['arch']} with weights {card['weights']} ({card['source']}), digest {card['digest'][:16]}"
    return f"{summary}\n{saw['sentence']}" if saw else summary


def _card(
    settings: BackboneSettings,
    backbone: Backbone,
    provenance: Provenance,
    weights: Path,
    shape: tuple[int, int, int],
    calibrated_on: int,
    saw: dict[str, Any] | None,
) -> dict[str, Any]:
    """What the weights are: everything that extraction must know of them, and that a reader should."""
    warnings = [provenance.warning, saw and _warning_of_finetuning(saw)]
    return {
        "arch": settings.arch,
        "weights": provenance.weights,
        "requested": settings.weights,
        "source": provenance.source,
        "warning": " ".join(filter(None, warnings)) or None,
        "digest": file_digest(weights),
        "code_digest": backbone.code_digest,
        "channels": shape[0],
        "map": list(shape[1:]),
        "prefix_tokens": backbone.prefix_tokens,
        "transform": backbone.transform.as_json(),
        "random_state": settings.random_state if provenance.weights == "random" else None,
        "calibrated_on_images": calibrated_on,
        "finetuned_on": saw,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
    }


def _warning_of_finetuning(saw: dict[str, Any]) -> str:
    """What whoever reads a score downstream must know."""
    return (
        f"{saw['sentence']} It has seen the labels of {saw['target']} on the train images: its val scores of "
        f"{saw['target']} are a little too good (they chose the epoch), and wrong labels among the train images are "
        "harder to find. Test images it has not seen."
    )


def _calibration_pixels(
    settings: BackboneSettings, features: FeatureSettings, splits: Path, images: Path, max_pixels: int
) -> np.ndarray:
    """Centre crops of train images, shape `(n, 3, crop_px, crop_px)` uint8.

    They are chosen by digest, so that a changed label or a renamed file does not change the backbone.
    """
    table = read_table(splits, SPLIT_IMAGES, columns=["image", "sha256", "split"])
    train = table[table["split"] == "train"].drop_duplicates("sha256").sort_values("sha256")
    centre = features.model_copy(update={"views": 1})
    crops: list[np.ndarray] = []
    for image, key in zip(train["image"], train["sha256"], strict=True):
        if len(crops) == settings.calibration_images:
            break
        try:
            crops.append(load_views(images, image, key, settings=centre, max_pixels=max_pixels)[0])
        except UnusableImage:
            continue  # extraction will report it
    if len(crops) < 2:
        raise StageError(f"fewer than two train images of {splits} could be read to calibrate random weights on")
    return np.stack(crops)


def _batches(pixels: np.ndarray) -> Iterator[torch.Tensor]:
    """Equal parts of at most `CALIBRATION_BATCH` crops, none of them a single one."""
    for part in np.array_split(pixels, -(-len(pixels) // CALIBRATION_BATCH)):
        yield torch.from_numpy(part)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
