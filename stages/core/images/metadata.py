"""Keep what is wrong in a file's metadata from costing its pixels.

In: an encoded image, or an opened one. Out: the same image without the metadata that decides no pixel, and the
orientation in which a person sees it. Decoding is left to `files`.
"""

import contextlib
import re
import struct
import zlib
from collections.abc import Iterator

from PIL import Image

ORIENTATION = 0x0112
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Ancillary chunks that decide how a picture looks: transparency and orientation.
PNG_KEPT = (b"tRNS", b"eXIf")
PNG_TEXT = (b"tEXt", b"zTXt", b"iTXt")
LARGEST_TEXT_BYTES = 64 * 1024
# What decides a JPEG's pixels among its application segments: JFIF, and Adobe's colour transform.
JPEG_KEPT = (0xE0, 0xEE)
TRANSPOSED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def turn(image: Image.Image, orientation: int) -> Image.Image:
    """Turn a decoded image upright, or give the same image if it is."""
    method = TRANSPOSED.get(orientation)
    return image if method is None else image.transpose(method)


def lies_on_its_side(image: Image.Image) -> bool:
    """Whether width and height of a decoded image are exchanged for a person who sees it.

    A TIFF is turned by Pillow itself: its size is upright as soon as it is opened.
    """
    return image.format != "TIFF" and orientation_of(image) >= 5


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation of a decoded image, 1 to 8; 1 where none can be read.

    Not before it is decoded: Pillow decodes a PNG to look for it, and an error of the pixels would be missed here.

    Examples
    --------
    >>> orientation_of(Image.new("RGB", (4, 3)))
    1
    """
    found: object = None
    try:
        found = image.getexif().get(ORIENTATION)
    except Exception:  # damaged tags make Pillow raise anything: the one that matters may be whole
        exif = image.info.get("exif")
        found = _find_orientation(exif) if isinstance(exif, bytes) else None
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _find_orientation(exif: bytes) -> int | None:
    """Look for the orientation in the first directory of EXIF data, whatever the other tags are."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return None
    with contextlib.suppress(struct.error):
        (start,) = struct.unpack_from(f"{order}L", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        for entry in range(count):
            tag, kind, _, value = struct.unpack_from(f"{order}HHLH", exif, start + 2 + 12 * entry)
            if tag == ORIENTATION and kind == 3:
                return int(value)
    return None


def drop_png_metadata(encoded: bytes) -> bytes:
    """Remove a PNG's chunks that decide no pixel: texts, profiles, times, animation; other bytes come back as given.

    Pillow refuses a picture for a text or a profile above its limits, and for a damaged checksum of either.
    """
    if not encoded.startswith(PNG_SIGNATURE):
        return encoded
    return b"".join([PNG_SIGNATURE, *(chunk for name, chunk in _png_chunks(encoded) if _is_kept(name, chunk))])


def _png_chunks(encoded: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Name and whole bytes of each chunk; what follows the last one that is whole comes as one without a name."""
    view, start = memoryview(encoded), len(PNG_SIGNATURE)
    while start + 12 <= len(view):
        end = start + 12 + int.from_bytes(view[start : start + 4], "big")
        if end > len(view):
            break
        name = bytes(view[start + 4 : start + 8])
        yield name, view[start:end]
        start = end
        if name == b"IEND":
            return
    yield b"", view[start:]


def _is_kept(name: bytes, chunk: memoryview) -> bool:
    if not name or not name[0] & 0x20:  # a capital first letter: critical
        return True
    if name not in (*PNG_KEPT, *PNG_TEXT):
        return False
    if name != b"tRNS" and zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
        return False
    return name in PNG_KEPT or _tells_orientation(bytes(chunk[8:-4]))


def _tells_orientation(text: bytes) -> bool:
    """Whether a text chunk is EXIF or XMP, small, and names an orientation; Pillow reads both."""
    keyword, _, rest = text.partition(b"\0")
    if len(text) > LARGEST_TEXT_BYTES:
        return False
    if keyword == b"Raw profile type exif":
        return True
    return keyword == b"XML:com.adobe.xmp" and b"Orientation" in rest


def drop_jpeg_metadata(encoded: bytes) -> bytes:
    """Remove a JPEG's application segments and comments that decide no pixel; the orientation is kept.

    Examples
    --------
    >>> drop_jpeg_metadata(b"\\xff\\xd8\\xff\\xed\\x00\\x04xy\\xff\\xdb...")
    b'\\xff\\xd8\\xff\\xdb...'
    """
    parts, start, orientation = [encoded[:2]], 2, 1
    while segment := re.compile(rb"(?s)\xff([\xc0-\xfe])(..)").match(encoded, start):
        marker, end = segment[1][0], start + 2 + int.from_bytes(segment[2], "big")
        if marker == 0xDA:
            break
        content = encoded[start + 4 : end]
        if marker == 0xE1 and content.startswith(b"Exif\0\0"):
            orientation = _find_orientation(content) or orientation
        if not (0xE0 <= marker <= 0xEF or marker == 0xFE) or marker in JPEG_KEPT:
            parts.append(encoded[start:end])
        start = end
    if orientation != 1:
        parts.insert(1, _exif_segment(orientation))
    return b"".join([*parts, encoded[start:]])


def _exif_segment(orientation: int) -> bytes:
    """A JPEG segment of EXIF data that holds nothing but the orientation."""
    directory = struct.pack("<HHHLHHL", 1, ORIENTATION, 3, 1, orientation, 0, 0)
    content = b"Exif\0\0II*\0" + struct.pack("<L", 8) + directory
    return b"\xff\xe1" + struct.pack(">H", 2 + len(content)) + content


def drop_webp_metadata(encoded: bytes) -> bytes:
    """Remove a WebP file's profile, EXIF and XMP."""
    parts, start = [], 12
    while start + 8 <= len(encoded):
        size = int.from_bytes(encoded[start + 4 : start + 8], "little")
        end = start + 8 + size + size % 2
        if encoded[start : start + 4] not in (b"ICCP", b"EXIF", b"XMP "):
            parts.append(encoded[start:end])
        start = end
    body = b"WEBP" + b"".join(parts)
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def drop_metadata(encoded: bytes) -> bytes:
    """Remove the metadata of an image that could not be opened with them; other formats come back as given."""
    if encoded.startswith(b"\xff\xd8\xff"):
        return drop_jpeg_metadata(encoded)
    if encoded.startswith(b"RIFF") and encoded[8:12] == b"WEBP":
        return drop_webp_metadata(encoded)
    return encoded
