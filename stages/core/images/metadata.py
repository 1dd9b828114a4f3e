"""Keep what is wrong in a file's metadata from costing its pixels.

In: an encoded image, or an opened one. Out: the same image without the metadata that decides no pixel, its colour
profile, and the orientation in which a person sees it. Decoding is left to `files`, converting colours to `colour`.
"""

import contextlib
import re
import struct
import warnings
import zlib
from collections.abc import Iterator

from PIL import Image

from stages.core.images.large_file import Encoded

ORIENTATION = 0x0112
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Ancillary chunks that decide how a picture looks: transparency and orientation.
PNG_KEPT = (b"tRNS", b"eXIf")
PNG_TEXT = (b"tEXt", b"zTXt", b"iTXt")
LARGEST_TEXT_BYTES = 64 * 1024
# The largest profile that Pillow takes from a PNG, too.
LARGEST_PNG_PROFILE_BYTES = 1024 * 1024
# What decides a JPEG's pixels among its application segments: JFIF, and Adobe's colour transform.
JPEG_KEPT = (0xE0, 0xEE)
JPEG_PROFILE = b"ICC_PROFILE\0"
JP2_SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
# Methods of a JPEG 2000 colour box that holds a profile: restricted, and any.
JP2_PROFILE_METHODS = (2, 3)
TIFF_PROFILE = 34675
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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
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


def keep_profile(image: Image.Image, encoded: Encoded) -> None:
    """Put the colour profile of an opened image into its `info` where Pillow does not.

    A PNG is decoded without its profile, which could cost the picture. Pillow knows no profile of JPEG 2000. Of a TIFF
    it keeps the first page's when it turns to another.
    """
    if image.format == "TIFF":
        profile = getattr(image, "tag_v2", {}).get(TIFF_PROFILE)
    elif isinstance(encoded, bytes) and image.format in ("PNG", "JPEG2000"):
        profile = _png_profile(encoded) if image.format == "PNG" else _jp2_profile(encoded)
    else:
        return
    image.info.pop("icc_profile", None)
    if isinstance(profile, bytes):
        image.info["icc_profile"] = profile


def _png_profile(encoded: bytes) -> bytes | None:
    """The profile of a PNG's chunk iCCP, if it is whole and unpacks to no more than 1 MiB."""
    chunk = next((chunk for name, chunk in _png_chunks(encoded) if name in (b"iCCP", b"IDAT")), memoryview(b""))
    if bytes(chunk[4:8]) != b"iCCP" or zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
        return None
    _, _, packed = bytes(chunk[8:-4]).partition(b"\0")
    unpacker = zlib.decompressobj()
    try:
        profile = unpacker.decompress(packed[1:], LARGEST_PNG_PROFILE_BYTES)
    except zlib.error:
        return None
    return profile if unpacker.eof else None


def _jp2_profile(encoded: bytes) -> bytes | None:
    """The profile in the first colour box of a JPEG 2000 file; a bare codestream has none."""
    if not encoded.startswith(JP2_SIGNATURE):
        return None
    header = next((content for name, content in _jp2_boxes(memoryview(encoded)) if name == b"jp2h"), memoryview(b""))
    colour = next((content for name, content in _jp2_boxes(header) if name == b"colr"), memoryview(b""))
    return bytes(colour[3:]) if len(colour) > 3 and colour[0] in JP2_PROFILE_METHODS else None


def _jp2_boxes(boxes: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Name and content of each box, up to the first that is not whole or is followed by none."""
    start = 0
    while start + 8 <= len(boxes):
        size = int.from_bytes(boxes[start : start + 4], "big")
        if not 8 <= size <= len(boxes) - start:  # 0: all that is left; 1: of more than 4 GiB
            return
        yield bytes(boxes[start + 4 : start + 8]), boxes[start + 8 : start + size]
        start += size


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
    """Remove a JPEG's application segments and comments that decide no pixel; orientation and profile are kept.

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
        # Pillow reads two numbers after a profile's name: a segment that ends before them costs the picture.
        profile = marker == 0xE2 and content.startswith(JPEG_PROFILE) and len(content) > len(JPEG_PROFILE) + 2
        if profile or not (0xE0 <= marker <= 0xEF or marker == 0xFE) or marker in JPEG_KEPT:
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
