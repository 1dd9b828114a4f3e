"""Read everything in a feature file but its features, checked: keys, checksums, image names, settings.

In: a file's path. Out: its `Tables`, read or memory-mapped, or a `DamagedFileError`. Reading and checking the features
is left to `cache.row_reader` and `cache.reader`.
"""

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np

from cache.checksums import CHECKSUM_DTYPE, FEATURE_DTYPE, Shape, compute_table_checksum
from cache.errors import CacheError, DamagedFileError, describe_os_error
from cache.fingerprint import FORMAT_VERSION, digest_canonical_text
from cache.keys import KEY_DTYPE
from cache.layout import count_row_bytes

NOT_CONTIGUOUS = "its features are not contiguous little-endian float16"


@dataclass(frozen=True)
class Tables:
    """Everything in a feature file but the features.

    Attributes
    ----------
    path
        The file.
    fingerprint
        64 hexadecimal digits.
    description
        The canonical JSON text that the fingerprint digests.
    shape
        (views, tokens, channels) of every row.
    keys
        Shape (n,), dtype S64, each once; strictly ascending in a published file.
    checksums
        Shape (n,), uint64.
    images
        Shape (n,), bytes; None in a shard.
    offset
        Where the features begin in the file, in bytes; None if they are not contiguous little-endian float16.
    features
        Read-only memory map, shape (n, views, tokens, channels), if mapping was asked for and is possible.
    table_checksum
        XXH3-64 of description, keys, checksums and images.
    """

    path: Path
    fingerprint: str
    description: str
    shape: Shape
    keys: np.ndarray
    checksums: np.ndarray
    images: np.ndarray | None
    offset: int | None
    features: np.memmap | None
    table_checksum: int

    @property
    def row_bytes(self) -> int:
        """Size of one row's features in bytes."""
        return count_row_bytes(self.shape)


def read_tables(path: Path, *, mapped: bool = False) -> Tables:
    """Read and check everything in a feature file but its features.

    Parameters
    ----------
    path
        The file.
    mapped
        Map the tables and the features into memory instead of reading the tables: for a file that stays open.

    Raises
    ------
    DamagedFileError
        If the content is not what this package writes.
    CacheError
        If the file cannot be read; its content may be good.
    """
    try:
        with path.open("rb") as raw:
            return _read_open_file(raw, path, mapped)
    except (CacheError, MemoryError):
        raise
    except OSError as error:
        if error.errno:  # from the system; HDF5's own errors have no number
            raise CacheError(describe_os_error(error, path)) from error
        raise DamagedFileError(path, _take_first_line(error)) from error
    except Exception as error:  # h5py raises many types for a file of another kind
        raise DamagedFileError(path, _take_first_line(error)) from error


def _read_open_file(raw: BinaryIO, path: Path, mapped: bool) -> Tables:
    # One open file for everything: another process may replace the file of this name at any moment.
    with h5py.File(raw, "r") as file:
        version = int(file.attrs["format_version"])
        if version != FORMAT_VERSION:
            raise DamagedFileError(path, f"format version {version}, this program reads {FORMAT_VERSION}")
        features = file["features"]
        if features.ndim != 4:
            raise DamagedFileError(path, f"features of shape {features.shape}, not (n, views, tokens, channels)")
        views, tokens, channels = (int(length) for length in features.shape[1:])
        tables = Tables(
            path=path,
            fingerprint=bytes(file.attrs["fingerprint"]).decode("ascii"),
            description=bytes(file.attrs["description"]).decode("utf-8"),
            shape=(views, tokens, channels),
            keys=_load(raw, file["key"], mapped).astype(KEY_DTYPE, copy=False),
            checksums=_load(raw, file["checksum"], mapped).astype(CHECKSUM_DTYPE, copy=False),
            images=_load(raw, file["image"], mapped) if "image" in file else None,
            offset=features.id.get_offset() if features.dtype == FEATURE_DTYPE else None,
            features=_map_features(raw, features) if mapped else None,
            table_checksum=int(file.attrs["table_checksum"]),
        )
        _check_consistency(tables, features.shape)
    return tables


def _map_features(raw: BinaryIO, features: h5py.Dataset) -> np.memmap | None:
    """Map the features; None if that is impossible: rewritten in chunks, or beyond `ulimit -v`."""
    if features.dtype != FEATURE_DTYPE or features.id.get_offset() is None:
        return None
    try:
        return np.memmap(raw, FEATURE_DTYPE, mode="r", offset=features.id.get_offset(), shape=features.shape)
    except OSError as error:
        if error.errno == errno.ENOMEM:
            return None
        raise


def _load(raw: BinaryIO, dataset: h5py.Dataset, mapped: bool) -> np.ndarray:
    """Read a table, or map it read-only if asked for and if it is contiguous (after `h5repack` it may not be)."""
    if not mapped or dataset.id.get_offset() is None:
        return np.asarray(dataset[:])
    return np.memmap(raw, dataset.dtype, mode="r", offset=dataset.id.get_offset(), shape=dataset.shape)


def _check_consistency(tables: Tables, features_shape: tuple[int, ...]) -> None:
    """Refuse tables that contradict each other or their checksum."""
    if digest_canonical_text(tables.description) != tables.fingerprint:
        raise DamagedFileError(tables.path, "its fingerprint is not that of its description")
    if features_shape[0] != len(tables.keys):
        raise DamagedFileError(tables.path, f"features of shape {features_shape} for {len(tables.keys)} keys")
    content = tables.keys, tables.checksums, tables.images
    if compute_table_checksum(tables.description, *content) != tables.table_checksum:
        raise DamagedFileError(tables.path, "its tables do not match their checksum")
    if tables.images is not None and np.any(tables.keys[1:] <= tables.keys[:-1]):
        raise DamagedFileError(tables.path, "its keys do not ascend")


def _take_first_line(error: Exception) -> str:
    return str(error).strip("'\"").partition("\n")[0] or type(error).__name__
