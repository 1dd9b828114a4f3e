"""The layout of a feature file, the same for a shard of a store and for a published file.

In: keys, checksums, and the description the features were computed under. Out: the bytes of an HDF5 file without its
features, and the offset where they go. Reading is left to `cache.tables`, the files' names to the store and publishing.

    /features   (n, views, tokens, channels) float16   contiguous, uncompressed: can be memory-mapped
    /key        (n,) 64 ASCII bytes                     each once; ascending in a published file
    /checksum   (n,) uint64                             XXH3-64 of the row's key followed by its feature bytes
    /image      (n,) UTF-8 bytes, padded with zeros     published file only
    attributes  about, description, fingerprint, format_version, table_checksum

A shard's rows are in the order in which they were appended, so that they can be written immediately. Its features are
the first dataset in the file; the tables follow when their length is known.

Every number is little-endian. There are no time stamps, so equal content is equal bytes. HDF5 checksums its own
structure (object headers of version 2), a row's checksum covers its key and features, `table_checksum` the rest.
"""

import h5py
import numpy as np

from cache.checksums import CHECKSUM_DTYPE, FEATURE_DTYPE, Shape, compute_table_checksum
from cache.fingerprint import FORMAT_VERSION, digest_canonical_text
from cache.keys import KEY_DTYPE
from cache.write_log import WriteLog

FEATURES_NAME = "features.h5"
# Fixed bounds, so that another HDF5 version writes the same bytes; v108 is the first with checksummed metadata.
_LIBVER = ("v108", "v108")
_PAGE_BYTES = 4096
_STRUCTURE_BYTES = 64 * 1024  # upper bound: superblock, object headers, alignment

_ABOUT_PUBLISHED = "Cached image features. One row per image in every dataset; rows ascend by key."
_ABOUT_SHARD = "Part of a store of image features. One row per image in every dataset, in no particular order."
_ABOUT = {
    "features": "What the network computes from the image; view 0 is the deterministic one.",
    "key": "SHA-256 of the image file's bytes, hexadecimal.",
    "checksum": "XXH3-64 of the row's 64 key bytes followed by its feature bytes (little-endian).",
    "image": "Path of the image relative to the image root, UTF-8, padded with zero bytes.",
}
_AXES = {"features": "image, view, token, channel"}


def count_row_bytes(shape: Shape) -> int:
    """Compute the size of one row's features in bytes.

    >>> count_row_bytes((2, 9, 2048))
    73728
    """
    return int(np.prod(shape)) * FEATURE_DTYPE.itemsize


def estimate_file_bytes(n_rows: int, shape: Shape, image_bytes: int = 0) -> int:
    """Estimate a feature file's size from above, to check whether there is room.

    Parameters
    ----------
    n_rows
        How many rows.
    shape
        (views, tokens, channels) of every row.
    image_bytes
        Length of the longest image name; 0 in a shard.
    """
    table_bytes = KEY_DTYPE.itemsize + CHECKSUM_DTYPE.itemsize + image_bytes
    return n_rows * (count_row_bytes(shape) + table_bytes) + _STRUCTURE_BYTES


def build_published_structure(
    description: str, shape: Shape, keys: np.ndarray, checksums: np.ndarray, images: np.ndarray
) -> tuple[WriteLog, int]:
    """Build a published file without its features.

    Parameters
    ----------
    description
        Canonical JSON text.
    shape
        (views, tokens, channels) of every row.
    keys, checksums, images
        Shape (n,), dtypes S64, uint64 and bytes.

    Returns
    -------
    WriteLog, int
        The file's bytes, and the offset of the gap for the features.
    """
    log = WriteLog()
    options = {"alignment_threshold": _PAGE_BYTES, "alignment_interval": _PAGE_BYTES}
    with h5py.File(log, "w", libver=_LIBVER, **options) as file:
        _write_attributes(file, _ABOUT_PUBLISHED, description, keys, checksums, images)
        _create_dataset(file, "key", keys.shape, KEY_DTYPE, keys)
        _create_dataset(file, "checksum", checksums.shape, CHECKSUM_DTYPE, checksums)
        _create_dataset(file, "image", images.shape, h5py.string_dtype("utf-8", images.dtype.itemsize), images)
        features = _create_dataset(file, "features", (len(keys), *shape), FEATURE_DTYPE, None)
        file.flush()
        offset = features.id.get_offset()
    return log, offset


def build_shard_structure(
    description: str, shape: Shape, keys: np.ndarray, checksums: np.ndarray
) -> tuple[WriteLog, int]:
    """Build a shard without its features; the offset of their gap is the same for any number of rows.

    Parameters and result are those of `build_published_structure`.
    """
    log = WriteLog()
    # Every object starts on a new page, so that the size before the features does not depend on what follows.
    with h5py.File(log, "w", libver=_LIBVER, alignment_threshold=1, alignment_interval=_PAGE_BYTES) as file:
        features = _create_dataset(file, "features", (len(keys), *shape), FEATURE_DTYPE, None)
        _write_attributes(file, _ABOUT_SHARD, description, keys, checksums, None)
        _create_dataset(file, "key", keys.shape, KEY_DTYPE, keys)
        _create_dataset(file, "checksum", checksums.shape, CHECKSUM_DTYPE, checksums)
        file.flush()
        offset = features.id.get_offset()
    return log, offset


def _write_attributes(
    file: h5py.File,
    about: str,
    description: str,
    keys: np.ndarray,
    checksums: np.ndarray,
    images: np.ndarray | None,
) -> None:
    file.attrs["about"] = np.bytes_(about)
    file.attrs["description"] = _as_fixed_length_text(description)
    file.attrs["fingerprint"] = np.bytes_(digest_canonical_text(description))
    file.attrs["format_version"] = np.int64(FORMAT_VERSION)
    file.attrs["table_checksum"] = np.uint64(compute_table_checksum(description, keys, checksums, images))


def _create_dataset(
    file: h5py.File, name: str, shape: tuple[int, ...], dtype: np.dtype, data: np.ndarray | None
) -> h5py.Dataset:
    # Space now and no fill values: HDF5 leaves a gap in the file, which costs the log no memory.
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    dataset = file.create_dataset(name, shape, dtype, data=data, dcpl=layout, track_times=False)
    dataset.attrs["about"] = np.bytes_(_ABOUT[name])
    if name in _AXES:
        dataset.attrs["axes"] = np.bytes_(_AXES[name])
    return dataset


def _as_fixed_length_text(text: str) -> np.ndarray:
    """Text of fixed length: HDF5 keeps text of variable length in a heap without checksums."""
    encoded = text.encode("utf-8")
    return np.array(encoded, dtype=h5py.string_dtype("utf-8", max(1, len(encoded))))
