"""A shard from its first row until it gets its name; only for whoever holds the store's lock.

In: rows with their keys and checksums. Out: `shard-*.h5`, complete and on the disk before it is called so. Until then
there is a temporary file beside it, which `drop`, or the next writer, removes.
"""

import contextlib
import hashlib
import secrets
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from cache.atomic import TEMPORARY_SUFFIX, move_into_place
from cache.errors import explained
from cache.fingerprint import SHORT_DIGITS
from cache.keys import KEY_DTYPE
from cache.lock import LOCK_NAME
from cache.row_file import RowFile
from cache.shard import CHECKSUM_DTYPE, file_bytes, row_bytes, shard_structure
from cache.write_log import WriteLog

if TYPE_CHECKING:
    from cache.store import FeatureStore


class GrowingShard:
    """Rows go to the disk as they are appended, in the order in which they come; the tables follow at the end.

    Parameters
    ----------
    store
        Where the shard belongs.

    Raises
    ------
    OSError
        Whatever the disk objects to, here and in every method.
    """

    def __init__(self, store: "FeatureStore") -> None:
        self._store = store
        self._chunks: list[tuple[int, np.ndarray, np.ndarray]] = []  # (rows up to here, keys, checksums)
        self._finished = False
        self._row_bytes = row_bytes(store.shape)
        _, self._offset = self._structure(np.zeros(1, KEY_DTYPE), np.zeros(1, CHECKSUM_DTYPE))
        self._temporary = store.folder / f".shard.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}"
        # Made with the first rows: by then whoever is interrupted has this object, and can drop what there is.
        self._rows: RowFile | None = None

    def __len__(self) -> int:
        return self._chunks[-1][0] if self._chunks else 0

    def __enter__(self) -> "GrowingShard":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.drop()

    def write(self, features: np.ndarray) -> None:
        """Write rows behind those that count; they do not count yet, and are written over if they never do."""
        if self._rows is None:
            self._refuse_another_folder()
            self._rows = RowFile(self._temporary, self._offset)
        self._rows.write(features, len(self) * self._row_bytes)

    def count(self, keys: np.ndarray, checksums: np.ndarray) -> None:
        """Take the rows that were written last into the tables, in one step that cannot be interrupted half way."""
        self._chunks.append((len(self) + len(keys), keys.copy(), checksums))

    def finish(self) -> None:
        """Write the tables, wait for the disk, give the file its name; without rows or a second time, do nothing."""
        if self._finished or self._rows is None:
            return
        keys, checksums = (np.concatenate([chunk[part] for chunk in self._chunks]) for part in (1, 2))
        structure, offset = self._structure(keys, checksums)
        if offset != self._offset:
            raise AssertionError(f"HDF5 put the features at byte {offset}, not {self._offset}")
        try:
            self._rows.close()
            self._refuse_another_folder()
            with self._temporary.open("r+b") as file:
                structure.replay(file)
            move_into_place(self._temporary, self._store.folder / shard_name(keys))
        finally:
            self.drop()
        self._finished = True

    def drop(self) -> None:
        """Remove what has no name yet; whether that succeeds is for the next writer, who tries again."""
        with contextlib.suppress(OSError):
            if self._rows is not None:
                self._rows.close(failed=True)
            self._temporary.unlink(missing_ok=True)

    def _structure(self, keys: np.ndarray, checksums: np.ndarray) -> tuple[WriteLog, int]:
        return shard_structure(self._store.description_text, self._store.shape, keys, checksums)

    def _refuse_another_folder(self) -> None:
        """Its own lock file gone: the disk was unmounted, or the folder deleted. Make no new one in its place."""
        (self._store.folder / LOCK_NAME).stat()


def write_shard(store: "FeatureStore", keys: np.ndarray, checksums: np.ndarray, blocks: Iterable[np.ndarray]) -> None:
    """Write one shard of rows that are at hand.

    Parameters
    ----------
    store
        Where it goes.
    keys, checksums
        Shape (n,), n > 0.
    blocks
        The features in that order, arrays (m, views, tokens, channels).

    Raises
    ------
    CacheError
        If the disk refuses.
    """
    with explained(store.folder, file_bytes(len(keys), store.shape)), GrowingShard(store) as shard:
        for block in blocks:
            part = slice(len(shard), len(shard) + len(block))
            shard.write(block)
            shard.count(keys[part], checksums[part])
        shard.finish()


def shard_name(keys: np.ndarray) -> str:
    """The name of the shard with these keys (dtype S64) in this order."""
    digest = hashlib.sha256(np.ascontiguousarray(keys).tobytes()).hexdigest()
    return f"shard-{digest[:SHORT_DIGITS]}.h5"
