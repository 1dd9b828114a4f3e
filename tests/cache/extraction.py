"""A stand-in for extraction: the real store and writer, and a seeded random generator in place of the backbone.

The tests run it in a separate process, and kill it, interrupt it or limit its disk.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cache import FeatureStore

SHAPE = (2, 3, 8)
DESCRIPTION = {"backbone": "a stand-in", "views": 2, "tokens": 3}


def key_of(index: int) -> str:
    """The key of image number `index`."""
    return hashlib.sha256(f"image {index}".encode()).hexdigest()


def keys_of(count: int) -> list[str]:
    return [key_of(index) for index in range(count)]


def name_of(key: str) -> str:
    return f"folder/ünï-{key[:12]}.jpg"


def features_of(keys: Sequence[str], shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Compute features from the key alone: any bits, including NaN."""
    size = int(np.prod(shape)) * 2
    rows = [np.random.default_rng(int(key, 16)).bytes(size) for key in keys]
    return np.frombuffer(b"".join(rows), np.float16).reshape(len(keys), *shape)


def store_at(root: Path, shape: tuple[int, int, int] = SHAPE) -> FeatureStore:
    return FeatureStore(root, DESCRIPTION, shape)


def extract(
    root: Path,
    keys: Sequence[str],
    *,
    batch_size: int = 4,
    shape: tuple[int, int, int] = SHAPE,
    report: Path | None = None,
    **options: float,
) -> None:
    """Append what the store lacks, in batches; note in `report` each batch that `append` has taken."""
    store = store_at(root, shape)
    known = store.keys()
    todo = [key for key in keys if key not in known]
    with store.writer(**options) as writer:
        for start in range(0, len(todo), batch_size):
            batch = todo[start : start + batch_size]
            writer.append(batch, features_of(batch, shape))
            if report is not None:
                _note(report, batch)


def _note(report: Path, batch: Sequence[str]) -> None:
    """One write call: a kill leaves all of the note or nothing."""
    descriptor = os.open(report, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, "".join(f"{key}\n" for key in batch).encode())
    os.close(descriptor)


def noted(report: Path) -> set[str]:
    return set(report.read_text().split()) if report.exists() else set()


def same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    """Equal bit for bit: NaN equals itself, and 0.0 is not -0.0."""
    return one.shape == other.shape and one.dtype == other.dtype and one.tobytes() == other.tobytes()
