"""The backbone stage: put the weights that extraction will use into one file, with a card that says what they are.

In: the settings, and for random weights some train images. Out: `models/backbone.safetensors` (no `fc`) and `.json`.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torchvision
from safetensors.torch import save_file

from cache.atomic import atomic_path, write_text
from stages.backbone.calibrate import batch_norms, calibrate_batch_norm
from stages.backbone.network import map_shape
from stages.backbone.settings import BackboneSettings
from stages.backbone.weights import get_backbone
from stages.errors import StageError
from stages.extract.settings import FeatureSettings
from stages.images import UnusableImage
from stages.tables import read_table
from stages.views import load_views

CALIBRATION_BATCH = 32


def prepare_backbone(
    *,
    settings: BackboneSettings,
    features: FeatureSettings,
    splits: Path,
    images: Path,
    max_pixels: int,
    weights: Path,
) -> str:
    """Write the backbone's weights and their card.

    Parameters
    ----------
    settings
        Whose weights.
    features
        The transform with which calibration images are read (random weights only).
    splits, images
        Where the train images are (random weights only).
    max_pixels
        Larger images are not decoded.
    weights
        The .safetensors file to write; the card is the .json beside it.

    Returns
    -------
    str
        What the backbone is.

    Raises
    ------
    StageError
        If the weights cannot be had, or no train image can be read to calibrate random ones.
    """
    backbone, provenance = get_backbone(
        settings.arch, settings.weights, random_state=settings.random_state, timeout_s=settings.download_timeout_s
    )
    features = features.for_backbone(backbone.transform.as_json())
    channels, height, width = map_shape(backbone, features.crop_px)
    calibrated_on = 0
    if provenance.weights == "random" and batch_norms(backbone.network):
        pixels = _calibration_pixels(settings, features, splits, images, max_pixels)
        calibrate_batch_norm(backbone, _batches(pixels))
        calibrated_on = len(pixels)
    with atomic_path(weights) as temporary:
        save_file({key: value.contiguous() for key, value in backbone.network.state_dict().items()}, temporary)
    card = {
        "arch": settings.arch,
        "weights": provenance.weights,
        "requested": settings.weights,
        "source": provenance.source,
        "warning": provenance.warning,
        "digest": file_digest(weights),
        "code_digest": backbone.code_digest,
        "channels": channels,
        "map": [height, width],
        "prefix_tokens": backbone.prefix_tokens,
        "transform": backbone.transform.as_json(),
        "random_state": settings.random_state if provenance.weights == "random" else None,
        "calibrated_on_images": calibrated_on,
        "finetuned_on": None,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
    }
    write_text(weights.with_suffix(".json"), json.dumps(card, indent=2) + "\n")
    return f"{card['arch']} with weights {card['weights']} ({card['source']}), digest {card['digest'][:16]}"


def _calibration_pixels(
    settings: BackboneSettings, features: FeatureSettings, splits: Path, images: Path, max_pixels: int
) -> np.ndarray:
    """Centre crops of train images, shape `(n, 3, crop_px, crop_px)` uint8.

    They are chosen by digest, so that a changed label or a renamed file does not change the backbone.
    """
    table = read_table(splits, required=["image", "sha256", "split"], made_by="pipeline split")
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
