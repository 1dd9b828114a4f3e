"""Read the published cache: by key, through a memory map; every row is compared with its checksum when first read.

In: the folder or file that publishing wrote. Out: features as NumPy arrays. Any number of processes may read; all of
them map the same pages of the file. Writing is left to the store and to publishing.
"""

import json
import logging
import mmap
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np

from cache.checked_rows import CheckedRows
from cache.checksums import Shape
from cache.errors import CacheError, MissingRowsError, as_cache_error
from cache.keys import KEY_DTYPE, Keys, as_key_array, find_keys
from cache.layout import FEATURES_NAME
from cache.tables import Tables, read_tables

_log = logging.getLogger(__name__)


class FeatureCache:
    """The features of a set of images.

    Opening checks the tables (names, keys, checksums). `get` and `take` compare a row with its checksum when they first
    read it; forked processes share the record of checked rows. A cache can be pickled and used after a fork, so that
    the workers of a `DataLoader` can use it.

    Parameters
    ----------
    path
        The folder that publishing wrote to, or the file `features.h5` in it.
    check
        When rows are compared with their checksums: as they are first read, or all of them on opening.

    Raises
    ------
    MissingRowsError
        If the file does not exist.
    DamagedFileError
        If it is not a complete and unchanged feature file.
    CacheError
        If it cannot be read.

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
    >>> import tempfile
    >>> from cache import FeatureStore, publish
    >>> folder, keys = tempfile.mkdtemp(), ["0" * 64, "f" * 64]
    >>> store = FeatureStore(folder, {"arch": "resnet101"}, shape=(1, 1, 3))
    >>> with store.writer() as writer:
    ...     writer.append(keys, np.arange(6, dtype=np.float16).reshape(2, 1, 1, 3))
    >>> _ = publish(store, keys, ["a.jpg", "b.jpg"], folder)
    >>> with FeatureCache(folder) as cache:
    ...     features = cache.get(["f" * 64, "0" * 64, "f" * 64])
    ...     cache.images, cache.description, cache.check()
    (['a.jpg', 'b.jpg'], {'arch': 'resnet101'}, 2)
    >>> features.shape, features.dtype, features[:, 0, 0, 0].tolist()
    ((3, 1, 1, 3), dtype('float16'), [3.0, 0.0, 3.0])
    """

    def __init__(self, path: Path | str, check: Literal["first_touch", "opening"] = "first_touch") -> None:
        path = Path(path).absolute()
        with as_cache_error(path):
            self.path = path / FEATURES_NAME if path.is_dir() else path
            found = self.path.exists()
        if not found:
            raise MissingRowsError(f"there is no feature cache at {self.path}; compute and publish its rows")
        tables = read_tables(self.path, mapped=True)
        self.shape: Shape = tables.shape
        self.fingerprint: str = tables.fingerprint
        self.description: dict[str, Any] = json.loads(tables.description)
        self._tables: Tables | None = tables
        self._images: list[str] | None = None
        # A shard's rows are in the order in which they were appended.
        self._order = np.argsort(tables.keys) if tables.images is None else None
        self._checked = CheckedRows(tables)
        if tables.features is None:
            _log.warning(
                "%s cannot be memory-mapped (the address space of this process is limited): reading it row by row",
                self.path,
            )
        if check == "opening":
            self.check()

    def __enter__(self) -> "FeatureCache":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Arrays that `get` returned stay valid."""
        self._tables = None
        self._checked.close()

    def release(self) -> None:
        """Release the memory of pages that have been read, after a pass over all rows for example.

        They can be read again.
        """
        pages = getattr(self._require_open().features, "base", None)
        if isinstance(pages, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            pages.madvise(mmap.MADV_DONTNEED)

    def __len__(self) -> int:
        return len(self._require_open().keys)

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str | bytes) or len(key) != KEY_DTYPE.itemsize:
            return False
        as_bytes = key.encode("utf-8", "replace") if isinstance(key, str) else bytes(key)
        return bool(self._find(np.array([as_bytes], KEY_DTYPE))[0] >= 0)

    @property
    def keys(self) -> np.ndarray:
        """All keys, shape (n,), dtype S64, read-only; strictly ascending, unless the file is a shard."""
        return self._require_open().keys.view(np.ndarray)

    @property
    def images(self) -> list[str]:
        """The images' paths relative to the image root, in the order of `keys`.

        Raises
        ------
        CacheError
            If the file is a shard, which holds no names.
        """
        if self._images is None:
            names = self._require_open().images
            if names is None:
                raise CacheError(f"{self.path} holds no image names: it is a shard of the store, not a published cache")
            self._images = [name.decode("utf-8") for name in names.view(np.ndarray).tolist()]
        return self._images

    @property
    def features(self) -> np.memmap:
        """All features, shape (n, views, tokens, channels), float16, read-only, in the order of `keys`.

        A memory map of the file, for notebooks: its rows are not compared with their checksums. `check` does that.

        Raises
        ------
        CacheError
            If the address space of this process is too small for the map.
        """
        features = self._require_open().features
        if features is None:
            raise CacheError(f"{self.path} cannot be mapped: this process's address space is limited; use get or take")
        return features

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
        MissingRowsError
            If a key is not in the cache, naming the first.
        CacheError
            If a value is not a key.
        """
        wanted = as_key_array(keys)
        rows = self._find(wanted)
        if (missing := np.flatnonzero(rows < 0)).size:
            raise MissingRowsError(
                f"{len(missing)} of {len(wanted)} keys are not in {self.path}, the first is "
                f"{wanted[missing[0]].decode()}; compute and publish their rows"
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
            Shape (m, views, tokens, channels), float16, in the order of `keys`; a copy.

        Raises
        ------
        MissingRowsError
            If a key is not in the cache, naming the first.
        DamagedFileError
            If a row does not match its checksum, naming file, row and image.
        CacheError
            If a value is not a key, or the file cannot be read.
        """
        return self.take(self.rows(keys))

    def take(self, rows: np.ndarray, views: np.ndarray | int | None = None) -> np.ndarray:
        """Read the features at row numbers.

        Parameters
        ----------
        rows
            Shape (m,), any order, repeats allowed.
        views
            One view for all rows, or one for each (shape (m,)); None for all views.

        Returns
        -------
        numpy.ndarray
            Shape (m, views, tokens, channels), or (m, tokens, channels) if views are given; float16; a copy.

        Raises
        ------
        DamagedFileError
            If a row does not match its checksum, naming file, row and image. A checksum covers all views of a row.
        IndexError
            If there is no such row or view.
        CacheError
            If the file cannot be read.
        """
        self._require_open()
        return self._checked.take(np.asarray(rows), views)

    def check(self, rows: np.ndarray | None = None) -> int:
        """Read rows and compare each with its checksum, whether or not that was done before.

        Parameters
        ----------
        rows
            Row numbers, shape (m,); None for all.

        Returns
        -------
        int
            The number of rows checked.

        Raises
        ------
        DamagedFileError
            At the first row that does not match its checksum, naming file, row and image.
        """
        chosen = np.arange(len(self)) if rows is None else np.asarray(rows)
        self._checked.check(chosen)
        return len(chosen)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "table_checksum": self._require_open().table_checksum}

    def __setstate__(self, state: dict[str, Any]) -> None:
        FeatureCache.__init__(self, state["path"])
        self._require_same_file(state["table_checksum"])

    def _find(self, wanted: np.ndarray) -> np.ndarray:
        """Find the row of each key, -1 for a key that is not in the cache."""
        if self._order is None:
            return find_keys(self.keys, wanted)
        places = find_keys(self.keys[self._order], wanted)
        return np.where(places < 0, -1, self._order[places])

    def _require_open(self) -> Tables:
        if self._tables is None:
            raise CacheError(f"{self.path} has been closed; open it again")
        return self._tables

    def _require_same_file(self, table_checksum: int) -> None:
        if self._require_open().table_checksum != table_checksum:
            raise CacheError(f"{self.path} was published again while it was in use; open it again")
