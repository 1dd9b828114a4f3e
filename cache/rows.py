"""Read rows of a feature file from the disk and compare each with its checksum.

In: a file's tables and row numbers. Out: features, or the numbers of the rows that changed. Blocks bound the memory.
"""

import io
from collections.abc import Callable, Iterator

import numpy as np

from cache.errors import MIB, DamagedFileError, explained
from cache.shard import FEATURE_DTYPE, NOT_IN_ONE_PIECE, Tables, row_checksum

_BLOCK_BYTES = 64 * MIB


def rows_per_block(row_bytes: int) -> int:
    """How many rows make a block of 64 MiB at most."""
    return max(1, _BLOCK_BYTES // row_bytes)


def read_rows(file: Tables, rows: np.ndarray, block: np.ndarray, places: np.ndarray) -> None:
    """Read rows into `block[places]`, each checked.

    Parameters
    ----------
    file
        The tables of a contiguous feature file.
    rows
        Row numbers, shape (m,).
    block
        Where to, shape (k, views, tokens, channels), float16, C-contiguous.
    places
        Positions in `block`, shape (m,).

    Raises
    ------
    DamagedFileError
        At the first row that does not match its checksum.
    """
    start = _start(file)
    with explained(file.path), file.path.open("rb", buffering=0) as raw:
        for row, place in zip(rows.tolist(), places.tolist(), strict=True):
            raw.seek(start + row * file.row_bytes)
            _read_fully(raw, memoryview(block[place]).cast("B"))
            if row_checksum(file.keys[row], block[place]) != file.checksums[row]:
                raise DamagedFileError(file.path, f"row {row} does not match its checksum")


def blocks_of(file: Tables, rows: np.ndarray) -> Iterator[np.ndarray]:
    """The features of these rows in this order, as checked arrays (m, views, tokens, channels) of a block each."""
    step = rows_per_block(file.row_bytes)
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        block = np.empty((len(part), *file.shape), FEATURE_DTYPE)
        read_rows(file, part, block, np.arange(len(part)))
        yield block


def damaged_rows(file: Tables, on_rows: Callable[[int], None] = lambda count: None) -> list[int]:
    """Read a file from front to back and list the rows that do not match their checksum.

    Parameters
    ----------
    file
        The tables of a contiguous feature file.
    on_rows
        Called with the number of rows that were read since the last call.
    """
    damaged: list[int] = []
    step = rows_per_block(file.row_bytes)
    with explained(file.path), file.path.open("rb", buffering=0) as raw:
        raw.seek(_start(file))
        for start in range(0, len(file.keys), step):
            block = np.zeros((min(step, len(file.keys) - start), *file.shape), FEATURE_DTYPE)
            _read_fully(raw, memoryview(block).cast("B"))
            for row, features in enumerate(block, start):
                if row_checksum(file.keys[row], features) != file.checksums[row]:
                    damaged.append(row)
            on_rows(len(block))
    return damaged


def _start(file: Tables) -> int:
    if file.offset is None:
        raise DamagedFileError(file.path, NOT_IN_ONE_PIECE)
    return file.offset


def _read_fully(file: io.FileIO, target: memoryview) -> None:
    """Fill `target`; at the end of a file that is too short the rest stays as it was, for the checksum to find."""
    while len(target) and (count := file.readinto(target)):
        target = target[count:]
