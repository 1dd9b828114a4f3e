"""The extract stage: compute the features that the store lacks, then publish those of the current splits.

In: `data/splits.csv`, the images and `models/backbone.*`. Out: shards in `.features/` and the cache `data/features/`.
"""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from cache import FeatureStore, ensure_room, publish
from stages.backbone.network import CHANNELS, IMAGENET_MEAN, IMAGENET_STD, load_extractor
from stages.device import DTYPES, choose_batch_size, choose_device, choose_precision
from stages.errors import StageError
from stages.extract.compute import Failure, FeatureStream, ImageFile
from stages.extract.settings import FeatureSettings
from stages.progress import Progress
from stages.tables import read_table, write_table
from stages.views import PADDING_RGB, TRANSFORM_VERSION

log = logging.getLogger(__name__)


def extract_features(
    *,
    settings: FeatureSettings,
    splits: Path,
    images: Path,
    max_pixels: int,
    backbone: Path,
    store: Path,
    destination: Path,
) -> str:
    """Compute every image's features once and publish them.

    Parameters
    ----------
    settings
        Transform, views, tokens and how to compute.
    splits
        The table of split: which images.
    images
        The image root.
    max_pixels
        Larger images are not decoded.
    backbone
        The prepared weights.
    store
        Folder that keeps what was ever computed.
    destination
        Folder of the published cache: `features.h5`, `fingerprint.json`, `failed.csv`.

    Returns
    -------
    str
        How many were computed, known already, and failed.

    Raises
    ------
    StageError
        If the backbone is missing, or more than `max_failed_share` of the images fail.
    cache.CacheError
        If the store is locked by another run, the disk is full, and the like.
    """
    table = read_table(splits, required=["image", "sha256"], made_by="pipeline split").drop_duplicates("sha256")
    device = choose_device()
    precision = choose_precision(settings.precision, device)
    shape = (settings.views, settings.tokens, CHANNELS)
    features = FeatureStore(store, describe(settings, read_card(backbone), precision), shape)
    known = features.keys()
    todo = [ImageFile(row.sha256, row.image) for row in table.itertuples() if row.sha256 not in known]
    log.info("%d images: %d in the store already, %d to compute on %s in %s",
             len(table), len(table) - len(todo), len(todo), device, precision)  # fmt: skip
    failures: list[Failure] = []
    if todo:
        ensure_room(store, features.bytes_for(len(todo)))
        ensure_room(destination, features.bytes_for(len(table)))
        failures = _compute(features, todo, settings, device, precision, backbone, images, max_pixels)
    _publish(features, table, failures, destination)
    computed = len(todo) - len(failures)
    return f"{computed} computed, {len(table) - len(todo)} known already, {len(failures)} failed: {destination}"


def _compute(
    store: FeatureStore,
    todo: list[ImageFile],
    settings: FeatureSettings,
    device: torch.device,
    precision: str,
    backbone: Path,
    images: Path,
    max_pixels: int,
) -> list[Failure]:
    """Run the backbone over the images and append what comes out to the store."""
    stream = FeatureStream(
        extractor=load_extractor(backbone, tokens=settings.tokens, dtype=DTYPES[precision], device=device),
        settings=settings,
        batch_size=choose_batch_size(settings.batch_size, device),
        images=images,
        max_pixels=max_pixels,
    )
    with (
        store.writer(shard_mib=settings.shard_mib, flush_every_s=settings.flush_every_s) as writer,
        Progress(len(todo), "Extracting") as progress,
    ):
        for keys, features in stream.compute(todo):
            _check_finite(keys, features, precision)
            writer.append(keys, features)
            progress.advance(len(keys))
            _check_failures(stream.failures, len(todo), settings.max_failed_share)
        _check_failures(stream.failures, len(todo), settings.max_failed_share)
    return stream.failures


def _check_finite(keys: list[str], features: np.ndarray, precision: str) -> None:
    finite = np.isfinite(features).all(axis=(1, 2, 3))
    if not finite.all():
        raise StageError(
            f"the backbone gave infinite features for image {keys[int(np.argmin(finite))]} in {precision}: "
            "set features.precision to fp32, and check backbone.weights"
        )


def _check_failures(failures: list[Failure], count: int, max_share: float) -> None:
    if len(failures) > max(max_share * count, 1):
        last = failures[-1]
        raise StageError(
            f"{len(failures)} of {count} images could not be read, the last is {last.image} "
            f"({last.reason}, {last.detail}): "
            "more than features.max_failed_share; check dataset.images and run `pipeline clean` again"
        )


def _publish(store: FeatureStore, table: pd.DataFrame, failures: list[Failure], destination: Path) -> None:
    """Write the cache of exactly the images in the splits, less those that failed."""
    failed = {failure.image for failure in failures}
    for failure in failures:
        log.warning("%s left out: %s (%s)", *failure)
    good = table[~table["image"].isin(failed)]
    if good.empty:
        raise StageError("no image could be read: check dataset.images and run `pipeline clean` again")
    publish(store, good["sha256"].tolist(), good["image"].tolist(), destination)
    write_table(pd.DataFrame(failures, columns=list(Failure._fields)), destination / "failed.csv")


def read_card(backbone: Path) -> dict[str, Any]:
    """Read what `prepare-backbone` wrote beside the weights."""
    try:
        return json.loads(backbone.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise StageError(f"{backbone} is missing or unreadable: run `pipeline prepare-backbone` first") from None


def describe(settings: FeatureSettings, card: dict[str, Any], precision: str) -> dict[str, Any]:
    """Name everything that decides a feature's value: the plain text behind the fingerprint."""
    return {
        "arch": card["arch"],
        "backbone": card["digest"],
        "transform": {
            "version": TRANSFORM_VERSION,
            "resize_px": settings.resize_px,
            "crop_px": settings.crop_px,
            "padding_rgb": list(PADDING_RGB),
            "mean": list(IMAGENET_MEAN),
            "std": list(IMAGENET_STD),
            "decoder": settings.decoder,
        },
        "views": settings.views,
        # With the centre crop alone no seed decides anything.
        "views_random_state": settings.random_state if settings.views > 1 else None,
        "tokens": settings.tokens,
        "precision": precision,
    }
