"""Read rows of an open feature file and compare each with its checksum when it is first read.

In: the tables of the file and row numbers. Out: features, or a `DamagedFileError`. Finding the rows of keys is left to
`cache.reader`.
"""

import mmap
import os

import numpy as np

from cache.checksums import CHECKSUM_DTYPE, FEATURE_DTYPE, hash_rows
from cache.errors import CacheError, DamagedFileError, as_cache_error
from cache.tables import Tables

_BLOCK_BYTES = 2**18  # stays in the processor's cache between reading a row and checking it
_CHECK_BYTES = 2**20  # memory of a check


class CheckedRows:
    """Rows of a file, through its memory map, or by plain reads if the address space is too small for a map.

    A row is checked as a whole, since its checksum covers all views. What was checked is recorded, one byte a row, in
    memory that forked processes share.

    Parameters
    ----------
    tables
        The file's tables, mapped.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._checked = np.frombuffer(mmap.mmap(-1, len(tables.keys)), np.bool_)
        self._all_checked = False  # known to this process; saves the look at each row
        self._mapped = tables.features is not None
        # Opened now: another file may have the name later.
        with as_cache_error(tables.path):
            self._descriptor = None if self._mapped else os.open(tables.path, os.O_RDONLY)
        if tables.features is not None:
            self._array = tables.features.view(np.ndarray)
            self._flat = self._array.reshape(len(tables.keys), -1)

    def close(self) -> None:
        """Close the file. Nothing can be read afterwards."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def take(self, rows: np.ndarray, views: np.ndarray | int | None) -> np.ndarray:
        """Read rows, as `FeatureCache.take` does."""
        if not self._all_checked:
            seen = self._checked[rows]
            if views is None and not seen.any():
                return self._take_new(rows, np.empty((len(rows), *self._tables.shape), FEATURE_DTYPE))
            self.check(np.unique(rows[~seen]))
            self._all_checked = bool(self._checked.all())  # stops at the first row that is not
        if not self._mapped:
            return self._take_unmapped(np.arange(len(self._checked))[rows], views)
        # An index array even for a single view: indexing with it copies.
        return np.asarray(self._array[rows] if views is None else self._array[rows, np.broadcast_to(views, len(rows))])

    def check(self, rows: np.ndarray) -> None:
        """Read rows, shape (m,), and check each."""
        step = max(1, _CHECK_BYTES // self._tables.row_bytes)
        block = np.empty((min(step, len(rows)), *self._tables.shape), FEATURE_DTYPE)
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            self._take_new(part, block[: len(part)])

    def _take_new(self, rows: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Read all views of rows into `features` and check each."""
        keys, digests = self._tables.keys[rows].tolist(), []
        step = max(1, _BLOCK_BYTES // self._tables.row_bytes)
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            self._read(rows[part], features[part])
            digests += hash_rows(keys[part], features[part])
        right = np.array(digests, CHECKSUM_DTYPE) == self._tables.checksums[rows]
        self._checked[rows[right]] = True
        if not right.all():
            row = int(rows[np.argmin(right)]) % len(self._checked)
            raise DamagedFileError(self._tables.path, f"{self._tables.name_row(row)} does not match its checksum")
        return features

    def _read(self, rows: np.ndarray, block: np.ndarray) -> None:
        """Read all views of rows into `block`, shape (m, views, tokens, channels)."""
        if self._mapped:
            # The row numbers have been checked: "wrap" counts negative ones from the end and needs no second buffer.
            np.take(self._flat, rows, axis=0, out=block.reshape(len(rows), -1), mode="wrap")
            return
        for row, target in zip(rows.tolist(), block, strict=True):
            self._read_at(self._descriptor, row, 0, target)

    def _take_unmapped(self, rows: np.ndarray, views: np.ndarray | int | None) -> np.ndarray:
        """Read rows without a map; of a view, only its bytes."""
        if views is not None:
            return self._read_views(rows, np.broadcast_to(views, len(rows)))
        features = np.empty((len(rows), *self._tables.shape), FEATURE_DTYPE)
        self._read(rows, features)
        return features

    def _read_views(self, rows: np.ndarray, views: np.ndarray) -> np.ndarray:
        features = np.empty((len(rows), *self._tables.shape[1:]), FEATURE_DTYPE)
        count = self._tables.shape[0]
        for row, view, target in zip(rows.tolist(), views.tolist(), features, strict=True):
            if not -count <= view < count:
                raise IndexError(f"there is no view {view}: {self._tables.path} has {count}")
            self._read_at(self._descriptor, row, view % count * target.nbytes, target)
        return features

    def _read_at(self, descriptor: int | None, row: int, start: int, target: np.ndarray) -> None:
        """Read a part of a row, from its byte `start`, by a plain read; beyond the end of the file, zeros."""
        if descriptor is None:
            raise CacheError(f"{self._tables.path} has been closed; open it again")
        position = self._tables.offset + row % len(self._checked) * self._tables.row_bytes + start
        with as_cache_error(self._tables.path):
            content = os.pread(descriptor, target.nbytes, position)
        target[:] = np.frombuffer(content.ljust(target.nbytes, b"\0"), FEATURE_DTYPE).reshape(target.shape)
