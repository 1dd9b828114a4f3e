"""The backbone stage: write the weights that extraction will use to one file, with a card that describes them.

In: the settings; train images for random weights and fine-tuning. Out: `models/backbone.safetensors` and `.json`.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torchvision
from safetensors.torch import save

from stages.backbone.calibrate import batch_norms, calibrate_batch_norm
from stages.backbone.checkpoint import remove_checkpoint
from stages.backbone.finetune import finetune
from stages.backbone.finetune_data import ImageSource
from stages.backbone.processes import is_first_process, joined_processes
from stages.backbone.settings import BackboneSettings
from stages.backbone.weights import Provenance, check_finite, get_backbone
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
from stages.core.records import producers
from stages.core.records.outputs import Outputs, write_outputs
from stages.core.records.reading import Input, bind_inputs
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
    job = Job(settings, features, splits, images, weights, n_jobs)
    if is_first_process():
        recorded = settings.model_dump(mode="json")
        with write_outputs(producers.BACKBONE, weights.parent, settings=recorded, inputs={}) as outputs:
            summary = _prepare(job, outputs)
        remove_checkpoint(job.checkpoint)
        return summary
    if settings.finetune.target is not None:  # the weights come from the first process
        backbone = build_backbone(settings.arch, weights=settings.weights)
        _finetune(backbone, job)
    return ""


class Job(NamedTuple):
    """The arguments of `prepare_backbone`."""

    settings: BackboneSettings
    features: FeatureSettings
    splits: Path
    images: ImageFolder
    weights: Path
    n_jobs: int

    @property
    def checkpoint(self) -> Path:
        """From where a killed fine-tuning resumes."""
        return self.weights.with_name("finetune-checkpoint.safetensors")

    def read_crops(self, backbone: Backbone) -> ImageSource:
        """Train images as the backbone sees them."""
        transform = resolve_transform(self.features, backbone.native_input)
        return ImageSource(self.splits, self.images, transform, self.features.max_failed_share)


def _prepare(job: Job, outputs: Outputs) -> str:
    settings = job.settings
    backbone, provenance = get_backbone(
        settings.arch, settings.weights, random_state=settings.random_state, timeout_s=settings.download_timeout_s
    )
    calibrates = provenance.weights == "random" and bool(batch_norms(backbone.network))
    if settings.finetune.target is not None:
        # Calibration uses neither labels nor names: the weights stay those of any split of these images.
        columns = ("image", "sha256", "split", settings.finetune.target)
        outputs.inputs |= bind_inputs([Input(job.splits, SPLIT_IMAGES, columns=columns)])
    calibrated_on = _calibrate(backbone, job) if calibrates else 0
    record = _finetune(backbone, job) if settings.finetune.target is not None else None
    check_finite(backbone.network.state_dict(), f"{settings.arch} with weights {provenance.weights}")
    staged = outputs.path(job.weights)
    # Bytes, because safetensors' own file could be read by its owner alone.
    staged.write_bytes(save({key: value.contiguous() for key, value in backbone.network.state_dict().items()}))
    shape = map_shape(backbone, job.read_crops(backbone).transform.crop_px)
    card = _make_card(settings, backbone, provenance, staged, shape, calibrated_on, record)
    write_card(card, staged)
    summary = f"{card.arch} with weights {card.weights} ({card.source}), digest {card.digest[:16]}"
    return f"{summary}\n{record['sentence']}" if record else summary


def _calibrate(backbone: Backbone, job: Job) -> int:
    """Set the batch-norm statistics of random weights; return the number of images that they come from."""
    pixels = _calibration_pixels(job.read_crops(backbone), job.settings.calibration_images)
    calibrate_batch_norm(backbone, _batches(pixels))
    return len(pixels)


def _finetune(backbone: Backbone, job: Job) -> dict[str, Any] | None:
    """Fine-tune the backbone in place; return the record of it in the first process."""
    source = job.read_crops(backbone)
    with joined_processes() as processes:
        return finetune(
            backbone,
            channels=map_shape(backbone, source.transform.crop_px)[0],
            settings=job.settings.finetune,
            source=source,
            checkpoint=job.checkpoint,
            processes=processes,
            n_jobs=job.n_jobs,
        )


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
        source_digest=provenance.digest,
        warning=" ".join(filter(None, warnings)) or None,
        digest=file_digest(weights),
        code_digest=backbone.code_digest,
        channels=shape[0],
        map_size=shape[1:],
        prefix_tokens=backbone.prefix_tokens,
        pooled=backbone.pooled,
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
