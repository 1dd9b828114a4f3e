"""Compare what an image file declares with what it holds: the lengths of its parts, and checksums that Pillow skips.

In: an opened image and its bytes. Out: a reason and what was found, or None. JPEG, which declares neither, is left to
`watched_decoding`. What no length and no checksum covers cannot be told from another picture.
"""

import itertools
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
from PIL import Image

from stages.core.images.formats import FORMATS
from stages.core.images.large_file import Encoded, LargeFile

Finding = tuple[Literal["truncated", "decode_error"], str]
# TIFF's tags.
STRIPS, TILES = (273, 279), (324, 325)
WIDTH, HEIGHT, BITS, COMPRESSION, SAMPLES, SUB_FILES, EXIF, GPS = 256, 257, 258, 259, 277, 330, 34665, 34853
RAW, DEFLATES = 1, (8, 32946)
# A BMP's sizes may count padding: Photoshop adds two bytes.
BMP_PADDING = 4
INFLATED_AT_ONCE = 1 << 20


def find_damage(image: Image.Image, encoded: Encoded) -> Finding | None:
    """Look for damage that the decoder overlooks.

    Parameters
    ----------
    image
        The image as Pillow has opened it, at the page that is to be decoded.
    encoded
        The file.

    Returns
    -------
    tuple of str, or None
        The reason for rejection and what was found.
    """
    check = CHECKS.get(image.format or "")
    try:
        if isinstance(encoded, LargeFile):
            return _check_tiff(image, encoded)
        return check(image, encoded) if check else None
    except Exception:  # a header shorter than its format's, or damaged tags, at which Pillow raises anything
        return None  # the decoder tells


def is_file_or_padding(rest: bytes) -> bool:
    """Whether bytes behind an image's end are padding, or another file: the image itself may be whole.

    Examples
    --------
    >>> [is_file_or_padding(rest) for rest in (b"", bytes(7), b"GIF89a...", b"x")]
    [True, True, True, False]
    """
    if not rest.strip(b"\0\n\r"):
        return True
    return any(re.match(image_format.starts, rest[:64]) for image_format in FORMATS)


def _behind(encoded: Encoded, end: int) -> Finding | None:
    """Whether a file ends where it declares to, so far as this tells that bytes were put in or left out."""
    if end > len(encoded):
        return "truncated", f"declares {end:,} bytes, has {len(encoded):,}"
    if not is_file_or_padding(encoded[end:]):
        return "decode_error", f"declares {end:,} bytes, has {len(encoded):,}: bytes were put in"
    return None


def _check_png(image: Image.Image, encoded: bytes) -> Finding | None:
    """Check what Pillow skips: the checksum of every chunk of pixels."""
    view, start = memoryview(encoded), 8
    while start + 12 <= len(view):
        size, name = struct.unpack_from(">L4s", view, start)
        end = start + 12 + size
        if (
            name == b"IDAT"
            and end <= len(view)
            and zlib.crc32(view[start + 4 : end - 4]) != _number(view[end - 4 : end])
        ):
            return "decode_error", f"a chunk of pixels at byte {start:,} does not have its checksum"
        start = end
    return None


def _number(four: memoryview) -> int:
    return int.from_bytes(four, "big")


def _check_bmp(image: Image.Image, encoded: bytes) -> Finding | None:
    """Check that width and height give the number of bytes that the file declares for its pixels."""
    file_size, offset, header = struct.unpack_from("<2xL4xLL", encoded)
    if header < 40:
        return None
    width, height, bits, compression, size = struct.unpack_from("<ll2xHLL", encoded, 18)
    if compression not in (0, 3):
        return None
    needed = (abs(width) * bits + 31) // 32 * 4 * abs(height)
    present = len(encoded) - offset
    if not any(0 <= declared - needed <= BMP_PADDING for declared in (size, file_size - offset, present)):
        return "decode_error", f"{width} x {height} pixels take {needed:,} bytes, it declares {size or present:,}"
    if file_size == offset + needed:
        return _behind(encoded, file_size)
    return None


def _check_tiff(image: Image.Image, encoded: Encoded) -> Finding | None:
    """Check that the strips lie in the file, do not overlap, and are as long as raw pixels are; inflate packed ones."""
    tags = getattr(image, "tag_v2", {})
    pieces = _pieces(tags, STRIPS) or _pieces(tags, TILES)
    if not pieces or any(not isinstance(number, int) for piece in pieces for number in piece):
        return None
    ends = [offset + size for offset, size in pieces]
    if max(ends) > len(encoded):
        return "truncated", f"its pixels end at byte {max(ends):,}, the file at {len(encoded):,}"
    directory = (tags.offset, 2 + 12 * len(tags)) if hasattr(tags, "offset") else (0, 8)
    in_order = sorted([directory, *pieces])
    if any(left[0] + left[1] > right[0] for left, right in itertools.pairwise(in_order) if left != right):
        return "decode_error", "two strips of its pixels overlap, or one lies over their directory"
    compression = tags.get(COMPRESSION, RAW)
    packed = compression in DEFLATES and isinstance(encoded, bytes)  # of a large file it would take as long as decoding
    if packed and any(_is_broken_stream(encoded[start : start + size]) for start, size in pieces):
        return "decode_error", "a strip of its pixels does not have its checksum"
    if compression != RAW or STRIPS[0] not in tags:
        return None
    if sum(size for _, size in pieces) < (needed := _raw_bytes(tags)):
        return "truncated", f"its pixels take {needed:,} bytes, it declares {sum(size for _, size in pieces):,}"
    return _behind(encoded, max(ends)) if _ends_with_pixels(image, max(ends)) else None


