"""From image files to feature tensors, with every core or the GPU busy all the time.

In: a list of images and an extractor. Out: a stream of (keys, features) in the order given, and a list of the images
that failed. Where features are kept is left to the cache.

On a CPU each core takes a batch of its own through all of it, reading, decoding and the forward pass on one thread: no
core waits for another, and the values do not depend on how many there are. On a GPU processes decode ahead of it.
"""

import multiprocessing
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from stages.core.extraction.forward import ForwardPass
from stages.core.extraction.settings import FeatureSettings
from stages.core.images.files import UnusableImage
from stages.core.images.views import load_views
from stages.core.memory import keep_freed_memory
from stages.core.networks.extractor import FeatureExtractor
from stages.core.parallel import thread_count

Features = tuple[list[str], np.ndarray]


class ImageFile(NamedTuple):
    """An image to compute: the SHA-256 of its bytes, and its path relative to the image root."""

    key: str
    image: str


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
class ImageBatches(Dataset):
    """Item i is the decoded i-th batch of the files.

    Parameters
    ----------
    files
        The images, in order.
    per_batch
        Images per batch.
    settings, images, max_pixels
        Transform and views, the image root, and the size from which images are not decoded.
    """

    files: Sequence[ImageFile]
    per_batch: int
    settings: FeatureSettings
    images: Path
    max_pixels: int

    def __len__(self) -> int:
        return -(-len(self.files) // self.per_batch)

    def __getitem__(self, index: int) -> Decoded:
        keys, views, failures = [], [], []
        for file in self.files[index * self.per_batch : (index + 1) * self.per_batch]:
            try:
                views.append(self._load(file))
                keys.append(file.key)
            except UnusableImage as problem:
                failures.append(Failure(file.image, problem.reason, problem.detail))
        side = self.settings.crop_px
        crops = np.stack(views) if views else np.empty((0, self.settings.views, 3, side, side), np.uint8)
        return Decoded(keys, torch.from_numpy(crops), failures)

    def _load(self, file: ImageFile) -> np.ndarray:
        return load_views(self.images, file.image, file.key, settings=self.settings, max_pixels=self.max_pixels)


@dataclass
class FeatureStream:
    """Computes features as they are iterated over; `failures` grows on the way.

    Parameters
    ----------
    extractor
        The backbone, on its device.
    settings
        Transform and views.
    batch_size
        Crops per forward pass.
    images
        The image root.
    max_pixels
        Larger images are not decoded.
    n_jobs
        Threads on a CPU, decoding processes beside a GPU; -1 for one per core.
    """

    extractor: torch.nn.Module
    settings: FeatureSettings
    batch_size: int
    images: Path
    max_pixels: int
    n_jobs: int = -1
    failures: list[Failure] = field(default_factory=list)

    def compute(self, files: Sequence[ImageFile]) -> Iterator[Features]:
        """Yield keys and their features, `(n, views, tokens, channels)` float16, batch by batch, in the order given."""
        per_batch = max(1, self.batch_size // self.settings.views)
        batches = ImageBatches(files, per_batch, self.settings, self.images, self.max_pixels)
        crops = per_batch * self.settings.views
        if isinstance(self.extractor, FeatureExtractor):
            self.extractor.prepare_for((crops, 3, self.settings.crop_px, self.settings.crop_px))
        forward = ForwardPass(self.extractor, crops)
        on_gpu = forward.device.type == "cuda"
        for keys, features, failures in (ahead_of_gpu if on_gpu else core_by_core)(batches, forward, self.n_jobs):
            self.failures += failures
            if keys:
                yield keys, features.unflatten(0, (len(keys), self.settings.views)).numpy()


Computed = tuple[list[str], torch.Tensor, list[Failure]]


def core_by_core(batches: ImageBatches, forward: ForwardPass, n_jobs: int) -> Iterator[Computed]:
    """Take whole batches through decoding and the network, each on one thread."""

    def work(index: int) -> Computed:
        batch = batches[index]
        return batch.keys, forward(batch.crops.flatten(0, 1)) if batch.keys else batch.crops, batch.failures

    keep_freed_memory()
    workers = min(thread_count(n_jobs), len(batches))
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # taken over by every thread that starts from now on
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from _in_order(pool, work, len(batches), ahead=2 * workers)
    finally:
        torch.set_num_threads(before)


def _in_order(pool: ThreadPoolExecutor, work, count: int, ahead: int) -> Iterator[Computed]:
    """Yield `work(0)`, `work(1)`, … with at most so many begun ahead of the one that is waited for."""
    waiting: deque[Future] = deque()
    try:
        for index in range(count):
            waiting.append(pool.submit(work, index))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def ahead_of_gpu(batches: ImageBatches, forward: ForwardPass, n_jobs: int) -> Iterator[Computed]:
    """Decode in processes; hand a batch to the GPU before the features of the one before it are fetched."""
    # Processes that share nothing with this one, which has threads and perhaps a CUDA context.
    forkserver = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if forkserver else "spawn")
    if forkserver:
        context.set_forkserver_preload([__name__])  # torch is imported once for all of them
    loader = DataLoader(
        batches,
        batch_size=None,
        num_workers=thread_count(n_jobs),
        prefetch_factor=4,
        pin_memory=forward.device.type == "cuda",
        multiprocessing_context=context,
    )
    running: tuple[Computed, torch.cuda.Event | None] | None = None
    for batch in loader:
        features = forward(batch.crops.flatten(0, 1)) if batch.keys else batch.crops
        begun = (batch.keys, features.to("cpu", non_blocking=True), batch.failures), _marked(forward.device)
        if running is not None:
            yield _waited_for(*running)
        running = begun
    if running is not None:
        yield _waited_for(*running)


def _marked(device: torch.device) -> "torch.cuda.Event | None":
    """A mark behind all that the GPU has been given to do so far."""
    if device.type != "cuda":
        return None
    event = torch.cuda.Event()
    event.record()
    return event


def _waited_for(computed: Computed, mark: "torch.cuda.Event | None") -> Computed:
    if mark is not None:
        mark.synchronize()
    return computed
