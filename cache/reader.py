"""The published cache as everything downstream reads it: by key, through a memory map.

In: the folder or file that publishing wrote. Out: features as NumPy arrays. Any number of processes may read; each maps
the same pages of the file. Nothing is written.
"""

import json
import logging
import mmap
import os
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from cache.errors import CacheError, DamagedFileError, explained
from cache.keys import KEY_DTYPE, Keys, find, key_array
from cache.published import FEATURES_NAME
from cache.shard import FEATURE_DTYPE, Shape, Tables, read_tables, row_checksum

_log = logging.getLogger(__name__)


class FeatureCache:
    """The features of a set of images.

    Opening checks the tables (names, keys, checksums), not the features: `check` does. Can be pickled and survives a
    fork, so that the workers of a `DataLoader` can use it.

    Parameters
    ----------
    path
        The folder `data/features`, or the file in it.

    Raises
    ------
    CacheError
        If there is no such file, or it is not one that publishing wrote, in full and unchanged.

    Attributes
    ----------
    path
        The file.
    shape
        (views, tokens, channels) of every row.
    fingerprint
        Digest of everything that decided the features' values, 64 hexadecimal digits.
    description
        The plain text behind the fingerprint.

    Examples
    --------
    >>> with FeatureCache("data/features") as cache:              # doctest: +SKIP
    ...     features = cache.get(cache.keys[:256])                # (256, views, tokens, channels) float16
    """

    def __init__(self, path: Path | str) -> None:
        path = Path(path).absolute()
        with explained(path):
            self.path = path / FEATURES_NAME if path.is_dir() else path
            found = self.path.exists()
        if not found:
            raise CacheError(f"there is no feature cache at {self.path}; run pipeline extract-features")
        tables = read_tables(self.path, mapped=True)
        self.shape: Shape = tables.shape
        self.fingerprint: str = tables.fingerprint
        self.description: dict[str, Any] = json.loads(tables.description)
        self._tables: Tables | None = tables
        self._images: list[str] | None = None
        # A shard's rows stand in the order in which they came.
        self._order = np.argsort(tables.keys) if tables.images is None else None
        self._unmapped: tuple[int, h5py.File] | None = None  # (process, its handle)
        if tables.features is None:
            _log.warning("%s cannot be memory-mapped (%s): reading it through h5py", self.path, _why_not(tables))

    def __enter__(self) -> "FeatureCache":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; arrays that `get` returned stay valid."""
        self._tables = None
        if self._unmapped is not None:
            self._unmapped[1].close()
            self._unmapped = None

    def release(self) -> None:
        """Give back the memory of what has been read: after one pass over everything, say. It can be read again."""
        pages = getattr(self.features, "base", None)
        if isinstance(pages, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            pages.madvise(mmap.MADV_DONTNEED)

    def __len__(self) -> int:
        return len(self._opened().keys)

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str | bytes) or len(key) != KEY_DTYPE.itemsize:
            return False
        as_bytes = key.encode("utf-8", "replace") if isinstance(key, str) else bytes(key)
        return bool(self._find(np.array([as_bytes], KEY_DTYPE))[0] >= 0)

    @property
    def keys(self) -> np.ndarray:
        """Every key, shape (n,), dtype S64, read-only; strictly ascending (but not if the file is a shard)."""
        return self._opened().keys.view(np.ndarray)

    @property
    def images(self) -> list[str]:
        """The images' paths relative to the image root, in the order of `keys`."""
        if self._images is None:
            names = self._opened().images
            if names is None:
                raise CacheError(f"{self.path} holds no image names: it is a shard of the store, not a published cache")
            self._images = [name.decode("utf-8") for name in names.view(np.ndarray).tolist()]
        return self._images

    @property
    def features(self) -> np.memmap | h5py.Dataset:
        """All features, shape (n, views, tokens, channels), float16, read-only, in the order of `keys`.

        A memory map; or the h5py dataset, if the file has been rewritten in a form that cannot be mapped.
        """
        tables = self._opened()
        return self._through_h5py() if tables.features is None else tables.features

    def rows(self, keys: Keys) -> np.ndarray:
        """Find the rows of keys.

        Parameters
        ----------
        keys
            m keys, any order, repeats allowed.

        Returns
        -------
        numpy.ndarray
            Shape (m,), int64.

        Raises
        ------
        CacheError
            If one is not in the cache, naming it.
        """
        wanted = key_array(keys)
        rows = self._find(wanted)
        if (missing := np.flatnonzero(rows < 0)).size:
            raise CacheError(
                f"{len(missing)} of {len(wanted)} keys are not in {self.path}, the first is "
                f"{wanted[missing[0]].decode()}; run pipeline extract-features again"
            )
        return rows

    def get(self, keys: Keys) -> np.ndarray:
        """Read the features of images.

        Parameters
        ----------
        keys
            m keys, any order, repeats allowed.

        Returns
        -------
        numpy.ndarray
            Shape (m, views, tokens, channels), float16, in the order asked; the caller's own copy.

        Raises
        ------
        CacheError
            If a key is not in the cache, naming it.
        """
        return self.take(self.rows(keys))

    def take(self, rows: np.ndarray, views: np.ndarray | int | None = None) -> np.ndarray:
        """Read the features at row numbers: what `get` does once it knows where they are.

        Parameters
        ----------
        rows
            Shape (m,), any order, repeats allowed.
        views
            One view for all rows, or one for each (shape (m,)); None for all views.

        Returns
        -------
        numpy.ndarray
            Shape (m, views, tokens, channels), or (m, tokens, channels) if views are given; float16.
        """
        features = self.features
        if isinstance(features, np.ndarray):
            features = features.view(np.ndarray)
            # An index array also for a single view: a copy, and of the pages of that view alone.
            return features[rows] if views is None else features[rows, np.broadcast_to(views, len(rows))]
        with explained(self.path):
            if views is not None:
                chosen = zip(rows.tolist(), np.broadcast_to(views, len(rows)).tolist(), strict=True)
                parts = [features[row, view] for row, view in chosen]  # no more than is asked for
                return np.array(parts, FEATURE_DTYPE).reshape(len(rows), *self.shape[1:])
            ascending, back = np.unique(rows, return_inverse=True)  # h5py wants each row once, in ascending order
            return features[ascending].astype(FEATURE_DTYPE, copy=False)[back]

    def check(self, rows: np.ndarray | None = None) -> int:
        """Read rows and compare each with its checksum.

        Parameters
        ----------
        rows
            Row numbers, shape (m,); None for all.

        Returns
        -------
        int
            How many were checked.

        Raises
        ------
        CacheError
            At the first row that has changed, naming file and row.
        """
        tables = self._opened()
        chosen = range(len(self)) if rows is None else np.asarray(rows).tolist()
        features = self.features.view(np.ndarray) if isinstance(self.features, np.ndarray) else self.features
        for row in chosen:
            content = np.ascontiguousarray(features[row], FEATURE_DTYPE)
            if row_checksum(tables.keys[row], content) != tables.checksums[row]:
                raise DamagedFileError(self.path, f"row {row} does not match its checksum")
        return len(chosen)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "table_checksum": self._opened().table_checksum}

    def __setstate__(self, state: dict[str, Any]) -> None:
        FeatureCache.__init__(self, state["path"])
        self._refuse_another(state["table_checksum"])

    def _find(self, wanted: np.ndarray) -> np.ndarray:
        """The row of each key, -1 for one that is not there."""
        if self._order is None:
            return find(self.keys, wanted)
        places = find(self.keys[self._order], wanted)
        return np.where(places < 0, -1, self._order[places])

    def _opened(self) -> Tables:
        if self._tables is None:
            raise CacheError(f"{self.path} has been closed; open it again")
        return self._tables

    def _through_h5py(self) -> h5py.Dataset:
        """The dataset, through a handle of this process's own: one from before a fork is not to be used."""
        if self._unmapped is None or self._unmapped[0] != os.getpid():
            with explained(self.path):
                file = h5py.File(self.path, "r", locking=False)
            self._unmapped = os.getpid(), file
            self._refuse_another(int(file.attrs["table_checksum"]))  # the name may be a newer file's by now
        return self._unmapped[1]["features"]

    def _refuse_another(self, table_checksum: int) -> None:
        if self._opened().table_checksum != table_checksum:
            raise CacheError(f"{self.path} was published anew while it was in use; run the command again")


def _why_not(tables: Tables) -> str:
    return "not contiguous float16" if tables.offset is None else "this process may not take so much address space"