def _pieces(tags: Mapping[int, Sequence[int]], names: tuple[int, int]) -> list[tuple[int, int]]:
    offsets, sizes = (tags.get(name, ()) for name in names)
    return list(zip(offsets, sizes, strict=False))


def _raw_bytes(tags: Mapping[int, int]) -> int:
    bits = tags.get(BITS, (1,))
    together = sum(bits) if isinstance(bits, tuple) else bits * tags.get(SAMPLES, 1)
    return (tags[WIDTH] * together + 7) // 8 * tags[HEIGHT] if isinstance(together, int) else 0


def _ends_with_pixels(image: Image.Image, end: int) -> bool:
    """Whether a TIFF has one page, and its directory and everything that it points to stand before the pixels' end."""
    tags = getattr(image, "tag_v2", {})
    if any(tag in tags for tag in (SUB_FILES, EXIF, GPS)):
        return False
    return getattr(tags, "next", 1) == 0 and getattr(tags, "offset", end) < end


def _is_broken_stream(packed: bytes) -> bool:
    """Whether a zlib stream, which ends with the checksum of what it holds, is damaged."""
    stream = zlib.decompressobj()
    try:
        stream.decompress(packed, INFLATED_AT_ONCE)
        while not stream.eof and stream.unconsumed_tail:
            stream.decompress(stream.unconsumed_tail, INFLATED_AT_ONCE)
    except zlib.error:
        return True
    return False


def _check_photoshop(image: Image.Image, encoded: bytes) -> Finding | None:
    """Check that the flat picture, the last section, ends with the file."""
    channels, height, width, bits = struct.unpack_from(">HLLH", encoded, 12)
    start = 26
    for _ in range(3):
        start += 4 + int.from_bytes(encoded[start : start + 4], "big")
    (compression,) = struct.unpack_from(">H", encoded, start)
    rows = channels * height
    if compression == 0:
        return _behind(encoded, start + 2 + (width * bits + 7) // 8 * rows)
    if compression != 1 or start + 2 + 2 * rows > len(encoded):
        return None
    sizes = struct.unpack_from(f">{rows}H", encoded, start + 2)
    data = start + 2 + 2 * rows
    if finding := _behind(encoded, data + sum(sizes)):
        return finding
    wrong = np.flatnonzero(unpacked_sizes(encoded, data, sizes) != (width * bits + 7) // 8)
    return ("decode_error", f"{wrong.size} rows do not unpack to {width} pixels") if wrong.size else None


def unpacked_sizes(encoded: bytes, start: int, sizes: Sequence[int]) -> np.ndarray:
    """How many bytes each row of PackBits unpacks to; all rows are gone through at the same time.

    Examples
    --------
    >>> unpacked_sizes(bytes([2, 7, 8, 9, 255, 5, 0, 1]), 0, [6, 2]).tolist()
    [5, 1]
    """
    content = np.frombuffer(encoded, np.uint8)
    ends = start + np.cumsum(sizes, dtype=np.int64)
    places = ends - sizes
    made = np.zeros(len(places), np.int64)
    while (left := np.flatnonzero(places < ends)).size:
        codes = content[places[left]].astype(np.int64)
        # Up to 127: as many bytes and one follow; from 129 on one follows, many times; 128 stands for nothing.
        made[left] += np.where(codes < 128, codes + 1, np.where(codes > 128, 257 - codes, 0))
        places[left] += np.where(codes < 128, codes + 2, np.where(codes > 128, 2, 1))
    made[places != ends] = -1
    return made


def _check_webp(image: Image.Image, encoded: bytes) -> Finding | None:
    end = 8 + int.from_bytes(encoded[4:8], "little")
    if end % 2 and end + 1 == len(encoded):
        return None
    return _behind(encoded, end)


def _check_boxes(image: Image.Image, encoded: bytes) -> Finding | None:
    """Check that the boxes of AVIF and HEIC follow each other to the end of the file."""
    end = 0
    for end in _box_ends(encoded):
        if end > len(encoded):
            return _behind(encoded, end)
    return _behind(encoded, end)


def _box_ends(encoded: bytes) -> Iterator[int]:
    """Where each box ends, up to what is none."""
    start = 0
    while start + 8 <= len(encoded):
        size, name = struct.unpack_from(">L4s", encoded, start)
        if size == 1 and start + 16 <= len(encoded):
            (size,) = struct.unpack_from(">Q", encoded, start + 8)
        if size == 0:
            yield len(encoded)
            return
        if size < 8 or not (name.isascii() and name.decode("ascii").isprintable()):
            return
        start += size
        yield start


CHECKS: Mapping[str, Callable[[Image.Image, bytes], Finding | None]] = {
    "PNG": _check_png,
    "BMP": _check_bmp,
    "DIB": _check_bmp,
    "TIFF": _check_tiff,
    "PSD": _check_photoshop,
    "WEBP": _check_webp,
    "AVIF": _check_boxes,
    "HEIF": _check_boxes,
}
