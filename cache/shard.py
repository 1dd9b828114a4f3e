"""The layout of a feature file, the same for a shard of the store and for the published cache.

In: keys, their features row by row, and the description they were computed under. Out: one HDF5 file, or what stands in
one. Who names the files, and which of them belong together, is left to the store and to publishing.

    /features   (n, views, tokens, channels) float16   contiguous, uncompressed: can be memory-mapped
    /key        (n,) 64 ASCII bytes                     strictly ascending
    /checksum   (n,) uint64                             XXH3-64 of the row's key followed by its feature bytes
    /image      (n,) UTF-8 bytes, padded with zeros     published cache only
    attributes  about, description, fingerprint, format_version, table_checksum

Every number is little-endian. There are no time stamps, so equal content is equal bytes. HDF5 checksums its own
structure (object headers of version 2), a row's checksum guards its key and features, `table_checksum` the rest.
"""

import errno
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
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
_BUFFERS_PER_WRITE = 1024  # what Linux and macOS take at once
_WRITE_BYTES = 2**20
_FLUSH_BYTES = 32 * 2**20
_flush_data = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync
_STRUCTURE_BYTES = 64 * 1024  # generous: superblock, object headers, alignment

_ABOUT_FILE = "Cached image features. One row per image in every dataset; rows ascend by key."
_ABOUT = {
    "features": "What the network computes from the image; view 0 is the deterministic one.",
    "key": "SHA-256 of the image file's bytes, hexadecimal.",
    "checksum": "XXH3-64 of the row's 64 key bytes followed by its feature bytes (little-endian).",
    "image": "Path of the image relative to the image root, UTF-8, padded with zero bytes.",
}
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
        Shape (n,), dtype S64, strictly ascending.
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


def record_dtype(shape: Shape) -> np.dtype:
    """A key and its features, one behind the other: the bytes that `row_checksum` digests."""
    return np.dtype([("key", KEY_DTYPE), ("features", FEATURE_DTYPE, shape)])


def record_checksums(records: np.ndarray) -> np.ndarray:
    """`row_checksum` of each of n records of `record_dtype`, several times as fast; shape (n,), uint64."""
    raw, size = memoryview(records.view(np.uint8)), records.dtype.itemsize
    digests = [xxhash.xxh3_64_intdigest(raw[start : start + size]) for start in range(0, len(raw), size)]
    return np.array(digests, CHECKSUM_DTYPE)


def _table_checksum(description: str, keys: np.ndarray, checksums: np.ndarray, images: np.ndarray | None) -> int:
    digest = xxhash.xxh3_64(description.encode())
    for table in (keys, checksums, images):
        if table is not None:
            digest.update(np.ascontiguousarray(table).view(np.uint8))
    return digest.intdigest()


def write_file(
    path: Path,
    *,
    description: str,
    shape: Shape,
    keys: np.ndarray,
    checksums: np.ndarray,
    rows: Iterable[np.ndarray],
    images: np.ndarray | None = None,
) -> None:
    """Write a feature file, its rows as they come: none but the one in hand is kept in memory.

    Parameters
    ----------
    path
        The file to create; the caller renames it into place.
    description
        Canonical JSON.
    shape
        (views, tokens, channels).
    keys
        Shape (n,), dtype S64, strictly ascending, n > 0.
    checksums
        Shape (n,), uint64: `row_checksum` of each.
    rows
        n arrays, or fewer with a leading dimension, of `shape`, float16, C-contiguous, in the order of `keys`.
    images
        Shape (n,), bytes (dtype S…), UTF-8.

    Raises
    ------
    OSError
        Whatever the disk objects to.
    """
    structure, offset = _structure(description, shape, keys, checksums, images)
    with path.open("wb") as file:
        structure.replay(file)
        file.seek(offset)
        written_bytes = _write_rows(file.fileno(), rows)
    if written_bytes != len(keys) * row_bytes(shape):
        raise ValueError(f"{written_bytes} bytes of features came for {len(keys)} keys of shape {shape}")


