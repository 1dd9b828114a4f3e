"""Where the pixels of a TIFF's pages lie, and how some rows of a page become a small TIFF.

In: a TIFF of any byte order, classic or BigTIFF. Out: its directories, and TIFFs of a few rows, with the strips or
tiles as they are. What a page's tags mean for its pixels, and decoding them, is left to Pillow.
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import IO

# Directories that are looked at.
MOST_PAGES = 1000
NEW_SUBFILE_TYPE, WIDTH, LENGTH, BITS_PER_SAMPLE, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
STRIP_OFFSETS, SAMPLES_PER_PIXEL, ROWS_PER_STRIP, STRIP_BYTE_COUNTS, PLANAR = 273, 277, 278, 279, 284
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_BYTE_COUNTS, SUB_DIRECTORIES, SUBSAMPLING = 322, 323, 324, 325, 330, 530
# What decides pixels, copied as it is: fill order, fax options, predictor, colour map, inks, extra samples, sample
# format, JPEG tables, YCbCr.
COPIED = (258, 259, 262, 266, 277, 284, 292, 293, 317, 320, 322, 323, 332, 334, 338, 339, 347, 529, 530, 531, 532)
RAW, YCBCR, SEPARATE = 1, 6, 2
# Those whose strips and tiles are decoded one by one: none, fax, LZW, JPEG, deflate, PackBits, LZMA, Zstandard, WebP.
SPLITTABLE = (RAW, 2, 3, 4, 5, 7, 8, 32773, 32946, 34925, 50000, 50001)
SHORT, LONG, LONG8 = 3, 4, 16
TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
UNSIGNED = {1: "B", SHORT: "H", LONG: "L", 13: "L", LONG8: "Q"}


@dataclass(frozen=True)
class Entry:
    """A tag's type, number of values, and their bytes in the file's order."""

    kind: int
    count: int
    content: bytes


@dataclass(frozen=True)
class Directory:
    """The tags of a page.

    Attributes
    ----------
    order
        Byte order, as `struct` writes it.
    entries
        By tag.
    """

    order: str
    entries: dict[int, Entry]

    def numbers(self, tag: int) -> tuple[int, ...]:
        """Unsigned values of a tag; none if it is missing or of another type."""
        entry = self.entries.get(tag)
        if entry is None or entry.kind not in UNSIGNED:
            return ()
        return struct.unpack(f"{self.order}{entry.count}{UNSIGNED[entry.kind]}", entry.content)

    def number(self, tag: int, default: int = 0) -> int:
        """The first unsigned value of a tag."""
        return next(iter(self.numbers(tag)), default)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as they are stored, which may lie on their side."""
        return self.number(WIDTH), self.number(LENGTH)

    @property
    def is_reduced(self) -> bool:
        """Whether the page says that it is a smaller copy, and no mask."""
        return self.number(NEW_SUBFILE_TYPE) & 0b101 == 1


def read_directories(file: IO[bytes]) -> list[Directory]:
    """Read the pages' directories in order; those behind a damaged one are left out."""
    form, start = _form_of(file)
    found: list[Directory] = []
    seen = {0}
    while start not in seen and len(found) < MOST_PAGES:
        seen.add(start)
        try:
            directory, start = form.read(file, start)
        except struct.error:
            break
        found.append(directory)
    return found


def read_sub_directories(file: IO[bytes], directory: Directory) -> list[Directory]:
    """Read the directories that a page refers to; damaged ones are left out."""
    form, _ = _form_of(file)
    found = []
    for start in directory.numbers(SUB_DIRECTORIES)[:MOST_PAGES]:
        try:
            found.append(form.read(file, start)[0])
        except struct.error:
            continue
    return found


