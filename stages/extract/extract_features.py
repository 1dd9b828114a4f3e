"""The extract stage: compute the features that the store lacks, then publish those of the current splits.

In: `data/splits.csv`, the images and `models/backbone.*`. Out: shards in `.features/` and the cache `data/features/`.
"""

import logging
from pathlib import Path

import numpy as np
import pandas as pd

from cache import DamagedFileError, FeatureStore, ensure_room, publish
from stages.core.device import choose_compute
from stages.core.errors import StageError
from stages.core.extraction.description import describe
from stages.core.extraction.resolve import resolve_transform
from stages.core.extraction.settings import FeatureSettings
from stages.core.extraction.stream import Failure, FeatureStream, ImageFile, open_stream
from stages.core.features.artefact import FEATURES
from stages.core.images.files import ImageFolder
from stages.core.networks.backbone_files import backbone_inputs, check_arch, read_card
from stages.core.progress import Progress
from stages.core.records import producers
from stages.core.records.outputs import write_outputs
from stages.core.records.reading import Input, bind_inputs
from stages.core.tables.columns import FAILED, SPLIT_IMAGES
from stages.core.tables.csv_files import read_table, write_table

# Damage that recurs after a repair comes from the disk: repairing again would never end.
PUBLISHING_ATTEMPTS = 3

log = logging.getLogger(__name__)


def extract_features(
    *,
    settings: FeatureSettings,
    arch: str,
    splits: Path,
    images: ImageFolder,
    backbone: Path,
    store: Path,
    destination: Path,
    n_jobs: int = -1,
) -> str:
    """Compute every image's features once and publish them.

    Parameters
    ----------
    settings
        Transform, views, tokens and how to compute.
    arch
        `backbone.arch`: the network, which must be the one that the weights were prepared for.
    splits
        The table of split: which images.
    images
        The image root.
    backbone
        The prepared weights.
    store
        Folder that keeps everything computed so far.
    destination
        Folder of the published cache: `features.h5`, `fingerprint.json`, `failed.csv`.
    n_jobs
        Threads that decode, as in joblib: -1 for one per core. They change no feature's value.

    Returns
    -------
    str
        How many images were computed, known already, and failed.

    Raises
    ------
    StageError
        If the backbone is missing or another network, or more than `max_failed_share` of the images fail.
    cache.CacheError
        If the store is locked by another run, the disk is full, and the like.
    """
    inputs = bind_inputs([Input(splits, SPLIT_IMAGES, columns=("image", "sha256")), *backbone_inputs(backbone)])
    recorded = settings.model_dump(mode="json")
    with write_outputs(
        producers.EXTRACT, destination.parent, settings=recorded, inputs=inputs, artefacts=[FEATURES]
    ) as outputs:
        summary = _extract(settings, splits, images, backbone, arch, store, outputs.path(destination), n_jobs)
    return f"{summary}: {destination}"


def _extract(
    settings: FeatureSettings,
    splits: Path,
    images: ImageFolder,
    backbone: Path,
    arch: str,
    store: Path,
    destination: Path,
    n_jobs: int,
) -> str:
    """Compute and publish; return the counts."""
    names = (
        read_table(splits, SPLIT_IMAGES, columns=["image", "sha256"]).groupby("sha256", sort=False)["image"].agg(list)
    )
    wanted = [ImageFile(key, image, tuple(copies)) for key, (image, *copies) in names.items()]
    compute = choose_compute(settings.precision, settings.batch_size)
    card = read_card(backbone)
    check_arch(card, arch, backbone)
    transform = resolve_transform(settings, card.native_input)
    shape = (transform.views, settings.sequence_length, card.channels)
    features = FeatureStore(store, describe(settings, card, compute.precision), shape)
    computed = 0
    failures: list[Failure] = []
    for _ in range(PUBLISHING_ATTEMPTS):
        todo = _missing(features, wanted, failures)
        log.info(
            "%d images: %d in the store already, %d to compute on %s in %s",
            len(wanted),
            len(wanted) - len(todo),
            len(todo),
            compute.device,
            compute.precision,
        )
        if todo:
            ensure_room(store, features.bytes_for(len(todo)))
            ensure_room(destination, features.bytes_for(len(wanted)))
            stream = open_stream(backbone, settings, transform, compute, images, arch=arch, n_jobs=n_jobs)
            failed = _compute(stream, features, todo, settings, compute.precision, len(wanted))
            computed, failures = computed + len(todo) - len(failed), failures + failed
        try:
            _publish(features, wanted, failures, destination, settings.after_publishing)
            break
        except DamagedFileError as error:  # already set aside: the features lost with it are computed in the next round
            damage = error
            log.warning("%s", error.reason)
    else:
        raise damage
    known = len(wanted) - len(failures) - computed
    return f"{computed} computed, {max(known, 0)} known already, {len(failures)} failed"


def _missing(store: FeatureStore, wanted: list[ImageFile], failures: list[Failure]) -> list[ImageFile]:
    """The images whose features the store lacks, without those that have just failed."""
    known, failed = store.keys(), {failure.image for failure in failures}
    return [file for file in wanted if file.key not in known and file.image not in failed]


def _compute(
    stream: FeatureStream,
    store: FeatureStore,
    todo: list[ImageFile],
    settings: FeatureSettings,
    precision: str,
    wanted: int,
) -> list[Failure]:
    """Append the features of the images to the store; stop if too many of all `wanted` images fail."""
    with (
        store.writer(shard_mib=settings.shard_mib, flush_every_s=settings.flush_every_s) as writer,
        Progress(len(todo), "Extracting") as progress,
    ):
        for keys, features in stream.compute(todo):
            _check_finite(keys, features, precision)
            writer.append(keys, features)
            progress.advance(len(keys))
            _check_failures(stream.failures, wanted, settings.max_failed_share)
        _check_failures(stream.failures, wanted, settings.max_failed_share)
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


def _publish(
    store: FeatureStore, wanted: list[ImageFile], failures: list[Failure], destination: Path, after_publishing: str
) -> None:
    """Write the cache of exactly the images in the splits, without those that failed."""
    failed = {failure.image for failure in failures}
    for failure in failures:
        log.warning("%s left out: %s (%s)", *failure)
    good = [file for file in wanted if file.image not in failed]
    if not good:
        raise StageError("no image could be read: check dataset.images and run `pipeline clean` again")
    keys, names = [file.key for file in good], [file.image for file in good]
    publish(store, keys, names, destination, link=after_publishing == "link")
    write_table(pd.DataFrame(failures, columns=FAILED.names), destination / "failed.csv")


def failed_images(destination: Path) -> int:
    """How many images the published cache lacks because they could not be read."""
    return len(read_table(destination / "failed.csv", FAILED))
