"""Read rows of a feature file from the disk and compare each with its checksum.

In: a file's tables and row numbers. Out: features, or the numbers of the damaged rows. Blocks of 64 MiB bound the
memory.
"""

import io
from collections.abc import Callable, Iterator

import numpy as np

from cache.checksums import FEATURE_DTYPE, compute_row_checksum
from cache.errors import MIB, DamagedFileError, as_cache_error
from cache.tables import Tables

_BLOCK_BYTES = 64 * MIB


def ignore_progress(count: int) -> None:
    """Accept a number of rows that have been read, and do nothing."""


def count_block_rows(row_bytes: int) -> int:
    """Compute how many rows of `row_bytes` fill a block of 64 MiB at most."""
    return max(1, _BLOCK_BYTES // row_bytes)


def read_rows(file: Tables, rows: np.ndarray, block: np.ndarray, places: np.ndarray) -> None:
    """Read rows into `block[places]` and check each.

    Parameters
    ----------
    file
        The tables of a feature file.
    rows
        Row numbers, shape (m,).
    block
        Receives the rows, shape (k, views, tokens, channels), float16, C-contiguous.
    places
        Positions in `block`, shape (m,).

    Raises
    ------
    DamagedFileError
        At the first row that does not match its checksum.
    CacheError
        If the file cannot be read.
    """
    with as_cache_error(file.path), file.path.open("rb", buffering=0) as raw:
        for row, place in zip(rows.tolist(), places.tolist(), strict=True):
            raw.seek(file.offset + row * file.row_bytes)
            _fill(raw, block[place].data.cast("B"))
            if compute_row_checksum(file.keys[row], block[place]) != file.checksums[row]:
                raise DamagedFileError(file.path, f"{file.name_row(row)} does not match its checksum")


def read_blocks(file: Tables, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Read rows in the given order, checked, one block at a time.

    Parameters
    ----------
    file
        The tables of a feature file.
    rows
        Row numbers, shape (m,).

    Yields
    ------
    numpy.ndarray
        Shape (k, views, tokens, channels), float16, of 64 MiB at most.

    Raises
    ------
    CacheError
        As `read_rows` does.
    """
    step = count_block_rows(file.row_bytes)
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        block = np.empty((len(part), *file.shape), FEATURE_DTYPE)
        read_rows(file, part, block, np.arange(len(part)))
        yield block


def find_damaged_rows(file: Tables, advance: Callable[[int], None] = ignore_progress) -> list[int]:
    """Read a file from beginning to end and list the rows that do not match their checksum.

    Parameters
    ----------
    file
        The tables of a feature file.
    advance
        Called with the number of rows read since the last call.

    Returns
    -------
    list of int
        Row numbers, ascending.

    Raises
    ------
    CacheError
        If the file cannot be read.
    """
    damaged: list[int] = []
    step = count_block_rows(file.row_bytes)
    with as_cache_error(file.path), file.path.open("rb", buffering=0) as raw:
        raw.seek(file.offset)
        for start in range(0, len(file.keys), step):
            block = np.zeros((min(step, len(file.keys) - start), *file.shape), FEATURE_DTYPE)
            _fill(raw, block.data.cast("B"))
            for row, features in enumerate(block, start):
                if compute_row_checksum(file.keys[row], features) != file.checksums[row]:
                    damaged.append(row)
            advance(len(block))
    return damaged


def _fill(file: io.FileIO, target: memoryview) -> None:
    """Fill `target`. If the file is too short, the rest is unchanged and the checksum detects it."""
    while len(target) and (count := file.readinto(target)):
        target = target[count:]
