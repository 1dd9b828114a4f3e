"""The layout of a feature file, the same for a shard of the store and for the published cache.

In: keys, their features row by row, and the description they were computed under. Out: one HDF5 file, or what stands in
one. Who names the files, and which of them belong together, is left to the store and to publishing.

    /features   (n, views, tokens, channels) float16   contiguous, uncompressed: can be memory-mapped
    /key        (n,) 64 ASCII bytes                     each once; ascending in the published cache
    /checksum   (n,) uint64                             XXH3-64 of the row's key followed by its feature bytes
    /image      (n,) UTF-8 bytes, padded with zeros     published cache only
    attributes  about, description, fingerprint, format_version, table_checksum

A shard's rows stand in the order in which they came, so that they can go to the disk at once: its features are the
first dataset in the file, and the tables follow when their length is known.

Every number is little-endian. There are no time stamps, so equal content is equal bytes. HDF5 checksums its own
structure (object headers of version 2), a row's checksum guards its key and features, `table_checksum` the rest.
"""

import errno
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np
import xxhash

from cache.errors import CacheError, DamagedFileError, explain
from cache.fingerprint import FORMAT_VERSION, digest_of_text
from cache.keys import KEY_DTYPE
from cache.write_log import WriteLog

FEATURE_DTYPE = np.dtype("<f2")
CHECKSUM_DTYPE = np.dtype("<u8")
# Fixed bounds, so that another HDF5 version writes the same bytes; v108 is the first with checksummed metadata.
_LIBVER = ("v108", "v108")
_PAGE_BYTES = 4096
_SCRATCH_BYTES = 2**18  # stays in the processor's cache
_LARGE_ROW_BYTES = 2**14  # from here on a checksum's own time outweighs that of calling it
_STRUCTURE_BYTES = 64 * 1024  # generous: superblock, object headers, alignment

_ABOUT_PUBLISHED = "Cached image features. One row per image in every dataset; rows ascend by key."
_ABOUT_SHARD = "Part of a store of image features. One row per image in every dataset, in no particular order."
_ABOUT = {
    "features": "What the network computes from the image; view 0 is the deterministic one.",
    "key": "SHA-256 of the image file's bytes, hexadecimal.",
    "checksum": "XXH3-64 of the row's 64 key bytes followed by its feature bytes (little-endian).",
    "image": "Path of the image relative to the image root, UTF-8, padded with zero bytes.",
}
NOT_IN_ONE_PIECE = "its features do not lie in one piece as little-endian float16"
_AXES = {"features": "image, view, token, channel"}
Shape = tuple[int, int, int]


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
        Shape (n,), dtype S64, each once; strictly ascending in a published cache.
    checksums
        Shape (n,), uint64.
    images
        Shape (n,), bytes; None in a shard.
    offset
        Where the features begin in the file, in bytes; None if they do not lie in one piece as little-endian float16.
    features
        Read-only memory map, shape (n, views, tokens, channels), if mapping was asked for and is possible.
    table_checksum
        XXH3-64 of all of the above: equal for equal content.
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
        return row_bytes(self.shape)


def row_bytes(shape: Shape) -> int:
    """Size of one image's features in bytes."""
    return int(np.prod(shape)) * FEATURE_DTYPE.itemsize


def file_bytes(n_rows: int, shape: Shape, image_bytes: int = 0) -> int:
    """Upper estimate of a feature file's size, for asking whether there is room."""
    table_bytes = KEY_DTYPE.itemsize + CHECKSUM_DTYPE.itemsize + image_bytes
    return n_rows * (row_bytes(shape) + table_bytes) + _STRUCTURE_BYTES


def row_checksum(key: bytes, row: np.ndarray) -> int:
    """XXH3-64 of a key and its C-contiguous features: a change in either is found."""
    digest = xxhash.xxh3_64(key)
    digest.update(row)
    return digest.intdigest()


