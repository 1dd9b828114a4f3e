"""Read the structure of a feature file: where its datasets lie, and its attributes. Only `cache.layout`'s own is read.

In: an open file of any content. Out: a `Structure`, whose regions lie inside the file, or a `LayoutError` that names
what is not the own layout. The HDF5 library, which follows links and external files and can crash on a damaged file, is
not used. What the datasets hold is left to `cache.tables`.

The format is HDF5's (The HDF Group: HDF5 File Format Specification 3.0): a superblock, and object headers of version 2.
A header is one or more chunks, each with a checksum; a chunk is a list of messages.
"""

import itertools
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import BinaryIO

import numpy as np

from cache.checksums import CHECKSUM_DTYPE, FEATURE_DTYPE
from cache.keys import KEY_DTYPE

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SUPERBLOCK_BYTES = 48
_UNDEFINED = 2**64 - 1
_LONGEST_HEADER_BYTES = 2**20
_LONGEST_NAME_BYTES = 64 * 1024  # of an image
# Message types of an object header.
_NIL, _DATASPACE, _LINK_INFO, _DATATYPE, _FILL_VALUE, _LINK, _EXTERNAL_FILES = 0x00, 0x01, 0x02, 0x03, 0x05, 0x06, 0x07
_LAYOUT, _GROUP_INFO, _FILTERS, _ATTRIBUTE, _CONTINUATION, _ATTRIBUTE_INFO = 0x08, 0x0A, 0x0B, 0x0C, 0x10, 0x15
_REFERENCE_COUNT = 0x16
_LENGTH_WIDTH, _TIMES = 0x03, 0x20  # flags of an object header
_KNOWN = {
    _NIL, _DATASPACE, _LINK_INFO, _DATATYPE, _FILL_VALUE, _LINK, _LAYOUT, _GROUP_INFO, _ATTRIBUTE, _CONTINUATION,
    _ATTRIBUTE_INFO,
}  # fmt: skip
_LAYOUT_CLASSES = {0: "compact", 2: "chunked", 3: "virtual"}
_CONTIGUOUS = 1
_LINK_TYPES = {0: "a hard link", 1: "a soft link", 64: "an external link"}
# As HDF5 encodes the types of our datasets: little-endian float16 and uint64, padded text of 64 ASCII bytes.
_FLOAT16 = bytes.fromhex("11200f0002000000000010000a05000a0f000000")
_UINT64 = bytes.fromhex("100000000800000000004000")
_KEY = bytes.fromhex("1301000040000000")
_UTF8_START = bytes.fromhex("13110000")
_TYPES: dict[str, tuple[str, bytes, np.dtype]] = {
    "features": ("float16", _FLOAT16, FEATURE_DTYPE),
    "checksum": ("uint64", _UINT64, CHECKSUM_DTYPE),
    "key": ("text of 64 bytes", _KEY, KEY_DTYPE),
}
_REQUIRED = ("features", "key", "checksum")


class LayoutError(ValueError):
    """The file is not one that this package writes. The message is one line without the file's name."""


@dataclass(frozen=True)
class Region:
    """Where a dataset lies.

    Attributes
    ----------
    offset
        Its first byte in the file.
    shape
        Its shape.
    dtype
        Of its values.
    """

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def size_bytes(self) -> int:
        """Its length in bytes."""
        return prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class Structure:
    """The datasets and the attributes of a feature file.

    Attributes
    ----------
    features, key, checksum, image
        The datasets; no `image` in a shard.
    fingerprint, description, format_version, table_checksum
        The attributes.
    """

    features: Region
    key: Region
    checksum: Region
    image: Region | None
    fingerprint: bytes
    description: bytes
    format_version: int
    table_checksum: int


def read_structure(raw: BinaryIO) -> Structure:
    """Read the structure of a feature file. Reads some kilobytes, whatever the file claims to hold.

    Raises
    ------
    LayoutError
        If the file is not one that this package writes.
    OSError
        If it cannot be read.
    """
    try:
        return _Reader(raw).read()
    except (struct.error, IndexError, OverflowError, UnicodeDecodeError) as error:
        raise LayoutError("its HDF5 structure is cut short") from error


