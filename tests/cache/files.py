"""The files of a store: their digests, and ways to damage them."""

import hashlib
from pathlib import Path

import h5py
import numpy as np

from cache import publish
from tests.cache.extraction import keys_of, name_of, store_at

KEYS = keys_of(30)


def content(root: Path) -> dict[str, str]:
    """Compute the digest of every file under a folder except the lock."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file() and "lock" not in path.name)
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def publish_all(root: Path, keys: list[str] = KEYS) -> Path:
    """Publish rows of the store at `root`; the path of `features.h5`."""
    return publish(store_at(root), keys, [name_of(key) for key in keys], root / "features")


def spoil(path: Path, *rows: int) -> None:
    """Change one bit of every feature in these rows."""
    with h5py.File(path, "r+") as file:
        for row in rows:
            bits = file["features"][row].view(np.uint16)
            file["features"][row] = (bits ^ 1).view(np.float16)