@dataclass(frozen=True)
class _Form:
    """Byte order and widths of a file's numbers: classic TIFF has 32 bits, BigTIFF 64."""

    order: str
    count: struct.Struct
    entry: struct.Struct
    offset: struct.Struct

    def read(self, file: IO[bytes], start: int) -> tuple[Directory, int]:
        """Read a directory, and where the next one is."""
        entries: dict[int, Entry] = {}
        file.seek(start)
        (count,) = self.count.unpack(file.read(self.count.size))
        if count > 0xFFFF:
            raise struct.error("no directory")
        content = file.read(count * self.entry.size)
        (following,) = self.offset.unpack(file.read(self.offset.size))
        for tag, kind, number, value in self.entry.iter_unpack(content):
            size = number * TYPE_BYTES.get(kind, 0)
            if size > self.offset.size:
                file.seek(*self.offset.unpack(value))
                value = file.read(size)
            if 0 < size <= len(value):
                entries[tag] = Entry(kind, number, value[:size])
        return Directory(self.order, entries), following


def _form_of(file: IO[bytes]) -> tuple[_Form, int]:
    """The form of the numbers, and where the first directory is."""
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = 43 in head[2:4]
    names = ("Q", "HHQ8s", "Q") if big else ("H", "HHL4s", "L")
    form = _Form(order, *(struct.Struct(order + name) for name in names))
    return form, form.offset.unpack_from(head, 8 if big else 4)[0]


@dataclass(frozen=True)
class Layout:
    """The strips or tiles of a page; a strip is a tile as wide as the page.

    Attributes
    ----------
    size
        Width and height of the page.
    rows
        Rows of each segment, but for the last of a page.
    across
        Segments next to each other.
    planes
        1, or as many as samples where each has its own segments.
    starts, counts
        Where each segment's bytes are: plane by plane, from top to bottom, from left to right.
    """

    size: tuple[int, int]
    rows: int
    across: int
    planes: int
    starts: tuple[int, ...]
    counts: tuple[int, ...]

    @property
    def down(self) -> int:
        """Segments above each other."""
        return math.ceil(self.size[1] / self.rows)

    def band(self, first: int, last: int) -> list[tuple[int, int]]:
        """Start and number of bytes of the segments in rows of segments `first` to `last`, the latter not included."""
        per_plane = self.across * self.down
        span = range(first * self.across, last * self.across)
        places = [plane * per_plane + place for plane in range(self.planes) for place in span]
        return [(self.starts[place], self.counts[place]) for place in places]


def layout_of(directory: Directory, band_pixels: int) -> Layout | None:
    """Find a page's strips or tiles; None if they cannot be decoded one by one.

    Parameters
    ----------
    directory
        Of the page.
    band_pixels
        Strips that are not compressed and have more pixels are divided.
    """
    width, height = directory.size
    if not (width and height) or directory.number(COMPRESSION, RAW) not in SPLITTABLE:
        return None
    tiled = TILE_OFFSETS in directory.entries
    rows = directory.number(TILE_LENGTH) if tiled else min(directory.number(ROWS_PER_STRIP, height), height)
    segment_width = directory.number(TILE_WIDTH) if tiled else width
    if not (rows and segment_width):
        return None
    found = Layout(
        size=(width, height),
        rows=rows,
        across=math.ceil(width / segment_width),
        planes=directory.number(SAMPLES_PER_PIXEL, 1) if directory.number(PLANAR, 1) == SEPARATE else 1,
        starts=directory.numbers(TILE_OFFSETS if tiled else STRIP_OFFSETS),
        counts=directory.numbers(TILE_BYTE_COUNTS if tiled else STRIP_BYTE_COUNTS),
    )
    if len(found.starts) != found.planes * found.across * found.down or len(found.counts) != len(found.starts):
        return None
    return found if tiled else _divided(found, directory, band_pixels)