class _Reader:
    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._size = os.fstat(raw.fileno()).st_size
        self._taken = [(0, _SUPERBLOCK_BYTES, "the superblock")]

    def read(self) -> Structure:
        links, attributes = self._read_root(self._read_superblock())
        if missing := [name for name in _REQUIRED if name not in links]:
            raise LayoutError(f"the dataset {missing[0]!r} is missing")
        if extra := sorted(links.keys() - {*_REQUIRED, "image"}):
            raise LayoutError(f"it holds {extra[0]!r}, which is not in the layout of this package")
        regions = {name: self._read_dataset(name, address) for name, address in sorted(links.items())}
        self._refuse_overlaps()
        return Structure(
            **{name: regions[name] for name in _REQUIRED},
            image=regions.get("image"),
            fingerprint=_read_text(attributes, "fingerprint"),
            description=_read_text(attributes, "description"),
            format_version=_read_number(attributes, "format_version"),
            table_checksum=_read_number(attributes, "table_checksum"),
        )

    def _read_superblock(self) -> int:
        """Check the superblock; return the address of the root group's header."""
        block = self._read_at(0, _SUPERBLOCK_BYTES)
        if block[:8] != _SIGNATURE:
            raise LayoutError("it is not an HDF5 file")
        if block[8] not in (2, 3):
            raise LayoutError(f"another program has written it (HDF5 superblock version {block[8]})")
        if hash_lookup3(block[:-4]) != int.from_bytes(block[-4:], "little"):
            raise LayoutError("the HDF5 superblock does not match its checksum")
        base, extension, end, root = struct.unpack_from("<4Q", block, 12)
        if block[9:11] != b"\x08\x08" or base != 0 or extension != _UNDEFINED:
            raise LayoutError("another program has written it (HDF5 superblock with other settings)")
        if end > self._size:
            raise LayoutError(f"it is cut short: {self._size:,} of {end:,} bytes")
        return int(root)

    def _read_root(self, address: int) -> tuple[dict[str, int], dict[str, bytes]]:
        """Read the root group: the address of each dataset, and the attributes."""
        links: dict[str, int] = {}
        attributes: dict[str, bytes] = {}
        for kind, message in self._read_messages("the root group", address):
            if kind == _LINK:
                name, target = _parse_link(message)
                links[name] = target
            elif kind == _ATTRIBUTE:
                name, content = _parse_attribute(message)
                attributes[name] = content
            elif kind in (_LINK_INFO, _ATTRIBUTE_INFO):
                _require_compact(message)
        return links, attributes

    def _read_dataset(self, name: str, address: int) -> Region:
        needed = (_DATASPACE, _DATATYPE, _LAYOUT)
        found = [(kind, message) for kind, message in self._read_messages(name, address) if kind in needed]
        messages = dict(found)
        if len(found) != len(needed) or len(messages) != len(needed):
            raise LayoutError(f"{name!r} is not a dataset")
        shape, dtype = _parse_shape(name, messages[_DATASPACE]), _parse_dtype(name, messages[_DATATYPE])
        region = Region(_parse_offset(name, messages[_LAYOUT]), shape, dtype)
        if int.from_bytes(messages[_LAYOUT][10:18], "little") != region.size_bytes:
            raise LayoutError(f"the storage of {name!r} is not as large as its shape {shape}")
        self._take(region.offset, region.size_bytes, repr(name))
        return region

    def _read_messages(self, name: str, address: int) -> Iterator[tuple[int, bytes]]:
        """Read the messages of an object header: type and content."""
        start = self._read_at(address, 32)
        if start[:4] != b"OHDR":
            raise LayoutError(self._explain_old_header(name, address, start))
        flags = start[5]
        if start[4] != 2 or flags & ~(_LENGTH_WIDTH | _TIMES):
            raise LayoutError(f"the header of {name!r} is not one that this package writes")
        width, before = 1 << (flags & _LENGTH_WIDTH), 22 if flags & _TIMES else 6
        length = int.from_bytes(start[before : before + width], "little")
        chunks, read_bytes = [(address, before + width, before + width + length + 4)], 0
        while chunks:
            begin, skip, size = chunks.pop(0)
            read_bytes += size
            if read_bytes > _LONGEST_HEADER_BYTES:
                raise LayoutError(f"the header of {name!r} is longer than any that this package writes")
            for kind, message in self._read_chunk(name, begin, skip, size):
                if kind == _CONTINUATION:
                    where, size = struct.unpack_from("<2Q", message)
                    chunks.append((where, 4, size))
                yield kind, message
        if flags & _TIMES:
            raise LayoutError(f"another program has written {name!r} (with times)")

    def _read_chunk(self, name: str, begin: int, skip: int, size: int) -> Iterator[tuple[int, bytes]]:
        content = self._read_at(begin, size)
        self._take(begin, size, f"the header of {name!r}")
        if skip == 4 and content[:4] != b"OCHK":
            raise LayoutError(f"the header of {name!r} is incomplete")
        if hash_lookup3(content[:-4]) != int.from_bytes(content[-4:], "little"):
            raise LayoutError(f"the header of {name!r} does not match its checksum")
        position, end = skip, size - 4
        while position + 4 <= end:
            kind, length, flags = struct.unpack_from("<BHB", content, position)
            position += 4
            _check_message(name, kind, flags, content[position : position + length])
            if position + length > end:
                raise LayoutError(f"the header of {name!r} is incomplete")
            yield kind, content[position : position + length]
            position += length

    def _explain_old_header(self, name: str, address: int, start: bytes) -> str:
        """Name what another program has made of a dataset, if its header (version 1) tells."""
        if start[0] != 1:
            return f"there is no HDF5 object where {name!r} should be"
        size = min(int.from_bytes(start[8:12], "little"), 4096, self._size - address - 16)
        content, position = self._read_at(address + 16, max(0, size)), 0
        while position + 8 <= len(content):
            kind, length = struct.unpack_from("<HH", content, position)
            _check_message(
                name, kind & 0xFF, content[position + 4], content[position + 8 : position + 8 + length], True
            )
            position += 8 + length
        return f"another program has written {name!r} (HDF5 object header version 1)"

    def _read_at(self, offset: int, size: int) -> bytes:
        if offset + size > self._size or size > _LONGEST_HEADER_BYTES:
            raise LayoutError("its HDF5 structure points outside the file")
        self._raw.seek(offset)
        content = self._raw.read(size)
        if len(content) < size:
            raise LayoutError("its HDF5 structure is cut short")
        return content

    def _take(self, offset: int, size: int, owner: str) -> None:
        if offset + size > self._size:
            raise LayoutError(f"{owner} lies outside the file: up to byte {offset + size:,} of {self._size:,}")
        self._taken.append((offset, offset + size, owner))

    def _refuse_overlaps(self) -> None:
        """Refuse two things in one place."""
        taken = sorted(self._taken)
        for (_, end, one), (start, _, other) in itertools.pairwise(taken):
            if start < end:
                raise LayoutError(f"{one} and {other} overlap")


