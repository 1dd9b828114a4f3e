"""The store's writer: writes rows to the disk as they are appended and makes immutable shards of them.

In: keys and features as the backbone delivers them. Out: `shard-*.h5` in the store's folder, each complete and on the
disk before it gets its name. SIGKILL costs the rows since the last shard and the shard that is being finished; an
exception or Ctrl-C costs no row that was appended.
"""

import contextlib
import time
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import numpy as np

from cache.atomic import make_folder, remove_partial_files
from cache.checksums import compute_row_checksums
from cache.errors import MIB, CacheError, as_cache_error
from cache.growing_shard import GrowingShard
from cache.keys import Keys, as_key_array
from cache.layout import count_row_bytes, estimate_file_bytes
from cache.lock import lock_for_writing
from cache.shard_folder import ShardFolder


class ShardWriter:
    """Append features to a store; made by `FeatureStore.writer`.

    Two threads do the rest of the work while rows are written: checksums, early flushes, and finishing full shards. An
    interrupt does not reach them, so that a shard that is being finished is always finished.

    Parameters
    ----------
    target
        The folder, description and shape of the rows.
    shard_mib
        A shard is full when it holds this many MiB of features.
    flush_every_s
        The first `append` this many seconds after the last flush waits until all rows are on the disk. This bounds what
        SIGKILL can cost.

    Raises
    ------
    CacheError
        On entering the block, if another writer is at work or the folder cannot be written to.
    """

    def __init__(self, target: ShardFolder, shard_mib: float = 256, flush_every_s: float = 60.0) -> None:
        self._target = target
        self._rows_per_shard = max(1, int(shard_mib * MIB) // count_row_bytes(target.shape))
        self._flush_every_s = flush_every_s
        self._shard: GrowingShard | None = None
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="shard-writer")
        self._finishing: Future[None] | None = None
        self._known: set[bytes] = set()
        self._broken = False
        self._open = False
        self._cleanup = contextlib.ExitStack()
        self._last_flush = 0.0

    def __enter__(self) -> "ShardWriter":
        folder = self._target.folder
        with as_cache_error(folder):
            make_folder(folder)
        self._cleanup.enter_context(lock_for_writing(folder))
        try:
            remove_partial_files(folder)
            self._known = {key.encode() for key in self._target.keys()}  # noqa: SIM118 (a method, not a dict's keys)
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
            self._threads.shutdown()
            if self._shard is not None:
                self._shard.discard()
            self._cleanup.close()

    @property
    def pending_rows(self) -> int:
        """Number of rows in the shard that is still growing."""
        return 0 if self._shard is None else len(self._shard)

    def append(self, keys: Keys, features: np.ndarray) -> None:
        """Append rows. They are in the store when their shard is finished, at the latest at the end of the block.

        Parameters
        ----------
        keys
            n keys, new to the store.
        features
            Shape (n, views, tokens, channels), float16. The caller may change the array afterwards.

        Raises
        ------
        CacheError
            If dtype, shape or a key is wrong, if a key is already in the store, or if the disk refuses the rows. After
            a refusal the growing shard is discarded; finished shards are kept.
        """
        if not self._open:
            raise CacheError("the writer is closed; append inside `with store.writer() as writer:`")
        if self._broken:
            raise CacheError("the disk has refused rows of this writer; make another one, for what the store lacks")
        new_keys = as_key_array(keys)
        new = new_keys.tolist()
        self._check(new, features)
        start = 0
        while start < len(new):
            stop = start + self._rows_per_shard - self.pending_rows
            self._write(new_keys[start:stop], features[start:stop])
            start = stop
            if self.pending_rows >= self._rows_per_shard:
                self._start_finishing()
        self._known.update(new)
        if time.monotonic() - self._last_flush >= self._flush_every_s:
            self.flush()

    def flush(self) -> None:
        """Finish a shard of the appended rows and wait until it is on the disk.

        Raises
        ------
        CacheError
            If the disk refuses; finished shards are kept.
        """
        self._start_finishing()
        self._wait_for_finishing()
        self._last_flush = time.monotonic()

    def _write(self, keys: np.ndarray, features: np.ndarray) -> None:
        needed_bytes = estimate_file_bytes(self.pending_rows + len(keys), self._target.shape)
        with as_cache_error(self._target.folder, needed_bytes):
            try:
                if self._shard is None:
                    self._shard = GrowingShard(self._target, self._threads)
                # Computed while the system copies the rows.
                checksums = self._threads.submit(compute_row_checksums, keys, features)
                self._shard.write(features)
                self._shard.commit(keys, checksums.result())
            except OSError:
                self._broken = True  # the end of the block must not try again
                if self._shard is not None:
                    self._shard.discard()
                raise

    def _start_finishing(self) -> None:
        """Let the thread finish the shard. If interrupted here, it may be asked twice, which does no harm."""
        self._wait_for_finishing()
        if self._shard is not None and len(self._shard):
            self._finishing = self._threads.submit(_finish, self._target, self._shard)
            self._shard = None

    def _wait_for_finishing(self) -> None:
        if self._finishing is not None:
            try:
                self._finishing.result()
            except Exception:
                self._broken = True
                raise
            self._finishing = None

    def _check(self, keys: list[bytes], features: np.ndarray) -> None:
        expected = (len(keys), *self._target.shape)
        if not isinstance(features, np.ndarray) or features.dtype != np.float16 or features.shape != expected:
            found = f"{getattr(features, 'dtype', type(features).__name__)} {getattr(features, 'shape', '')}"
            raise CacheError(f"features must be float16 of shape {expected}, not {found}")
        if len(set(keys)) != len(keys):
            raise CacheError("a key occurs twice in one append; give every image once")
        if not self._known.isdisjoint(keys):
            known = next(key for key in keys if key in self._known).decode()
            raise CacheError(f"{known} is in the store already; append only keys that store.keys() lacks")


def _finish(target: ShardFolder, shard: GrowingShard) -> None:
    with as_cache_error(target.folder, estimate_file_bytes(len(shard), target.shape)):
        shard.finish()