def _write_rows(descriptor: int, rows: Iterable[np.ndarray]) -> int:
    """Write arrays one behind the other, the disk at work from early on; return the number of bytes."""
    total_bytes = flushed_bytes = 0
    with ThreadPoolExecutor(max_workers=1) as pool:
        flushing = pool.submit(lambda: None)
        for batch in _batches(rows):
            total_bytes += _write_all(descriptor, batch)
            if flushing.done() and total_bytes - flushed_bytes >= _FLUSH_BYTES:
                flushing.result()  # an error of the disk, which it tells only once
                flushing, flushed_bytes = pool.submit(_flush_data, descriptor), total_bytes
        flushing.result()
    return total_bytes


def _batches(rows: Iterable[np.ndarray]) -> Iterator[list[memoryview]]:
    """What one system call takes: not too many, and no more than stays in the processor's cache."""
    batch: list[memoryview] = []
    for row in rows:
        batch.append(memoryview(row).cast("B"))
        if len(batch) == _BUFFERS_PER_WRITE or len(batch) * len(batch[0]) >= _WRITE_BYTES:
            yield batch
            batch = []
    if batch:
        yield batch


def _write_all(descriptor: int, buffers: list[memoryview]) -> int:
    """Write buffers without gathering them first, where the system can; it may take a part only, and is asked again."""
    size_bytes = sum(len(buffer) for buffer in buffers)
    while buffers:
        # Windows has no writev.
        written = os.writev(descriptor, buffers) if hasattr(os, "writev") else os.write(descriptor, buffers[0])
        while buffers and written >= len(buffers[0]):
            written -= len(buffers.pop(0))
        if buffers:
            buffers[0] = buffers[0][written:]
    return size_bytes


def _structure(
    description: str, shape: Shape, keys: np.ndarray, checksums: np.ndarray, images: np.ndarray | None
) -> tuple[WriteLog, int]:
    """The file without its features, and the offset of the gap where they belong."""
    log = WriteLog()
    options = {"alignment_threshold": _PAGE_BYTES, "alignment_interval": _PAGE_BYTES}
    with h5py.File(log, "w", libver=_LIBVER, **options) as file:
        file.attrs["about"] = np.bytes_(_ABOUT_FILE)
        file.attrs["description"] = _utf8(description)
        file.attrs["fingerprint"] = np.bytes_(digest_of_text(description))
        file.attrs["format_version"] = np.int64(FORMAT_VERSION)
        file.attrs["table_checksum"] = np.uint64(_table_checksum(description, keys, checksums, images))
        _create(file, "key", keys.shape, KEY_DTYPE, keys)
        _create(file, "checksum", checksums.shape, CHECKSUM_DTYPE, checksums)
        if images is not None:
            _create(file, "image", images.shape, h5py.string_dtype("utf-8", images.dtype.itemsize), images)
        features = _create(file, "features", (len(keys), *shape), FEATURE_DTYPE, None)
        file.flush()
        offset = features.id.get_offset()
    return log, offset


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
        If the content is not what `write_file` wrote.
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
        load = (lambda dataset: _map(raw, dataset)) if mapped else (lambda dataset: dataset[:])
        tables = Tables(
            path=path,
            fingerprint=bytes(file.attrs["fingerprint"]).decode("ascii"),
            description=bytes(file.attrs["description"]).decode("utf-8"),
            shape=tuple(int(length) for length in features.shape[1:]),
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
    if features.ndim != 4 or len(features) != len(tables.keys):
        raise DamagedFileError(tables.path, f"features of shape {features.shape} for {len(tables.keys)} keys")
    if _table_checksum(*content) != tables.table_checksum:
        raise DamagedFileError(tables.path, "its tables do not match their checksum")
    if np.any(tables.keys[1:] <= tables.keys[:-1]):
        raise DamagedFileError(tables.path, "its keys do not ascend")


def _first_line(error: Exception) -> str:
    return str(error).strip("'\"").partition("\n")[0] or type(error).__name__