def _check_message(name: str, kind: int, flags: int, message: bytes, old: bool = False) -> None:
    """Refuse, by name, what only another program puts into a header."""
    if kind == _EXTERNAL_FILES:
        raise LayoutError(f"{name!r} is in external files, which are never opened")
    if kind == _FILTERS:
        raise LayoutError(f"{name!r} is compressed or filtered; this package writes it as it is")
    if kind == _LAYOUT and message[:2] != bytes([3, _CONTIGUOUS]):
        layout = _LAYOUT_CLASSES.get(message[1], "unknown") if message[0] in (3, 4, 5) else "old"
        raise LayoutError(f"{name!r} has the layout {layout!r}, not the contiguous one that this package writes")
    if kind == _DATATYPE and flags & 2:
        raise LayoutError(f"the type of {name!r} is a committed datatype, not its own")
    if kind == _REFERENCE_COUNT:
        raise LayoutError(f"{name!r} has a second name")
    if not old and (kind not in _KNOWN or flags & 2):
        raise LayoutError(f"the header of {name!r} holds what this package does not write (message {kind:#x})")


def _parse_link(message: bytes) -> tuple[str, int]:
    version, flags = message[0], message[1]
    position = 2
    link_type = 0
    if flags & 0x08:
        link_type, position = message[position], position + 1
    position += 8 * bool(flags & 0x04) + bool(flags & 0x10)
    width = 1 << (flags & 3)
    length = int.from_bytes(message[position : position + width], "little")
    position += width
    name = message[position : position + length].decode("utf-8")
    if version != 1 or link_type != 0:
        raise LayoutError(f"{name!r} is {_LINK_TYPES.get(link_type, 'a link of another kind')}, which is not followed")
    return name, int(struct.unpack_from("<Q", message, position + length)[0])


def _parse_attribute(message: bytes) -> tuple[str, bytes]:
    """Return the name, and the type and value of an attribute of any shape."""
    version, flags, name_bytes, type_bytes, space_bytes = struct.unpack_from("<BBHHH", message)
    if version != 3 or flags:
        raise LayoutError("an attribute is not one that this package writes")
    name = message[9 : 9 + name_bytes].rstrip(b"\0").decode("utf-8")
    start = 9 + name_bytes
    datatype, space = message[start : start + type_bytes], message[start + type_bytes :][:space_bytes]
    scalar = len(space) == 4 and space[1] == 0
    return name, datatype[:8] + message[start + type_bytes + space_bytes :] if scalar else b""


