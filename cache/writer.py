"""The store's writer: rows gather in memory and go to the disk as immutable shards.

In: keys and features as the backbone delivers them. Out: `shard-*.h5` in the store's folder, each complete and on the
disk before it gets its name. A kill costs the rows in memory, an exception or Ctrl-C none that were appended.
"""

import contextlib
import hashlib
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from cache.atomic import TEMPORARY_SUFFIX, atomic_path
from cache.errors import MIB, CacheError, explained
from cache.fingerprint import SHORT_DIGITS
from cache.keys import Keys, key_array
from cache.lock import LOCK_NAME, one_writer
from cache.shard import FEATURE_DTYPE, file_bytes, row_bytes, row_checksum, write_file

if TYPE_CHECKING:
    from cache.store import FeatureStore


class ShardWriter:
    """Append features to a store; made by `FeatureStore.writer`.

    Parameters
    ----------
    store
        Where the rows go.
    shard_mib
        A shard is written when this many MiB of features have gathered: the bound on the writer's memory.
    flush_every_s
        A shard is also written by the first `append` this many seconds after the last one: what a kill can cost.

    Raises
    ------
    CacheError
        On entering the block, if another writer is at work or the folder cannot be written to.
    """

    def __init__(self, store: "FeatureStore", shard_mib: float = 256, flush_every_s: float = 60.0) -> None:
        self._store = store
        self._rows_per_shard = max(1, int(shard_mib * MIB) // row_bytes(store.shape))
        self._flush_every_s = flush_every_s
        self._buffer: np.ndarray | None = None  # (rows_per_shard, …), used again for every shard
        self._pending: list[np.ndarray] = []  # the keys of the buffer's first rows, as appended
        self._known: set[str] = set()
        self._broken = False
        self._open = False
        self._cleanup = contextlib.ExitStack()
        self._last_flush = 0.0

    def __enter__(self) -> "ShardWriter":
        folder = self._store.folder
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._cleanup.enter_context(one_writer(folder))
        try:
            remove_partial_files(folder)
            self._known = self._store.keys()
        except BaseException:
            self._cleanup.close()
            raise
        self._open = True
        self._last_flush = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if not self._broken:
                self.flush()
        finally:
            self._open = False
            self._buffer = None
            self._cleanup.close()

    @property
    def pending_rows(self) -> int:
        """Rows in memory that are not on the disk yet."""
        return sum(len(keys) for keys in self._pending)

    def append(self, keys: Keys, features: np.ndarray) -> None:
        """Take rows into the store; they may stay in memory until the block ends.

        Parameters
        ----------
        keys
            n keys, new to the store.
        features
            Shape (n, views, tokens, channels), float16. Copied: the caller may use the array again.

        Raises
        ------
        CacheError
            If dtype, shape or a key is wrong, a key is already in the store, or the disk refuses the shard.
        """
        if not self._open:
            raise CacheError("the writer is closed; append inside `with store.writer() as writer:`")
        new_keys = key_array(keys)
        self._check(new_keys, features)
        start = 0
        while start < len(new_keys):
            room = self._rows_per_shard - self.pending_rows
            self._gather(new_keys[start : start + room], features[start : start + room])
            start += room
            if self.pending_rows >= self._rows_per_shard:
                self.flush()
        if time.monotonic() - self._last_flush >= self._flush_every_s:
            self.flush()

    def flush(self) -> None:
        """Write the rows in memory as one shard and wait until it is on the disk.

        Raises
        ------
        CacheError
            If the disk refuses; the store is then as it was before.
        """
        if self._pending:
            try:
                self._write_shard()
            except Exception:
                self._broken = True  # leaving the block shall not fail a second time
                raise
            self._pending.clear()
        self._last_flush = time.monotonic()

    def _gather(self, keys: np.ndarray, features: np.ndarray) -> None:
        """Copy rows behind those in memory. The keys come last: Ctrl-C before them leaves the rows out as a whole."""
        if self._buffer is None:  # the system gives the memory as rows are written to it
            self._buffer = np.empty((self._rows_per_shard, *self._store.shape), FEATURE_DTYPE)
        start = self.pending_rows
        self._buffer[start : start + len(keys)] = features
        self._pending.append(keys.copy())
        self._known.update(key.decode() for key in keys)

    def _check(self, keys: np.ndarray, features: np.ndarray) -> None:
        expected = (len(keys), *self._store.shape)
        if not isinstance(features, np.ndarray) or features.dtype != np.float16 or features.shape != expected:
            found = f"{getattr(features, 'dtype', type(features).__name__)} {getattr(features, 'shape', '')}"
            raise CacheError(f"features must be float16 of shape {expected}, not {found}")
        texts = [key.decode() for key in keys]
        if len(set(texts)) != len(texts):
            raise CacheError("a key occurs twice in one append; give every image once")
        if not self._known.isdisjoint(texts):
            known = next(key for key in texts if key in self._known)
            raise CacheError(f"{known} is in the store already; append only keys that store.keys() lacks")

    def _write_shard(self) -> None:
        rows = self._buffer
        keys = np.concatenate(self._pending)
        order = np.argsort(keys)
        keys = keys[order]
        checksums = np.array([row_checksum(key, rows[i]) for key, i in zip(keys, order, strict=True)], np.uint64)
        write_shard(self._store, keys, checksums, (rows[i] for i in order))


def write_shard(store: "FeatureStore", keys: np.ndarray, checksums: np.ndarray, rows: Iterable[np.ndarray]) -> None:
    """Write one shard, named by its keys; only for whoever holds the lock.

    Parameters
    ----------
    store
        Where it goes.
    keys, checksums
        Shape (n,), ascending by key.
    rows
        The features in that order, one by one or in blocks.
    """
    path = store.folder / shard_name(keys)
    needed_bytes = file_bytes(len(keys), store.shape)
    with explained(path, needed_bytes):
        # Its own lock file gone: the disk was unmounted, or the folder deleted. Do not make a new one in its place.
        (store.folder / LOCK_NAME).stat()
        with atomic_path(path) as temporary:
            write_file(
                temporary,
                description=store.description_text,
                shape=store.shape,
                keys=keys,
                checksums=checksums,
                rows=rows,
            )


def shard_name(keys: np.ndarray) -> str:
    """The name of the shard with these keys (dtype S64, ascending)."""
    digest = hashlib.sha256(np.ascontiguousarray(keys).tobytes()).hexdigest()
    return f"shard-{digest[:SHORT_DIGITS]}.h5"


def remove_partial_files(folder: Path) -> None:
    """Remove what killed writers left; only for whoever holds the lock."""
    with explained(folder):
        for path in folder.glob(f".*{TEMPORARY_SUFFIX}"):
            path.unlink(missing_ok=True)
