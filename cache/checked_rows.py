"""Read rows of an open feature file and compare each with its checksum when it is first read.

In: the tables of the file and row numbers. Out: features, or a `DamagedFileError`. Finding the rows of keys is left to
`cache.reader`.
"""

import mmap
import os
from collections.abc import Iterator

import numpy as np

from cache.checksums import FEATURE_DTYPE, compute_row_checksums
from cache.errors import DamagedFileError, as_cache_error
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
        # Opened now: another file may have the name later.
        self._descriptor = os.open(tables.path, os.O_RDONLY) if tables.features is None else None
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
        if self._descriptor is not None:
            return self._take_unmapped(rows, views, new)
        if views is None:
            return self._take_new(rows, new) if new.any() else self._array[rows]
        if new.any():
            self.check(np.unique(rows[new]))
        # An index array even for a single view: this copies, and reads the pages of that view only.
        return np.asarray(self._array[rows, np.broadcast_to(views, len(rows))])

    def check(self, rows: np.ndarray) -> None:
        """Read rows, shape (m,), and check each."""
        block = np.empty((self._count_block_rows(), *self._tables.shape), FEATURE_DTYPE)
        for part in self._split(len(rows)):
            some = rows[part]
            self._read(some, block[: len(some)])
            self._compare(some, block[: len(some)])

    def _take_new(self, rows: np.ndarray, new: np.ndarray) -> np.ndarray:
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

    def _take_unmapped(self, rows: np.ndarray, views: np.ndarray | int | None, new: np.ndarray) -> np.ndarray:
        features = self._take_new(rows, new)
        return features if views is None else features[np.arange(len(rows)), np.broadcast_to(views, len(rows))]

    def _read(self, rows: np.ndarray, block: np.ndarray) -> None:
        """Read all views of rows into `block`, shape (m, views, tokens, channels)."""
        if self._descriptor is None:
            # The row numbers have been checked: "wrap" counts negative ones from the end and needs no second buffer.
            np.take(self._flat, rows, axis=0, out=block.reshape(len(rows), -1), mode="wrap")
            return
        row_bytes = self._tables.row_bytes
        with as_cache_error(self._tables.path):
            for row, target in zip((rows % len(self._checked)).tolist(), block, strict=True):
                content = os.pread(self._descriptor, row_bytes, self._tables.offset + row * row_bytes)
                target[:] = np.frombuffer(content.ljust(row_bytes, b"\0"), FEATURE_DTYPE).reshape(target.shape)

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
