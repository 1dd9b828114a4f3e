"""The backbone stage: write the weights that extraction will use to one file, with a card that describes them.

In: the settings; train images for random weights and fine-tuning. Out: `models/backbone.safetensors` and `.json`.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from safetensors.torch import save_file

from cache.atomic import atomic_path
from stages.backbone.calibrate import batch_norms, calibrate_batch_norm
from stages.backbone.finetune import finetune
from stages.backbone.finetune_data import ImageSource
from stages.backbone.processes import is_first_process, joined_processes
from stages.backbone.settings import BackboneSettings
from stages.backbone.weights import Provenance, get_backbone
from stages.core.errors import StageError
from stages.core.extraction.resolve import resolve_transform
from stages.core.extraction.settings import FeatureSettings
from stages.core.images.decoding.pool import Decoders
from stages.core.images.files import ImageFolder, UnusableImage
from stages.core.images.views import CENTRE_VIEW, ViewsOfFile, load_views_apart
from stages.core.networks.backbone import Backbone
from stages.core.networks.backbone_files import BackboneCard, write_card
from stages.core.networks.feature_extractor import map_shape
from stages.core.networks.registry import build_backbone
from stages.core.tables.columns import SPLIT_IMAGES
from stages.core.tables.csv_files import read_table

CALIBRATION_BATCH = 32


def prepare_backbone(
    *,
    settings: BackboneSettings,
    features: FeatureSettings,
    splits: Path,
    images: ImageFolder,
    weights: Path,
    n_jobs: int = -1,
) -> str:
    """Write the backbone's weights and their card.

    Under `torchrun` every process takes part in fine-tuning, and the first does the rest.

    Parameters
    ----------
    settings
        Which network, which weights, and what to fine-tune it on.
    features
        The transform with which train images are read (random weights and fine-tuning only).
    splits, images
        The table of split and the image root (random weights and fine-tuning only).
    weights
        The .safetensors file to write; the card is the .json next to it.
    n_jobs
        Processes that decode while fine-tuning, as in joblib.

    Returns
    -------
    str
        What the backbone is; empty in all but the first process.

    Raises
    ------
    StageError
        If the weights cannot be loaded, no train image can be read to calibrate random ones, or fine-tuning is
        impossible.
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
        backbone = build_backbone(settings.arch, weights=settings.weights)
    transform = resolve_transform(features, backbone.native_input)
    source = ImageSource(splits, images, transform, features.max_failed_share)
    shape = map_shape(backbone, transform.crop_px)
    if provenance and provenance.weights == "random" and batch_norms(backbone.network):
        pixels = _calibration_pixels(source, settings.calibration_images)
        calibrate_batch_norm(backbone, _batches(pixels))
        calibrated_on = len(pixels)
    record, checkpoint = None, weights.with_name("finetune-checkpoint.pt")
    if settings.finetune.target is not None:
        with joined_processes() as processes:
            record = finetune(
                backbone,
                channels=shape[0],
                settings=settings.finetune,
                source=source,
                checkpoint=checkpoint,
                processes=processes,
                n_jobs=n_jobs,
            )
    if provenance is None:
        return ""
    with atomic_path(weights) as temporary:
        save_file({key: value.contiguous() for key, value in backbone.network.state_dict().items()}, temporary)
    card = _make_card(settings, backbone, provenance, weights, shape, calibrated_on, record)
    write_card(card, weights)
    checkpoint.unlink(missing_ok=True)
    summary = f"{card.arch} with weights {card.weights} ({card.source}), digest {card.digest[:16]}"
    return f"{summary}\n{record['sentence']}" if record else summary


def _make_card(
    settings: BackboneSettings,
    backbone: Backbone,
    provenance: Provenance,
    weights: Path,
    shape: tuple[int, int, int],
    calibrated_on: int,
    record: dict[str, Any] | None,
) -> BackboneCard:
    warnings = [provenance.warning, _finetuning_warning(record) if record else None]
    return BackboneCard(
        arch=settings.arch,
        weights=provenance.weights,
        requested=settings.weights,
        source=provenance.source,
        warning=" ".join(filter(None, warnings)) or None,
        digest=file_digest(weights),
        code_digest=backbone.code_digest,
        channels=shape[0],
        map_size=shape[1:],
        prefix_tokens=backbone.prefix_tokens,
        native_input=backbone.native_input,
        random_state=settings.random_state if provenance.weights == "random" else None,
        calibrated_on_images=calibrated_on,
        finetuned_on=record,
        torch_version=torch.__version__,
        torchvision_version=torchvision.__version__,
    )


def _finetuning_warning(record: dict[str, Any]) -> str:
    """What the reader of a score must know."""
    return (
        f"{record['sentence']} It has seen the labels of {record['target']} on the train images: its val scores of "
        f"{record['target']} are a little too good (they chose the epoch), and wrong labels among the train images are "
        "harder to find. Test images it has not seen."
    )


def _calibration_pixels(source: ImageSource, count: int) -> np.ndarray:
    """Centre crops of `count` train images, or as many as there are, shape `(n, 3, crop_px, crop_px)` uint8.

    They are chosen by digest, so that a changed label or a renamed file does not change the backbone.
    """
    table = read_table(source.splits, SPLIT_IMAGES, columns=["image", "sha256", "split"])
    train = table[table["split"] == "train"].drop_duplicates("sha256").sort_values("sha256")
    files = [
        ViewsOfFile(image, key, source.transform, (CENTRE_VIEW,))
        for image, key in zip(train["image"], train["sha256"], strict=True)
    ]
    crops: list[np.ndarray] = []
    with Decoders() as decoders:
        while files and len(crops) < count:
            part, files = files[: count - len(crops)], files[count - len(crops) :]
            # Extraction reports what cannot be used.
            found = load_views_apart(decoders, source.images, part)
            crops += [views[0] for views in found if not isinstance(views, UnusableImage)]
    if len(crops) < 2:
        raise StageError(f"fewer than two train images of {source.splits} could be read to calibrate random weights on")
    return np.stack(crops)


def _batches(pixels: np.ndarray) -> Iterator[torch.Tensor]:
    """Equal parts of at most `CALIBRATION_BATCH` crops, none of them a single one."""
    for part in np.array_split(pixels, -(-len(pixels) // CALIBRATION_BATCH)):
        yield torch.from_numpy(part)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
