"""The store's writer: rows go to the disk as they come and become immutable shards.

In: keys and features as the backbone delivers them. Out: `shard-*.h5` in the store's folder, each complete and on the
disk before it gets its name, which a thread sees to while the next rows come. A kill costs the rows since the last
shard and the one that is being finished, an exception or Ctrl-C none that were appended.
"""

import contextlib
import time
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from cache.atomic import make_folder, remove_partial_files
from cache.errors import MIB, CacheError, explained
from cache.growing_shard import GrowingShard
from cache.keys import Keys, key_array
from cache.lock import one_writer
from cache.shard import RowChecksums, file_bytes, row_bytes

if TYPE_CHECKING:
    from cache.store import FeatureStore


class ShardWriter:
    """Append features to a store; made by `FeatureStore.writer`.

    Parameters
    ----------
    store
        Where the rows go.
    shard_mib
        A shard is closed when it holds this many MiB of features.
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
        self._checksums = RowChecksums(store.shape)
        self._shard: GrowingShard | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="shard-writer")
        self._checksum_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checksums")
        self._finishing: Future[None] | None = None
        self._known: set[bytes] = set()
        self._broken = False
        self._open = False
        self._cleanup = contextlib.ExitStack()
        self._last_flush = 0.0

    def __enter__(self) -> "ShardWriter":
        folder = self._store.folder
        with explained(folder):
            make_folder(folder)
        self._cleanup.enter_context(one_writer(folder))
        try:
            with explained(folder):
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
            self._checksum_thread.shutdown()
            if self._shard is not None:
                self._shard.drop()
            self._cleanup.close()

    @property
    def pending_rows(self) -> int:
        """Rows of the shard that is still growing."""
        return 0 if self._shard is None else len(self._shard)

    def append(self, keys: Keys, features: np.ndarray) -> None:
        """Take rows into the store; they count as stored when their shard is finished, at the latest with the block.

        Parameters
        ----------
        keys
            n keys, new to the store.
        features
            Shape (n, views, tokens, channels), float16. Written or copied: the caller may use the array again.

        Raises
        ------
        CacheError
            If dtype, shape or a key is wrong, a key is already in the store, or the disk refuses the rows; after the
            latter the shard that was growing is given up, and the store is as it was before it.
        """
        if not self._open:
            raise CacheError("the writer is closed; append inside `with store.writer() as writer:`")
        if self._broken:
            raise CacheError("the disk has refused rows of this writer; make another one, for what the store lacks")
        new_keys = key_array(keys)
        new = new_keys.tolist()
        self._check(new, features)
        start = 0
        while start < len(new):
            stop = start + self._rows_per_shard - self.pending_rows
            self._write(new_keys[start:stop], features[start:stop])
            start = stop
            if self.pending_rows >= self._rows_per_shard:
                self._begin_finishing()
        self._known.update(new)
        if time.monotonic() - self._last_flush >= self._flush_every_s:
            self.flush()

    def flush(self) -> None:
        """Make a shard of the rows that have come and wait until it is on the disk.

        Raises
        ------
        CacheError
            If the disk refuses; the store is then as it was before.
        """
        self._begin_finishing()
        self._wait()
        self._last_flush = time.monotonic()

    def _write(self, keys: np.ndarray, features: np.ndarray) -> None:
        needed_bytes = file_bytes(self.pending_rows + len(keys), self._store.shape)
        with explained(self._store.folder, needed_bytes):
            try:
                if self._shard is None:
                    self._shard = GrowingShard(self._store)
                # The system takes a copy of the rows meanwhile.
                checksums = self._checksum_thread.submit(self._checksums, keys, features)
                self._shard.write(features)
                self._shard.count(keys, checksums.result())
            except OSError:
                self._broken = True  # leaving the block shall not try it a second time
                if self._shard is not None:
                    self._shard.drop()
                raise

    def _begin_finishing(self) -> None:
        """Let the thread finish the shard; interrupted in here, it may be asked twice, which does no harm."""
        self._wait()
        if self._shard is not None and len(self._shard):
            self._finishing = self._thread.submit(_finish, self._store, self._shard)
            self._shard = None

    def _wait(self) -> None:
        """Wait for the thread."""
        if self._finishing is not None:
            try:
                self._finishing.result()
            except Exception:
                self._broken = True
                raise
            self._finishing = None

    def _check(self, keys: list[bytes], features: np.ndarray) -> None:
        expected = (len(keys), *self._store.shape)
        if not isinstance(features, np.ndarray) or features.dtype != np.float16 or features.shape != expected:
            found = f"{getattr(features, 'dtype', type(features).__name__)} {getattr(features, 'shape', '')}"
            raise CacheError(f"features must be float16 of shape {expected}, not {found}")
        if len(set(keys)) != len(keys):
            raise CacheError("a key occurs twice in one append; give every image once")
        if not self._known.isdisjoint(keys):
            known = next(key for key in keys if key in self._known).decode()
            raise CacheError(f"{known} is in the store already; append only keys that store.keys() lacks")


def _finish(store: "FeatureStore", shard: GrowingShard) -> None:
    with explained(store.folder, file_bytes(len(shard), store.shape)):
        shard.finish()
