"""Read rows of an open feature file and compare each with its checksum when it is first read.

In: the tables of the file and row numbers. Out: features, or a `DamagedFileError`. Finding the rows of keys is left to
`cache.reader`.
"""

import mmap
import os
from collections.abc import Iterator

import numpy as np

from cache.checksums import FEATURE_DTYPE, compute_row_checksums
from cache.errors import CacheError, DamagedFileError, as_cache_error
from cache.tables import Tables

_BLOCK_BYTES = 2**18  # stays in the processor's cache between reading a row and checking it


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
        self._mapped = tables.features is not None
        # Opened now: another file may have the name later.
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
        new = ~self._checked[rows]
        if views is None:
            return self._array[rows] if self._mapped and not new.any() else self._take_whole(rows, new)
        if new.any():
            self.check(np.unique(rows[new]))
        views = np.broadcast_to(views, len(rows))  # an array even for a single view: indexing with it copies
        return np.asarray(self._array[rows, views]) if self._mapped else self._read_views(rows, views)

    def check(self, rows: np.ndarray) -> None:
        """Read rows, shape (m,), and check each."""
        block = np.empty((self._count_block_rows(), *self._tables.shape), FEATURE_DTYPE)
        for part in self._split(len(rows)):
            some = rows[part]
            self._read(some, block[: len(some)])
            self._compare(some, block[: len(some)])

    def _take_whole(self, rows: np.ndarray, new: np.ndarray) -> np.ndarray:
        """Read all views of rows; check, block by block, those that are new."""
        features = np.empty((len(rows), *self._tables.shape), FEATURE_DTYPE)
        for part in self._split(len(rows)):
            block, some, unseen = features[part], rows[part], new[part]
            self._read(some, block)
            if unseen.all():
                self._compare(some, block)
            elif unseen.any():
                self._compare(some[unseen], block[unseen])
        return features

    def _read(self, rows: np.ndarray, block: np.ndarray) -> None:
        """Read all views of rows into `block`, shape (m, views, tokens, channels)."""
        if self._mapped:
            # The row numbers have been checked: "wrap" counts negative ones from the end and needs no second buffer.
            np.take(self._flat, rows, axis=0, out=block.reshape(len(rows), -1), mode="wrap")
            return
        for row, target in zip(rows.tolist(), block, strict=True):
            self._read_at(self._descriptor, row, 0, target)

    def _read_views(self, rows: np.ndarray, views: np.ndarray) -> np.ndarray:
        """Read one view of each row without a map; pages of other views are not read."""
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

    def _compare(self, rows: np.ndarray, block: np.ndarray) -> None:
        right = compute_row_checksums(self._tables.keys[rows], block) == self._tables.checksums[rows]
        if not right.all():
            row = int(rows[np.argmin(right)]) % len(self._checked)
            raise DamagedFileError(self._tables.path, f"{self._tables.name_row(row)} does not match its checksum")
        self._checked[rows] = True

    def _split(self, count: int) -> Iterator[slice]:
        step = self._count_block_rows()
        return (slice(start, start + step) for start in range(0, count, step))

    def _count_block_rows(self) -> int:
        return max(1, _BLOCK_BYTES // self._tables.row_bytes)
