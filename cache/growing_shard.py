"""A shard from its first row until it gets its final name. The caller must hold the store's lock.

In: rows with their keys and checksums. Out: `shard-*.h5`, complete and on the disk before it gets that name. Until then
the rows are in a temporary file in the same folder, which `discard`, or the next writer, removes.
"""

import contextlib
import hashlib
import secrets
from collections.abc import Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from types import TracebackType

import numpy as np

from cache.atomic import TEMPORARY_SUFFIX, move_into_place
from cache.checksums import CHECKSUM_DTYPE
from cache.errors import as_cache_error
from cache.fingerprint import SHORT_DIGITS
from cache.keys import KEY_DTYPE
from cache.layout import build_shard_structure, count_row_bytes, estimate_file_bytes
from cache.lock import LOCK_NAME
from cache.row_writer import RowWriter
from cache.shard_folder import ShardFolder
from cache.write_log import WriteLog


class GrowingShard:
    """Writes rows to the disk as they are appended, in that order; writes the tables at the end.

    Parameters
    ----------
    target
        The folder, description and shape of the shard.
    threads
        Run the early flushes.

    Raises
    ------
    OSError
        Any OSError, from every method but `discard`. Write errors may surface later, on `finish`.
    """

    def __init__(self, target: ShardFolder, threads: Executor) -> None:
        self._target, self._threads = target, threads
        self._chunks: list[tuple[int, np.ndarray, np.ndarray]] = []  # (rows up to here, keys, checksums)
        self._finished = False
        self._row_bytes = count_row_bytes(target.shape)
        _, self._offset = self._build_structure(np.zeros(1, KEY_DTYPE), np.zeros(1, CHECKSUM_DTYPE))
        self._temporary = target.folder / f".shard.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}"
        # Created with the first rows: an interrupted caller then has this object and can discard the file.
        self._rows: RowWriter | None = None

    def __len__(self) -> int:
        return self._chunks[-1][0] if self._chunks else 0

    def __enter__(self) -> "GrowingShard":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.discard()

    def write(self, features: np.ndarray) -> None:
        """Write rows, shape (m, views, tokens, channels), after the committed ones.

        Until `commit` they do not count, and the next `write` overwrites them.
        """
        if self._rows is None:
            self._require_lock_file()
            self._rows = RowWriter(self._temporary, self._offset, self._threads)
        self._rows.write(features, len(self) * self._row_bytes)

    def commit(self, keys: np.ndarray, checksums: np.ndarray) -> None:
        """Add the rows that were written last to the tables, in one step that no interrupt can divide."""
        self._chunks.append((len(self) + len(keys), keys.copy(), checksums))

    def finish(self) -> None:
        """Write the tables, flush the file and rename it. Without rows, or a second time, do nothing."""
        if self._finished or self._rows is None:
            return
        keys, checksums = (np.concatenate([chunk[part] for chunk in self._chunks]) for part in (1, 2))
        structure, offset = self._build_structure(keys, checksums)
        if offset != self._offset:
            raise AssertionError(f"HDF5 put the features at byte {offset}, not {self._offset}")
        try:
            self._rows.close()
            self._require_lock_file()
            with self._temporary.open("r+b") as file:
                structure.replay(file)
            move_into_place(self._temporary, self._target.folder / name_shard(keys))
        finally:
            self.discard()
        self._finished = True

    def discard(self) -> None:
        """Remove the temporary file, if it exists. On failure, the next writer removes it."""
        with contextlib.suppress(OSError):
            if self._rows is not None:
                self._rows.close(failed=True)
            self._temporary.unlink(missing_ok=True)

    def _build_structure(self, keys: np.ndarray, checksums: np.ndarray) -> tuple[WriteLog, int]:
        return build_shard_structure(self._target.description_text, self._target.shape, keys, checksums)

    def _require_lock_file(self) -> None:
        """Fail if the lock file is gone: the disk was unmounted or the folder deleted, and must not be recreated."""
        (self._target.folder / LOCK_NAME).stat()


def write_shard(target: ShardFolder, keys: np.ndarray, checksums: np.ndarray, blocks: Iterable[np.ndarray]) -> None:
    """Write one shard of existing rows.

    Parameters
    ----------
    target
        Where it goes.
    keys, checksums
        Shape (n,), n > 0, dtypes S64 and uint64.
    blocks
        The features in that order, arrays (m, views, tokens, channels).

    Raises
    ------
    CacheError
        If a row is damaged or the disk refuses.
    """
    needed_bytes = estimate_file_bytes(len(keys), target.shape)
    with (
        as_cache_error(target.folder, needed_bytes),
        ThreadPoolExecutor(max_workers=1, thread_name_prefix="flush") as thread,
        GrowingShard(target, thread) as shard,
    ):
        for block in blocks:
            part = slice(len(shard), len(shard) + len(block))
            shard.write(block)
            shard.commit(keys[part], checksums[part])
        shard.finish()


def name_shard(keys: np.ndarray) -> str:
    """Compute the file name of the shard with these keys (dtype S64) in this order.

    >>> name_shard(np.array(["0" * 64], KEY_DTYPE))
    'shard-60e05bd1b195af2f.h5'
    """
    digest = hashlib.sha256(np.ascontiguousarray(keys).tobytes()).hexdigest()
    return f"shard-{digest[:SHORT_DIGITS]}.h5"
