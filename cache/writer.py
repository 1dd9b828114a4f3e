"""The store's writer: rows gather in memory and go to the disk as immutable shards.

In: keys and features as the backbone delivers them. Out: `shard-*.h5` in the store's folder, each complete and on the
disk before it gets its name, written by a thread while the next rows gather. A kill costs the rows in memory and the
shard being written, an exception or Ctrl-C none that were appended.
"""

import contextlib
import hashlib
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from cache.atomic import TEMPORARY_SUFFIX, atomic_path
from cache.errors import MIB, CacheError, explained
from cache.fingerprint import SHORT_DIGITS
from cache.keys import Keys, key_array
from cache.lock import LOCK_NAME, one_writer
from cache.shard import file_bytes, record_checksums, record_dtype, row_bytes, write_file

if TYPE_CHECKING:
    from cache.store import FeatureStore


_BLOCK_BYTES = 2**21  # rows put in order at a time: few enough to stay in the processor's cache until they are written


class ShardWriter:
    """Append features to a store; made by `FeatureStore.writer`.

    Parameters
    ----------
    store
        Where the rows go.
    shard_mib
        A shard is written when this many MiB of features have gathered; the writer's memory is twice that.
    flush_every_s
        The first `append` this many seconds after the last shard waits until all rows are on the disk: what a kill can
        cost.

    Raises
    ------
    CacheError
        On entering the block, if another writer is at work or the folder cannot be written to.
    """

    def __init__(self, store: "FeatureStore", shard_mib: float = 256, flush_every_s: float = 60.0) -> None:
        self._store = store
        self._rows_per_shard = max(1, int(shard_mib * MIB) // row_bytes(store.shape))
        self._flush_every_s = flush_every_s
        self._records: np.ndarray | None = None  # (rows_per_shard,) of keys and features
        self._spare: np.ndarray | None = None  # another one, or the one that is being written
        self._checksums: list[np.ndarray] = []  # of the first records: those that are whole
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="shard-writer")
        self._writing: Future | None = None
        self._known: set[bytes] = set()
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
            self._known = {key.encode() for key in self._store.keys()}  # noqa: SIM118 (a store is no dict)
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
            self._thread.shutdown()
            self._records = self._spare = None
            self._cleanup.close()

    @property
    def pending_rows(self) -> int:
        """Rows gathered for the next shard."""
        return sum(len(checksums) for checksums in self._checksums)

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
                self._begin_shard()
        if time.monotonic() - self._last_flush >= self._flush_every_s:
            self.flush()

    def flush(self) -> None:
        """Write the rows in memory as one shard and wait until it is on the disk.

        Raises
        ------
        CacheError
            If the disk refuses; the store is then as it was before.
        """
        self._begin_shard()
        self._finish_shard()
        self._last_flush = time.monotonic()

    def _begin_shard(self) -> None:
        """Let the thread write what has gathered; interrupted in here, the same shard may be written twice."""
        self._finish_shard()
        if self._checksums:
            self._writing = self._thread.submit(self._write_shard, self._records, np.concatenate(self._checksums))
            self._checksums = []
            self._records, self._spare = self._spare, self._records

    def _finish_shard(self) -> None:
        """Wait for the thread."""
        if self._writing is not None:
            try:
                self._writing.result()
            except Exception:
                self._broken = True  # leaving the block shall not fail a second time
                raise
            self._writing = None

    def _gather(self, keys: np.ndarray, features: np.ndarray) -> None:
        """Copy rows behind those in memory. The checksums come last: Ctrl-C before them leaves all of the rows out."""
        if self._records is None:  # the system gives the memory as rows are written to it
            self._records = np.empty(self._rows_per_shard, record_dtype(self._store.shape))
        start = self.pending_rows
        new = self._records[start : start + len(keys)]
        new["key"], new["features"] = keys, features
        self._checksums.append(record_checksums(new))
        self._known.update(keys.tolist())

    def _check(self, keys: np.ndarray, features: np.ndarray) -> None:
        expected = (len(keys), *self._store.shape)
        if not isinstance(features, np.ndarray) or features.dtype != np.float16 or features.shape != expected:
            found = f"{getattr(features, 'dtype', type(features).__name__)} {getattr(features, 'shape', '')}"
            raise CacheError(f"features must be float16 of shape {expected}, not {found}")
        new = keys.tolist()
        if len(set(new)) != len(new):
            raise CacheError("a key occurs twice in one append; give every image once")
        if not self._known.isdisjoint(new):
            known = next(key for key in new if key in self._known).decode()
            raise CacheError(f"{known} is in the store already; append only keys that store.keys() lacks")

    def _write_shard(self, records: np.ndarray, checksums: np.ndarray) -> None:
        records = records[: len(checksums)]
        order = np.argsort(records["key"])
        step = max(1, _BLOCK_BYTES // row_bytes(self._store.shape))
        blocks = (records["features"][order[start : start + step]] for start in range(0, len(order), step))
        write_shard(self._store, records["key"][order], checksums[order], blocks)


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