class RowChecksums:
    """`row_checksum` of many rows, of small ones several times as fast as one by one.

    Parameters
    ----------
    shape
        (views, tokens, channels) of every row.
    """

    def __init__(self, shape: Shape) -> None:
        # One behind the other, a key and its features take one call.
        record = np.dtype([("key", KEY_DTYPE), ("features", FEATURE_DTYPE, shape)])
        self._records = np.empty(max(1, _SCRATCH_BYTES // record.itemsize), record)

    def __call__(self, keys: np.ndarray, features: np.ndarray) -> np.ndarray:
        """Checksums of n keys (dtype S64) and their features (float16), shape (n,), uint64."""
        if features[:1].nbytes >= _LARGE_ROW_BYTES:
            digests = [row_checksum(key, row) for key, row in zip(keys, features, strict=True)]
            return np.array(digests, CHECKSUM_DTYPE)
        records, size, digests = self._records, self._records.dtype.itemsize, []
        raw = memoryview(records.view(np.uint8))
        for start in range(0, len(keys), len(records)):
            part = slice(start, start + len(records))
            count = len(keys[part])
            records["key"][:count], records["features"][:count] = keys[part], features[part]
            digests += [xxhash.xxh3_64_intdigest(raw[at : at + size]) for at in range(0, count * size, size)]
        return np.array(digests, CHECKSUM_DTYPE)


def _table_checksum(description: str, keys: np.ndarray, checksums: np.ndarray, images: np.ndarray | None) -> int:
    digest = xxhash.xxh3_64(description.encode())
    for table in (keys, checksums, images):
        if table is not None:
            digest.update(np.ascontiguousarray(table).view(np.uint8))
    return digest.intdigest()


def published_structure(
    description: str, shape: Shape, keys: np.ndarray, checksums: np.ndarray, images: np.ndarray
) -> tuple[WriteLog, int]:
    """A published file without its features, and the offset of the gap where they belong."""
    log = WriteLog()
    options = {"alignment_threshold": _PAGE_BYTES, "alignment_interval": _PAGE_BYTES}
    with h5py.File(log, "w", libver=_LIBVER, **options) as file:
        _describe(file, _ABOUT_PUBLISHED, description, _table_checksum(description, keys, checksums, images))
        _create(file, "key", keys.shape, KEY_DTYPE, keys)
        _create(file, "checksum", checksums.shape, CHECKSUM_DTYPE, checksums)
        _create(file, "image", images.shape, h5py.string_dtype("utf-8", images.dtype.itemsize), images)
        features = _create(file, "features", (len(keys), *shape), FEATURE_DTYPE, None)
        file.flush()
        offset = features.id.get_offset()
    return log, offset


def shard_structure(description: str, shape: Shape, keys: np.ndarray, checksums: np.ndarray) -> tuple[WriteLog, int]:
    """A shard without its features, and the offset of the gap where they belong: the same for any number of rows."""
    log = WriteLog()
    # Every object on a page of its own: what comes before the features has one size, whatever comes after.
    with h5py.File(log, "w", libver=_LIBVER, alignment_threshold=1, alignment_interval=_PAGE_BYTES) as file:
        features = _create(file, "features", (len(keys), *shape), FEATURE_DTYPE, None)
        _describe(file, _ABOUT_SHARD, description, _table_checksum(description, keys, checksums, None))
        _create(file, "key", keys.shape, KEY_DTYPE, keys)
        _create(file, "checksum", checksums.shape, CHECKSUM_DTYPE, checksums)
        file.flush()
        offset = features.id.get_offset()
    return log, offset


def _describe(file: h5py.File, about: str, description: str, table_checksum: int) -> None:
    file.attrs["about"] = np.bytes_(about)
    file.attrs["description"] = _utf8(description)
    file.attrs["fingerprint"] = np.bytes_(digest_of_text(description))
    file.attrs["format_version"] = np.int64(FORMAT_VERSION)
    file.attrs["table_checksum"] = np.uint64(table_checksum)


def _create(
    file: h5py.File, name: str, shape: tuple[int, ...], dtype: np.dtype, data: np.ndarray | None
) -> h5py.Dataset:
    # Space now and no fill values: HDF5 leaves a gap in the file, which costs the log nothing.
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    dataset = file.create_dataset(name, shape, dtype, data=data, dcpl=layout, track_times=False)
    dataset.attrs["about"] = np.bytes_(_ABOUT[name])
    if name in _AXES:
        dataset.attrs["axes"] = np.bytes_(_AXES[name])
    return dataset


def _utf8(text: str) -> np.ndarray:
    """Text of fixed length: HDF5 keeps text of variable length in a heap that it does not checksum."""
    encoded = text.encode("utf-8")
    return np.array(encoded, dtype=h5py.string_dtype("utf-8", max(1, len(encoded))))


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
        If the content is not what a writer of this package wrote.
    CacheError
        If the file cannot be reached, which says nothing about its content.
    """
    try:
        with path.open("rb") as raw:
            return _read_tables(raw, path, mapped)
    except (CacheError, MemoryError):
        raise
    except OSError as error:
        if error.errno:  # the system's; HDF5's own have no number
            raise CacheError(explain(error, path)) from error
        raise DamagedFileError(path, _first_line(error)) from error
    except Exception as error:  # whatever h5py makes of a file that is not one of ours
        raise DamagedFileError(path, _first_line(error)) from error


def _read_tables(raw: BinaryIO, path: Path, mapped: bool) -> Tables:
    # Through one open file for everything: the name may be given to a newer file at any moment.
    with h5py.File(raw, "r") as file:
        version = int(file.attrs["format_version"])
        if version != FORMAT_VERSION:
            raise DamagedFileError(path, f"format version {version}, this program reads {FORMAT_VERSION}")
        features = file["features"]
        if features.ndim != 4:
            raise DamagedFileError(path, f"features of shape {features.shape}, not (n, views, tokens, channels)")
        views, tokens, channels = (int(length) for length in features.shape[1:])
        load = (lambda dataset: _map(raw, dataset)) if mapped else (lambda dataset: dataset[:])
        tables = Tables(
            path=path,
            fingerprint=bytes(file.attrs["fingerprint"]).decode("ascii"),
            description=bytes(file.attrs["description"]).decode("utf-8"),
            shape=(views, tokens, channels),
            keys=load(file["key"]).astype(KEY_DTYPE, copy=False),
            checksums=load(file["checksum"]).astype(CHECKSUM_DTYPE, copy=False),
            images=load(file["image"]) if "image" in file else None,
            offset=features.id.get_offset() if features.dtype == FEATURE_DTYPE else None,
            features=_mapped_features(raw, features) if mapped else None,
            table_checksum=int(file.attrs["table_checksum"]),
        )
        _check_tables(tables, features)
    return tables


def _mapped_features(raw: BinaryIO, features: h5py.Dataset) -> np.memmap | None:
    """A map of the features; None where there can be none: rewritten in chunks, or beyond `ulimit -v`."""
    if features.dtype != FEATURE_DTYPE or features.id.get_offset() is None:
        return None
    try:
        return np.memmap(raw, FEATURE_DTYPE, mode="r", offset=features.id.get_offset(), shape=features.shape)
    except OSError as error:
        if error.errno == errno.ENOMEM:
            return None
        raise


def _map(raw: BinaryIO, dataset: h5py.Dataset) -> np.ndarray:
    """A read-only map of a contiguous dataset; a copy of one that HDF5 keeps in another way (`h5repack`)."""
    if dataset.id.get_offset() is None:
        return dataset[:]
    return np.memmap(raw, dataset.dtype, mode="r", offset=dataset.id.get_offset(), shape=dataset.shape)


def _check_tables(tables: Tables, features: h5py.Dataset) -> None:
    """Refuse tables that contradict each other or their checksum."""
    content = tables.description, tables.keys, tables.checksums, tables.images
    if digest_of_text(tables.description) != tables.fingerprint:
        raise DamagedFileError(tables.path, "its fingerprint is not that of its description")
    if len(features) != len(tables.keys):
        raise DamagedFileError(tables.path, f"features of shape {features.shape} for {len(tables.keys)} keys")
    if _table_checksum(*content) != tables.table_checksum:
        raise DamagedFileError(tables.path, "its tables do not match their checksum")
    if tables.images is not None and np.any(tables.keys[1:] <= tables.keys[:-1]):
        raise DamagedFileError(tables.path, "its keys do not ascend")


def _first_line(error: Exception) -> str:
    return str(error).strip("'\"").partition("\n")[0] or type(error).__name__
