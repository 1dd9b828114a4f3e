"""Read everything in a feature file but its features, checked: keys, checksums, image names, settings.

In: a file's path. Out: its `Tables`, read or memory-mapped, or a `DamagedFileError`. Reading and checking the features
is left to `cache.row_reader` and `cache.reader`.
"""

import errno
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import xxhash

from cache.checksums import Shape
from cache.errors import MIB, CacheError, DamagedFileError, describe_os_error
from cache.fingerprint import FORMAT_VERSION, digest_canonical_text
from cache.layout import count_row_bytes
from cache.structure import LayoutError, Region, Structure, read_structure

_FIRST_DIGITS = {digit.encode() for digit in "0123456789abcdef"}


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
        Where the features begin in the file, in bytes.
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
    offset: int
    features: np.memmap | None
    table_checksum: int

    @property
    def row_bytes(self) -> int:
        """Size of one row's features in bytes."""
        return count_row_bytes(self.shape)

    def name_row(self, row: int) -> str:
        """Name a row in a message: its number, and its image if the file holds names."""
        return f"row {row}" if self.images is None else f"row {row} ({self.images[row].decode('utf-8', 'replace')})"


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
        if path.exists() and not path.is_file():  # opening a pipe would wait for its writer
            raise LayoutError("it is not a regular file")
        with path.open("rb") as raw:
            return _read_open_file(raw, path, mapped)
    except LayoutError as error:
        raise DamagedFileError(path, str(error)) from error
    except OSError as error:
        raise CacheError(describe_os_error(error, path)) from error


def _read_open_file(raw: BinaryIO, path: Path, mapped: bool) -> Tables:
    # One open file for everything: another process may replace the file of this name at any moment.
    structure = read_structure(raw)
    if structure.format_version != FORMAT_VERSION:
        raise LayoutError(f"format version {structure.format_version}, this program reads {FORMAT_VERSION}")
    _, views, tokens, channels = structure.features.shape
    _check_content(raw, structure)
    load = _map_or_read if mapped else _read
    tables = Tables(
        path=path,
        fingerprint=structure.fingerprint.decode("ascii"),
        description=structure.description.decode("utf-8"),
        shape=(views, tokens, channels),
        keys=load(raw, structure.key),
        checksums=load(raw, structure.checksum),
        images=None if structure.image is None else load(raw, structure.image),
        offset=structure.features.offset,
        features=_map(raw, structure.features) if mapped else None,
        table_checksum=structure.table_checksum,
    )
    if tables.images is not None and np.any(tables.keys[1:] <= tables.keys[:-1]):
        raise LayoutError("its keys do not ascend")
    return tables


def _check_content(raw: BinaryIO, structure: Structure) -> None:
    """Refuse settings and tables that contradict each other or their checksum, before memory is taken for them."""
    _check_description(structure)
    rows = structure.features.shape[0]
    tables = {"keys": structure.key, "checksums": structure.checksum, "images": structure.image}
    for name, table in tables.items():
        if table is not None and table.shape != (rows,):
            raise LayoutError(f"features of shape {structure.features.shape} for {table.shape[0]} {name}")
    digest = xxhash.xxh3_64(structure.description)
    for table in tables.values():
        for block in _read_blocks(raw, table) if table is not None else ():
            # A sparse file of any size is refused by its first key, a hole.
            if table is structure.key and block[:1] not in _FIRST_DIGITS:
                raise LayoutError("its keys are not keys")
            digest.update(block)
    if digest.intdigest() != structure.table_checksum:
        raise LayoutError("its tables do not match their checksum")


def _check_description(structure: Structure) -> None:
    try:
        text, fingerprint = structure.description.decode("utf-8"), structure.fingerprint.decode("ascii")
        is_mapping = isinstance(json.loads(text), dict)
    except (ValueError, RecursionError) as error:
        raise LayoutError("its description cannot be read") from error
    if digest_canonical_text(text) != fingerprint:
        raise LayoutError("its fingerprint is not that of its description")
    if not is_mapping:
        raise LayoutError("its description is not a mapping")


def _read_blocks(raw: BinaryIO, region: Region) -> Iterator[bytes]:
    raw.seek(region.offset)
    for start in range(0, region.size_bytes, MIB):
        yield raw.read(min(MIB, region.size_bytes - start))


def _read(raw: BinaryIO, region: Region) -> np.ndarray:
    raw.seek(region.offset)
    return np.frombuffer(raw.read(region.size_bytes), region.dtype)


def _map(raw: BinaryIO, region: Region) -> np.memmap | None:
    """Map a dataset; None if the address space of this process is limited (`ulimit -v`)."""
    try:
        return np.memmap(raw, region.dtype, mode="r", offset=region.offset, shape=region.shape)
    except OSError as error:
        if error.errno == errno.ENOMEM:
            return None
        raise


def _map_or_read(raw: BinaryIO, region: Region) -> np.ndarray:
    mapped = _map(raw, region)
    return _read(raw, region) if mapped is None else mapped