def _divided(layout: Layout, directory: Directory, band_pixels: int) -> Layout:
    """Divide tall strips, where their bytes are rows one after another: many programs write a page as one strip."""
    width, height = layout.size
    wanted = max(1, band_pixels // width)
    subsampled = directory.number(PHOTOMETRIC) == YCBCR and directory.numbers(SUBSAMPLING) != (1, 1)
    if layout.rows <= wanted or subsampled or directory.number(COMPRESSION, RAW) != RAW:
        return layout
    rows = wanted
    while layout.down > 1 and layout.rows % rows:  # every strip has a whole number of the new ones
        rows -= 1
    bits = directory.numbers(BITS_PER_SAMPLE) or (1,)
    samples = directory.number(SAMPLES_PER_PIXEL, 1)
    row_bits = width * (bits[0] if layout.planes > 1 else sum(bits) if len(bits) == samples else bits[0] * samples)
    row_bytes = math.ceil(row_bits / 8)
    starts, counts = [], []
    for place, start in enumerate(layout.starts):
        strip_rows = min(layout.rows, height - place % layout.down * layout.rows)
        for row in range(0, strip_rows, rows):
            starts.append(start + row * row_bytes)
            counts.append(min(rows, strip_rows - row) * row_bytes)
    return replace(layout, rows=rows, starts=tuple(starts), counts=tuple(counts))


def cut_bands(file: IO[bytes], directory: Directory, layout: Layout, band_pixels: int) -> Iterator[bytes]:
    """Cut a page into TIFFs of whole strips or rows of tiles, from top to bottom.

    Parameters
    ----------
    file, directory, layout
        The page.
    band_pixels
        Pixels of each TIFF at most, where one row of tiles has no more.

    Raises
    ------
    OSError
        If the file ends before a segment does.
    """
    width, height = layout.size
    together = max(1, band_pixels // (width * layout.rows))
    for first in range(0, layout.down, together):
        last = min(first + together, layout.down)
        rows = min(height, last * layout.rows) - first * layout.rows
        segments = [_read_segment(file, *place) for place in layout.band(first, last)]
        yield _encode(directory, rows, layout.rows, segments)


def _read_segment(file: IO[bytes], start: int, size: int) -> bytes:
    file.seek(start)
    content = file.read(size)
    if len(content) < size:
        raise OSError(f"the image is truncated: {len(content)} of {size} bytes at {start}")
    return content


def _encode(directory: Directory, rows: int, segment_rows: int, segments: list[bytes]) -> bytes:
    """Write a TIFF of one page of so many rows."""
    tiled = TILE_OFFSETS in directory.entries
    entries = {tag: _narrowed(directory, tag) for tag in COPIED if tag in directory.entries}
    numbers = {WIDTH: [directory.number(WIDTH)], LENGTH: [rows]}
    if not tiled:
        numbers[ROWS_PER_STRIP] = [segment_rows]
    numbers[TILE_BYTE_COUNTS if tiled else STRIP_BYTE_COUNTS] = [len(segment) for segment in segments]
    offsets_tag = TILE_OFFSETS if tiled else STRIP_OFFSETS
    numbers[offsets_tag] = [0] * len(segments)
    entries |= {tag: _longs(directory.order, values) for tag, values in numbers.items()}
    start = 8 + 2 + 12 * len(entries) + 4 + sum(len(e.content) for e in entries.values() if len(e.content) > 4)
    starts = []
    for segment in segments:
        starts.append(start)
        start += len(segment)
    entries[offsets_tag] = _longs(directory.order, starts)
    return b"".join([_head(directory.order, entries), *segments])


def _head(order: str, entries: dict[int, Entry]) -> bytes:
    """Header and directory of a classic TIFF, with the values of its tags."""
    head = struct.pack(f"{order}2sHL", b"II" if order == "<" else b"MM", 42, 8)
    head += struct.pack(f"{order}H", len(entries))
    behind, start = b"", 8 + 2 + 12 * len(entries) + 4
    for tag, entry in sorted(entries.items()):
        value = entry.content
        if len(value) > 4:
            value = struct.pack(f"{order}L", start + len(behind))
            behind += entry.content
        head += struct.pack(f"{order}HHL4s", tag, entry.kind, entry.count, value)
    return head + bytes(4) + behind


def _narrowed(directory: Directory, tag: int) -> Entry:
    """An entry without the types that BigTIFF alone has."""
    entry = directory.entries[tag]
    return _longs(directory.order, directory.numbers(tag)) if entry.kind == LONG8 else entry


def _longs(order: str, values: list[int] | tuple[int, ...]) -> Entry:
    return Entry(LONG, len(values), struct.pack(f"{order}{len(values)}L", *values))
