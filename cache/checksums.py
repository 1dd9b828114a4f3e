"""Checksums of rows and tables: XXH3-64, as a feature file holds them.

In: keys, features and tables as arrays. Out: 64-bit numbers. Where they are stored is left to the layout.
"""

import numpy as np
import xxhash

from cache.keys import KEY_DTYPE

FEATURE_DTYPE = np.dtype("<f2")
CHECKSUM_DTYPE = np.dtype("<u8")
Shape = tuple[int, int, int]
_SCRATCH_BYTES = 2**18  # stays in the processor's cache
_LARGE_ROW_BYTES = 2**14  # from this size on, computing a checksum takes longer than the call itself


def compute_row_checksum(key: bytes, row: np.ndarray) -> int:
    """Compute the XXH3-64 of a key followed by its C-contiguous features: a change in either is detected.

    >>> compute_row_checksum(b"0" * 64, np.zeros(4, FEATURE_DTYPE)) == xxhash.xxh3_64_intdigest(b"0" * 64 + bytes(8))
    True
    """
    digest = xxhash.xxh3_64(key)
    digest.update(row.data)
    return digest.intdigest()


def compute_row_checksums(keys: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Compute the checksums of n rows; several times as fast as one call each if the rows are small.

    Parameters
    ----------
    keys
        Shape (n,), dtype S64.
    features
        Shape (n, views, tokens, channels), float16.

    Returns
    -------
    numpy.ndarray
        Shape (n,), uint64.
    """
    if features[:1].nbytes >= _LARGE_ROW_BYTES:
        pairs = zip(keys, features, strict=True)
        return np.array([compute_row_checksum(key, row) for key, row in pairs], CHECKSUM_DTYPE)
    # A record holds a key and its features contiguously, so that one call covers both.
    record = np.dtype([("key", KEY_DTYPE), ("features", FEATURE_DTYPE, features.shape[1:])])
    size = record.itemsize
    records = np.empty(max(1, _SCRATCH_BYTES // size), record)
    raw = records.view(np.uint8).data
    digests: list[int] = []
    for start in range(0, len(keys), len(records)):
        part = slice(start, start + len(records))
        count = len(keys[part])
        records["key"][:count], records["features"][:count] = keys[part], features[part]
        digests += [xxhash.xxh3_64_intdigest(raw[at : at + size]) for at in range(0, count * size, size)]
    return np.array(digests, CHECKSUM_DTYPE)


def hash_rows(keys: list[bytes], features: np.ndarray) -> list[int]:
    """Compute the checksums of rows that were just read and are in the processor's cache; copies nothing.

    Parameters
    ----------
    keys
        n keys.
    features
        Shape (n, views, tokens, channels), float16, C-contiguous.
    """
    raw, start = features.data.cast("B"), xxhash.xxh3_64
    size = len(raw) // len(keys)
    digests = []
    for key, at in zip(keys, range(0, len(raw), size), strict=True):
        digest = start(key)
        digest.update(raw[at : at + size])
        digests.append(digest.intdigest())
    return digests


def compute_table_checksum(description: str, *tables: np.ndarray | None) -> int:
    """Compute the XXH3-64 of a file's description followed by its tables' bytes; None stands for no table."""
    digest = xxhash.xxh3_64(description.encode())
    for table in tables:
        if table is not None:
            digest.update(np.ascontiguousarray(table).view(np.uint8).data)
    return digest.intdigest()