def _read_text(attributes: dict[str, bytes], name: str) -> bytes:
    content = _get_attribute(attributes, name)
    size = int.from_bytes(content[4:8], "little")
    if content[0] != 0x13 or len(content) < 8 + size:
        raise LayoutError(f"the attribute {name!r} is not text of fixed length")
    return content[8 : 8 + size].rstrip(b"\0")


def _read_number(attributes: dict[str, bytes], name: str) -> int:
    content = _get_attribute(attributes, name)
    if content[0] != 0x10 or content[4:8] != b"\x08\0\0\0" or content[1] & ~0x08 or len(content) < 16:
        raise LayoutError(f"the attribute {name!r} is not a number of 64 bits")
    return int.from_bytes(content[8:16], "little", signed=bool(content[1]))


def _get_attribute(attributes: dict[str, bytes], name: str) -> bytes:
    content = attributes.get(name, b"")
    if len(content) < 8:
        raise LayoutError(f"the attribute {name!r} is missing")
    return content


def _require_compact(message: bytes) -> None:
    """Links and attributes are in the header itself: the heap of an information message is undefined."""
    if message[1] & ~0x03 or not message.endswith(b"\xff" * 16):
        raise LayoutError("its links or attributes are in a heap, which this package does not write")


def _parse_shape(name: str, message: bytes) -> tuple[int, ...]:
    version, rank, flags, kind = message[:4]
    if (version, kind) != (2, 1) or flags & ~1:
        raise LayoutError(f"the shape of {name!r} is not one that this package writes")
    shape: tuple[int, ...] = struct.unpack_from(f"<{rank}Q", message, 4)
    if flags and struct.unpack_from(f"<{rank}Q", message, 4 + 8 * rank) != shape:
        raise LayoutError(f"{name!r} can be extended, which this package does not write")
    if rank != (4 if name == "features" else 1) or 0 in shape:
        expected = "(n, views, tokens, channels)" if name == "features" else "(n,)"
        raise LayoutError(f"{name} of shape {shape}, not {expected}")
    return shape


def _parse_dtype(name: str, message: bytes) -> np.dtype:
    if name == "image":
        size = int.from_bytes(message[4:8], "little")
        if len(message) != 8 or message[:4] != _UTF8_START or not 0 < size <= _LONGEST_NAME_BYTES:
            raise LayoutError(f"{name!r} is not UTF-8 text of fixed length")
        return np.dtype(f"S{size}")
    title, expected, dtype = _TYPES[name]
    if message != expected:
        raise LayoutError(f"{name!r} is not little-endian {title}")
    return dtype


def _parse_offset(name: str, message: bytes) -> int:
    offset = int.from_bytes(message[2:10], "little")
    if offset == _UNDEFINED:
        raise LayoutError(f"{name!r} has no storage")
    return offset


def hash_lookup3(content: bytes) -> int:
    """Compute HDF5's checksum of its own structure: Bob Jenkins' lookup3 (hashlittle, start value 0).

    >>> hex(hash_lookup3(b"Four score and seven years ago"))
    '0x17770551'
    """
    a = b = c = (0xDEADBEEF + len(content)) & 0xFFFFFFFF
    if not content:
        return c
    padded = content + bytes(-len(content) % 12)
    words = struct.unpack(f"<{len(padded) // 4}I", padded)
    for at in range(0, len(words) - 3, 3):
        a, b, c = _mix(a + words[at], b + words[at + 1], c + words[at + 2])
    return _mix_last(a + words[-3], b + words[-2], c + words[-1])


def _rotate(value: int, bits: int) -> int:
    value &= 0xFFFFFFFF
    return (value << bits | value >> (32 - bits)) & 0xFFFFFFFF


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    for bits in (4, 6, 8, 16, 19, 4):
        a = (a - c) ^ _rotate(c, bits)
        a, b, c = b & 0xFFFFFFFF, (c + b) & 0xFFFFFFFF, a & 0xFFFFFFFF
    return a, b, c


def _mix_last(a: int, b: int, c: int) -> int:
    for bits in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - _rotate(b, bits)) & 0xFFFFFFFF
        a, b, c = b, c, a
    return b
