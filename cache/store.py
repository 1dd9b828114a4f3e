"""The store: where extraction appends, one folder per fingerprint, shared by every run that has the same settings.

In: a root folder, a description of everything that decides a feature's value, the shape of a row. Out: which keys are
there, a writer for those that are not, and where each row lies. What readers downstream see is left to publishing.
"""

import contextlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cache.errors import CacheError, DamagedFileError, ensure_room, explained
from cache.fingerprint import SHORT_DIGITS, canonical_json, fingerprint
from cache.shard import NOT_IN_ONE_PIECE, Shape, Tables, file_bytes, read_tables
from cache.writer import ShardWriter

__all__ = ["SET_ASIDE", "FeatureStore", "ensure_room"]

SET_ASIDE = "set-aside"
_log = logging.getLogger(__name__)


class FeatureStore:
    """Features of one fingerprint, in immutable shards `root/<fingerprint[:16]>/shard-*.h5`.

    Opening one reads and creates nothing.

    Parameters
    ----------
    root
        The folder of all stores.
    description
        Everything that decides a feature's value, as plain JSON values.
    shape
        (views, tokens, channels) of one image's features.

    Raises
    ------
    CacheError
        If the description is not JSON or the shape is not three positive integers.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> store = FeatureStore(Path(tempfile.mkdtemp()), {"arch": "resnet101"}, shape=(1, 1, 4))
    >>> with store.writer() as writer:
    ...     writer.append(["0" * 64], np.ones((1, 1, 1, 4), np.float16))
    >>> store.keys() == {"0" * 64}
    True
    """

    def __init__(self, root: Path | str, description: Mapping[str, Any], shape: Shape) -> None:
        self.shape: Shape = _checked_shape(shape)
        self.description_text = canonical_json(description)
        self.fingerprint = fingerprint(description)
        self.folder = Path(root) / self.fingerprint[:SHORT_DIGITS]

    def keys(self) -> set[str]:
        """The keys whose features are in the store, as 64 hexadecimal digits each.

        Reads the shards' tables, 72 bytes a row, never the features. A shard that is damaged or belongs to another
        fingerprint is set aside, with a warning in the log: its keys then count as absent.

        Raises
        ------
        CacheError
            If a shard cannot be reached, or the store holds another shape under the same description.
        """
        return {key.decode("ascii") for shard in self.shards() for key in shard.keys}

    def shards(self) -> list[Tables]:
        """The tables of every good shard, by ascending file name; the others are set aside as in `keys`."""
        return [tables for path in self._paths() if (tables := self._tables_or_set_aside(path)) is not None]

    def writer(self, shard_mib: float = 256, flush_every_s: float = 60.0) -> ShardWriter:
        """A context manager that appends rows; see `ShardWriter`."""
        return ShardWriter(self, shard_mib, flush_every_s)

    def bytes_for(self, n_images: int) -> int:
        """Upper estimate of what `n_images` more rows take on the disk, for `ensure_room`."""
        return file_bytes(n_images, self.shape)

    def set_aside(self, path: Path, reason: str) -> Path:
        """Move a shard out of the way, into the folder `set-aside` beside it, and say so in the log.

        Returns
        -------
        Path
            Where it is now.

        Raises
        ------
        CacheError
            If the file system does not let it.
        """
        return set_aside(path, reason)

    def _paths(self) -> list[Path]:
        """Every shard's path, ascending. A folder that may not be listed is an error: it is not an empty store."""
        with explained(self.folder):
            try:
                names = os.listdir(self.folder)
            except FileNotFoundError:
                return []
        return [self.folder / name for name in sorted(names) if name.startswith("shard-") and name.endswith(".h5")]

    def _tables_or_set_aside(self, path: Path) -> Tables | None:
        try:
            tables = read_tables(path)
        except DamagedFileError as error:
            self.set_aside(path, error.reason)
            return None
        if (reason := why_not_here(tables)) is not None:
            self.set_aside(path, reason)
            return None
        if tables.shape != self.shape:
            raise CacheError(
                f"{path} holds features of shape {tables.shape}, not {self.shape}, under the same description; "
                "put what decides the shape into the description"
            )
        return tables


def why_not_here(shard: Tables) -> str | None:
    """Why a good file is no good shard of the folder it lies in; None if it is one."""
    if shard.fingerprint[:SHORT_DIGITS] != shard.path.parent.name:
        return f"its fingerprint is {shard.fingerprint[:SHORT_DIGITS]}, not this folder's"
    return NOT_IN_ONE_PIECE if shard.offset is None else None


def set_aside(path: Path, reason: str) -> Path:
    """Move a shard out of the way; see `FeatureStore.set_aside`."""
    with explained(path):
        target = _free_name(path.parent / SET_ASIDE / path.name)
        target.parent.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # another process was quicker
            os.rename(path, target)
    _log.warning("set aside %s: %s; its images count as absent, the file is now %s", path, reason, target)
    return target


def _checked_shape(shape: Shape) -> Shape:
    if len(shape) != 3 or any(int(length) != length or length < 1 for length in shape):
        raise CacheError(f"the shape must be (views, tokens, channels), three positive integers, not {shape}")
    views, tokens, channels = (int(length) for length in shape)
    return views, tokens, channels


def _free_name(path: Path) -> Path:
    """`path`, or the first of path.1, path.2, … that is not taken: nothing that was set aside is overwritten."""
    candidate, number = path, 0
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}.{number}")
    return candidate
