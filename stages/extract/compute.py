"""From image files to feature tensors: decode in threads ahead of the backbone, forward in batches of one shape.

In: a list of images and an extractor. Out: a stream of (keys, features), and a list of the images that failed.
Where features are kept is left to the cache.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from stages.backbone.network import FeatureExtractor
from stages.extract.settings import FeatureSettings
from stages.images import UnusableImage
from stages.parallel import thread_count
from stages.views import load_views


class ImageFile(NamedTuple):
    """An image to compute: the SHA-256 of its bytes, and its path relative to the image root."""

    key: str
    image: str


class Failure(NamedTuple):
    """An image that passed cleaning and cannot be read now."""

    image: str
    reason: str
    detail: str


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
        Crops per forward pass. Every pass has exactly this many (the last is padded), so that a feature does not
        depend on which images happened to share its batch.
    images
        The image root.
    max_pixels
        Larger images are not decoded.
    n_jobs
        Threads that decode; -1 for one per core.
    """

    extractor: FeatureExtractor
    settings: FeatureSettings
    batch_size: int
    images: Path
    max_pixels: int
    n_jobs: int = -1
    failures: list[Failure] = field(default_factory=list)

    def compute(self, files: Sequence[ImageFile]) -> Iterator[tuple[list[str], np.ndarray]]:
        """Yield keys and their features, `(n, views, tokens, channels)` float16, batch by batch, in the order given."""
        per_batch = max(1, self.batch_size // self.settings.views)
        for batch in _grouped(self._decoded(files), per_batch):
            keys = [key for key, _ in batch]
            pixels = np.stack([views for _, views in batch])
            yield keys, self._forward(pixels, per_batch)

    def _decoded(self, files: Sequence[ImageFile]) -> Iterator[tuple[str, np.ndarray]]:
        """Decode in threads (Pillow lets go of the interpreter's lock), a bounded number of images ahead."""
        ahead = max(2 * self.batch_size // self.settings.views, 4)
        with ThreadPoolExecutor(max_workers=thread_count(self.n_jobs)) as pool:
            waiting: deque[tuple[ImageFile, Future]] = deque()
            try:
                for file in files:
                    waiting.append((file, pool.submit(self._load, file)))
                    if len(waiting) > ahead:
                        yield from self._finished(*waiting.popleft())
                while waiting:
                    yield from self._finished(*waiting.popleft())
            finally:
                for _, future in waiting:
                    future.cancel()

    def _load(self, file: ImageFile) -> np.ndarray:
        return load_views(self.images, file.image, file.key, settings=self.settings, max_pixels=self.max_pixels)

    def _finished(self, file: ImageFile, future: Future) -> Iterator[tuple[str, np.ndarray]]:
        try:
            yield file.key, future.result()
        except UnusableImage as problem:
            self.failures.append(Failure(file.image, problem.reason, problem.detail))

    def _forward(self, pixels: np.ndarray, per_batch: int) -> np.ndarray:
        """Run `(n, views, 3, h, w)` uint8 through the backbone, padded to `per_batch` images."""
        count, views = pixels.shape[:2]
        if count < per_batch:
            pixels = np.concatenate([pixels, np.zeros((per_batch - count, *pixels.shape[1:]), dtype=np.uint8)])
        crops = torch.from_numpy(pixels).flatten(0, 1)
        device = next(self.extractor.parameters()).device
        if device.type == "cuda":
            crops = crops.pin_memory().to(device, non_blocking=True)
        features = self.extractor(crops)[: count * views].unflatten(0, (count, views))
        return features.to(torch.float16).cpu().numpy()


def _grouped(items: Iterable, size: int) -> Iterator[list]:
    group = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
