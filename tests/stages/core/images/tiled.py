"""Write TIFFs of tiles, which Pillow reads and does not write: any byte order, classic or BigTIFF."""

import struct
from collections.abc import Callable

import numpy as np

SHORT, LONG, LONG8 = 3, 4, 16


def tiled_tiff(
    pages: list[np.ndarray],
    *,
    tile: tuple[int, int] = (32, 16),
    compress: Callable[[np.ndarray], bytes] = np.ndarray.tobytes,
    order: str = "<",
    big: bool = False,
    nested: bool = False,
    **tags: int,
) -> bytes:
    """A pyramid of pages, `(height, width, samples)` or `(samples, height, width)` with `t284=2`.

    Parameters
    ----------
    pages
        The first is the picture; the others are marked as reduced.
    tile
        Width and height.
    compress
        What becomes of a tile, `(height, width, samples)`.
    order, big
        Byte order as `struct` writes it; BigTIFF.
    nested
        Whether the reduced pages are sub-directories of the first.
    tags
        Further tags, `t259=8`.
    """
    count, entry, offset, kind = ("Q", "HHQ", "Q", LONG8) if big else ("H", "HHL", "L", LONG)
    width = struct.calcsize(order + offset)
    content = bytearray((b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42))
    content += struct.pack(order + "HHQ", 8, 0, 0) if big else bytes(4)
    link, starts = len(content) - width, []
    for number, page in reversed(list(enumerate(pages))) if nested else enumerate(pages):
        own = {254: (LONG, [min(number, 1)]), **_tags_of(page, tile, tags)}
        segments = [compress(part) for part in _tiles(page, tile, tags.get("t284", 1) == 2)]
        own[324], own[325] = (kind, []), (LONG, [len(segment) for segment in segments])
        for segment in segments:
            own[324][1].append(len(content))
            content += segment
        if nested and number == 0 and starts:
            own[330] = (kind, starts)
        start, following = _append_directory(content, own, order, count, entry, width)
        if nested and number:
            starts.append(start)
        else:
            struct.pack_into(order + offset, content, link, start)
            link = following
    return bytes(content)


def _tags_of(page: np.ndarray, tile: tuple[int, int], tags: dict[str, int]) -> dict[int, tuple[int, list[int]]]:
    separate = tags.get("t284", 1) == 2
    height, width, samples = page.shape if not separate else (*page.shape[1:], page.shape[0])
    numbers = {256: width, 257: height, 259: 1, 262: {1: 1, 3: 2, 4: 5}[samples], 277: samples, 284: 1}
    numbers |= {322: tile[0], 323: tile[1]} | {int(name[1:]): value for name, value in tags.items()}
    return {258: (SHORT, [8 * page.itemsize] * samples)} | {tag: (SHORT, [value]) for tag, value in numbers.items()}


def _tiles(page: np.ndarray, tile: tuple[int, int], separate: bool) -> list[np.ndarray]:
    planes = [plane[..., None] for plane in page] if separate else [page]
    found = []
    for plane in planes:
        down, across = -plane.shape[0] % tile[1], -plane.shape[1] % tile[0]
        padded = np.pad(plane, ((0, down), (0, across), (0, 0)), mode="edge")
        found += [
            np.ascontiguousarray(padded[top : top + tile[1], left : left + tile[0]])
            for top in range(0, padded.shape[0], tile[1])
            for left in range(0, padded.shape[1], tile[0])
        ]
    return found


def _append_directory(
    content: bytearray, tags: dict[int, tuple[int, list[int]]], order: str, count: str, entry: str, width: int
) -> tuple[int, int]:
    """Append a directory; where it starts, and where the start of the next one belongs."""
    packed = b""
    for tag, (kind, values) in sorted(tags.items()):
        value = struct.pack(f"{order}{len(values)}{ {SHORT: 'H', LONG: 'L', LONG8: 'Q'}[kind] }", *values)
        if len(value) > width:
            at = len(content)
            content += value
            value = struct.pack(order + count.replace("H", "L"), at)
        packed += struct.pack(order + entry, tag, kind, len(values)) + value.ljust(width, b"\0")
    start = len(content)
    content += struct.pack(order + count, len(tags)) + packed
    content += bytes(width)
    return start, len(content) - width
