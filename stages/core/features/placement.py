"""Where training reads features from: the GPU's memory, the computer's, or the cache's file, by what fits.

In: an open cache and its images' keys. Out: an object that is indexed like an array, `features[rows, views]`. Every
epoch visits the rows in one uniformly random order, so that the place changes the speed and no result.
"""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import psutil
import torch

from cache import FeatureCache

Placement = Literal["auto", "gpu", "ram", "stream"]
T = TypeVar("T")
BLOCK_BYTES = 2 * 2**20
# Shares of free memory that features may take: the rest is for gradients, and for the machine's other users.
GPU_SHARE, RAM_SHARE = 0.6, 0.5

log = logging.getLogger(__name__)


class CachedFeatures:
    """Features of n images in the cache's file, indexed like an array; only the rows that are indexed are read.

    Parameters
    ----------
    cache
        An open cache.
    keys
        n keys, any order, repeats allowed.

    Attributes
    ----------
    shape
        `(n, views, tokens, channels)`.
    nbytes
        Size of all of it in memory.
    """

    dtype = np.dtype(np.float16)

    def __init__(self, cache: FeatureCache, keys: list[str]) -> None:
        self._cache = cache
        self._rows = cache.rows(keys)
        self.shape = (len(self._rows), *cache.shape)
        self.nbytes = int(np.prod(self.shape)) * self.dtype.itemsize

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: object) -> np.ndarray:
        """`features[rows]` is `(m, views, tokens, channels)`, `features[rows, views]` `(m, tokens, channels)`."""
        rows, views = index if isinstance(index, tuple) else (index, None)
        return self._cache.take(np.atleast_1d(self._rows[rows]), views)

    def release(self) -> None:
        """Free the memory of the rows read so far; they can be read again."""
        self._cache.release()


FeatureArray = np.ndarray | torch.Tensor | CachedFeatures


def place(features: CachedFeatures, device: torch.device, placement: Placement = "auto") -> FeatureArray:
    """Load features to where training reads them from, and log where that is.

    Parameters
    ----------
    features
        Shape `(n, views, tokens, channels)`.
    device
        Where the head is trained.
    placement
        `gpu`, `ram`, `stream` (read from the file, batch by batch), or `auto`: the first of them that has room.

    Returns
    -------
    torch.Tensor, numpy.ndarray or CachedFeatures
        The same features.
    """
    if placement == "auto":
        placement = _first_with_room(features.nbytes, device)
    if placement == "gpu" and device.type != "cuda":
        placement = "ram"
    size = f"{features.nbytes / 2**20:,.0f} MiB of features"
    if placement == "gpu":
        log.info("%s in the GPU's memory", size)
        return torch.cat([torch.from_numpy(features[block]).to(device) for block in blocks(features)])
    if placement == "ram":
        log.info("%s in memory", size)
        loaded = np.empty(features.shape, features.dtype)
        for block in blocks(features):
            loaded[block] = features[block]
        return loaded
    free = f"{available_bytes() / 2**20:,.0f} MiB of memory are free"
    log.info("%s streamed from the cache's file (%s), in one random order over all images per epoch", size, free)
    return features


def _first_with_room(needed_bytes: int, device: torch.device) -> Placement:
    if device.type == "cuda" and needed_bytes <= GPU_SHARE * torch.cuda.mem_get_info(device)[0]:
        return "gpu"
    return "ram" if needed_bytes <= RAM_SHARE * available_bytes() else "stream"


def available_bytes() -> int:
    """Bytes that this process may still take under the limits of the machine, its container (cgroup) and itself."""
    free = [psutil.virtual_memory().available, *_under_own_limits()]
    free += [limit - psutil.Process().memory_info().rss for limit in _cgroup_limits()]
    least: int = min(free)
    return max(0, least)


def _under_own_limits() -> Iterator[int]:
    """Yield the bytes that `ulimit -v` and `ulimit -d` leave."""
    try:
        import resource  # Unix only
    except ImportError:
        return
    used = psutil.Process().memory_info()
    for limit, taken in ((resource.RLIMIT_AS, used.vms), (resource.RLIMIT_DATA, getattr(used, "data", used.rss))):
        soft = resource.getrlimit(limit)[0]
        if soft != resource.RLIM_INFINITY:
            yield soft - taken


def _cgroup_limits() -> Iterator[int]:
    """Yield the memory limits of this process's control groups, version 1 and 2; none outside Linux."""
    try:
        memberships = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in memberships:
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            candidates = [Path("/sys/fs/cgroup", group.lstrip("/"), "memory.max"), Path("/sys/fs/cgroup/memory.max")]
        elif "memory" in controllers.split(","):
            root = Path("/sys/fs/cgroup/memory")
            candidates = [root / group.lstrip("/") / "memory.limit_in_bytes", root / "memory.limit_in_bytes"]
        else:
            continue
        for path in candidates:
            try:
                text = path.read_text().strip()
            except OSError:
                continue
            if text != "max":
                yield int(text)


def blocks(features: FeatureArray, rows: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """Cut row numbers (all, or these) into pieces whose features take 2 MiB at most, in order.

    Examples
    --------
    >>> [len(block) for block in blocks(np.zeros((5, 1, 1, 2**19), np.float16))]
    [2, 2, 1]
    """
    rows = np.arange(len(features)) if rows is None else rows
    row_bytes = int(np.prod(features.shape[1:])) * 2
    step = max(1, BLOCK_BYTES // row_bytes)
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


def read_ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield the items; a thread makes the next one meanwhile."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting = pool.submit(next, items, None)
        while (item := waiting.result()) is not None:
            waiting = pool.submit(next, items, None)
            yield item


def mean_and_std(
    features: FeatureArray, rows: np.ndarray, normalise: Callable[[torch.Tensor], torch.Tensor] = torch.Tensor.float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute the mean and standard deviation of every channel over rows, views and tokens, block by block.

    With y = normalise(x) - s, where s is the first block's mean, so that squares of differences stay small:
    mean = s + Σ y / n,  std = sqrt(Σ y² / n - (Σ y / n)²)

    Parameters
    ----------
    features
        Shape `(n, views, tokens, channels)`.
    rows
        Row numbers, one or more.
    normalise
        Applied to the features first; returns float32 in newly allocated memory.

    Returns
    -------
    mean, std : Tensor
        Shape `(channels,)`, float64, on the CPU.
    """
    first = normalise(torch.as_tensor(features[next(blocks(features, rows))]).flatten(0, -2))
    count, shift = 0, first.mean(dim=0)
    total, squares = torch.zeros_like(shift, dtype=torch.float64), torch.zeros_like(shift, dtype=torch.float64)
    for block in blocks(features, rows):
        flat = normalise(torch.as_tensor(features[block]).flatten(0, -2)).sub_(shift)
        count += len(flat)
        total += flat.sum(0).double()
        squares += flat.square_().sum(0).double()
    mean = total / count
    return (mean + shift).cpu(), (squares / count - mean.square()).clamp_min(0).sqrt().cpu()
