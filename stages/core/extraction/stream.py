"""From image files to feature tensors, with every core or the GPU always busy.

In: a list of images and an extractor. Out: a stream of (keys, features) in the order given, and a list of the images
that failed. Where features are kept is left to the cache.

On a CPU each core takes a separate batch through reading, decoding (in a process of `core.images.decoding`) and the
forward pass, on one thread. No core waits for another, and the values do not depend on the number of cores. For a GPU,
processes decode ahead of it.
"""

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from stages.core.device import Compute
from stages.core.extraction.forward import ForwardPass
from stages.core.extraction.settings import FeatureSettings
from stages.core.images.decoding.pool import Decoders
from stages.core.images.files import ImageFolder, UnusableImage
from stages.core.images.transform import Transform
from stages.core.images.views import ViewsOfFile, load_views_apart
from stages.core.memory import keep_freed_memory
from stages.core.networks.backbone_files import load_extractor
from stages.core.networks.feature_extractor import FeatureExtractor
from stages.core.parallel import in_order, thread_count

Features = tuple[list[str], np.ndarray]

log = logging.getLogger(__name__)


class ImageFile(NamedTuple):
    """An image to compute.

    Attributes
    ----------
    key
        SHA-256 of its bytes, hexadecimal.
    image
        Its path relative to the image root.
    copies
        Paths of files with the same bytes: they are read, in this order, if it cannot be.
    """

    key: str
    image: str
    copies: tuple[str, ...] = ()


class Failure(NamedTuple):
    """An image that passed cleaning and cannot be read now."""

    image: str
    reason: str
    detail: str


class Decoded(NamedTuple):
    """A batch after decoding.

    Attributes
    ----------
    keys
        Of the n images that could be read.
    crops
        Shape `(n, views, 3, h, w)`, uint8.
    failures
        The others.
    """

    keys: list[str]
    crops: torch.Tensor
    failures: list[Failure]


@dataclass(frozen=True)
class ImageBatches:
    """The images, cut into batches.

    Parameters
    ----------
    files
        The images, in order.
    per_batch
        Images per batch.
    transform
        How views are cut.
    images
        The image root.
    """

    files: Sequence[ImageFile]
    per_batch: int
    transform: Transform
    images: ImageFolder

    def __len__(self) -> int:
        return -(-len(self.files) // self.per_batch)

    def decode(self, index: int, decoders: Decoders) -> Decoded:
        """Decode the batch of that index in a decoding process."""
        files = self.files[index * self.per_batch : (index + 1) * self.per_batch]
        keys: list[str] = []
        views: list[np.ndarray] = []
        failures: list[Failure] = []
        for file, found in zip(files, self._read(files, decoders), strict=True):
            if isinstance(found, UnusableImage):
                failures.append(Failure(file.image, found.reason, found.detail))
            else:
                keys.append(file.key)
                views.append(found)
        side = self.transform.crop_px
        crops = np.stack(views) if views else np.empty((0, self.transform.views, 3, side, side), np.uint8)
        return Decoded(keys, torch.from_numpy(crops), failures)

    def _read(self, files: Sequence[ImageFile], decoders: Decoders) -> list[np.ndarray | UnusableImage]:
        """Each file's views, or those of its first copy that can be read."""
        views = self._load([(file.image, file.key) for file in files], decoders)
        for place, file in enumerate(files):
            for copy in file.copies if isinstance(views[place], UnusableImage) else ():
                (found,) = self._load([(copy, file.key)], decoders)
                if not isinstance(found, UnusableImage):
                    log.info("%s: %s; its copy %s is read", file.image, views[place], copy)
                    views[place] = found
                    break
        return views

    def _load(self, names: Sequence[tuple[str, str]], decoders: Decoders) -> list[np.ndarray | UnusableImage]:
        wanted = [ViewsOfFile(image, key, self.transform) for image, key in names]
        return load_views_apart(decoders, self.images, wanted)


@dataclass
class FeatureStream:
    """Computes features as they are iterated over; `failures` grows on the way.

    Parameters
    ----------
    extractor
        The backbone, on its device.
    transform
        How views are cut.
    batch_size
        Crops per forward pass.
    images
        The image root.
    n_jobs
        Threads, each with a decoding process; -1 for one per core.
    """

    extractor: torch.nn.Module
    transform: Transform
    batch_size: int
    images: ImageFolder
    n_jobs: int = -1
    failures: list[Failure] = field(default_factory=list)

    def compute(self, files: Sequence[ImageFile]) -> Iterator[Features]:
        """Yield keys and their features, `(n, views, tokens, channels)` float16, batch by batch, in the order given."""
        per_batch = max(1, self.batch_size // self.transform.views)
        batches = ImageBatches(files, per_batch, self.transform, self.images)
        crops = per_batch * self.transform.views
        if isinstance(self.extractor, FeatureExtractor):
            self.extractor.prepare_for((crops, 3, self.transform.crop_px, self.transform.crop_px))
        forward = ForwardPass(self.extractor, crops)
        on_gpu = forward.device.type == "cuda"
        compute = compute_on_gpu if on_gpu else compute_on_cores
        for keys, features, failures in compute(batches, forward, self.n_jobs):
            self.failures += failures
            if keys:
                yield keys, torch.unflatten(features, 0, (len(keys), self.transform.views)).numpy()


def open_stream(
    backbone: Path,
    settings: FeatureSettings,
    transform: Transform,
    compute: Compute,
    images: ImageFolder,
    *,
    arch: str,
    n_jobs: int = -1,
) -> FeatureStream:
    """Read the prepared backbone onto its device, and set up the stream through it.

    Parameters
    ----------
    backbone
        The file of weights.
    settings
        Which tokens.
    transform
        How views are cut.
    compute
        Device, precision and crops per forward pass.
    images
        The image root.
    arch
        `backbone.arch` of the settings: the network that is built.
    n_jobs
        As in `FeatureStream`.
    """
    extractor = load_extractor(
        backbone,
        arch=arch,
        tokens=settings.tokens,
        pooled_token=settings.pooled_token,
        dtype=compute.dtype,
        device=compute.device,
    )
    return FeatureStream(extractor, transform, compute.batch_size, images, n_jobs)


Computed = tuple[list[str], torch.Tensor, list[Failure]]


def compute_on_cores(batches: ImageBatches, forward: ForwardPass, n_jobs: int) -> Iterator[Computed]:
    """Take whole batches through decoding and the network, each on one thread.

    While a thread waits for its decoding process, that process has the thread's core.
    """
    workers = min(thread_count(n_jobs), len(batches))

    def work(index: int) -> Computed:
        batch = batches.decode(index, decoders)
        return batch.keys, forward(batch.crops.flatten(0, 1)) if batch.keys else batch.crops, batch.failures

    keep_freed_memory()
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # inherited by every thread that starts from now on
    try:
        # Decoders end first: no thread then waits for a picture.
        with (
            ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool,
            Decoders() as decoders,
        ):
            yield from in_order(pool, work, len(batches), ahead=2 * workers)
    finally:
        torch.set_num_threads(before)


def compute_on_gpu(batches: ImageBatches, forward: ForwardPass, n_jobs: int) -> Iterator[Computed]:
    """Decode ahead; give a batch to the GPU before the features of the previous one are fetched."""
    workers = thread_count(n_jobs)
    on_gpu = forward.device.type == "cuda"

    def work(index: int) -> Decoded:
        batch = batches.decode(index, decoders)
        return batch._replace(crops=batch.crops.pin_memory()) if on_gpu else batch

    running: tuple[Computed, torch.cuda.Event | None] | None = None
    with ThreadPoolExecutor(workers) as pool, Decoders() as decoders:
        for batch in in_order(pool, work, len(batches), ahead=4 * workers):
            features = forward(batch.crops.flatten(0, 1)) if batch.keys else batch.crops
            begun = (batch.keys, features.to("cpu", non_blocking=True), batch.failures), _record_event(forward.device)
            if running is not None:
                yield _wait_for(*running)
            running = begun
    if running is not None:
        yield _wait_for(*running)


def _record_event(device: torch.device) -> "torch.cuda.Event | None":
    """An event after everything that the GPU has been given to do so far."""
    if device.type != "cuda":
        return None
    event = torch.cuda.Event()
    event.record()
    return event


def _wait_for(computed: Computed, event: "torch.cuda.Event | None") -> Computed:
    if event is not None:
        event.synchronize()
    return computed
