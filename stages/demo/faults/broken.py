"""Files that cannot be used, of a dozen kinds that real collections hold.

In: a random generator and a sound painting where one is needed. Out: the bytes of the file, and the reason that the
clean stage should give (`stages.core.images.files.Reason`).
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

BOMB_SIDE_PX = 20_000
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
WEB_PAGE = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>\n"
PDF_START = b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n"


@dataclass(frozen=True)
class Break:
    """One way to be broken: the reason for rejection, the file's suffix, and how its bytes are made.

    `contents` takes a random generator and a function that paints a sound picture; `None` instead means no file.
    """

    reason: str
    suffix: str
    contents: Callable[[np.random.Generator, Callable[[], Image.Image]], bytes] | None


def _encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": 88} if kind == "JPEG" else {"compress_level": 2}))
    return buffer.getvalue()


def _empty(rng: np.random.Generator, paint: Callable[[], Image.Image]) -> bytes:
    return b""


def _jpeg_cut_short(rng: np.random.Generator, paint: Callable[[], Image.Image]) -> bytes:
    encoded = _encoded(paint(), "JPEG")
    return encoded[: int(len(encoded) * rng.uniform(0.4, 0.8))]


def _png_cut_short(rng: np.random.Generator, paint: Callable[[], Image.Image]) -> bytes:
    encoded = _encoded(paint(), "PNG")
    return encoded[: int(len(encoded) * rng.uniform(0.4, 0.8))]


def _web_page(rng: np.random.Generator, paint: Callable[[], Image.Image]) -> bytes:
    return WEB_PAGE


def _random_bytes(rng: np.random.Generator, paint: Callable[[], Image.Image]) -> bytes:
    # The leading zeros belong to no image format, whatever the seed.
    return b"\x00\x00\x00\x00" + rng.bytes(int(rng.integers(2_000, 20_000)))


def _bomb(rng: np.random.Generator, paint: Callable[[], Image.Image]) -> bytes:
    """A PNG of a few kilobytes that unpacks to 400 million pixels; its rows are compressed one by one."""
    row, packer, packed = bytes(1 + BOMB_SIDE_PX // 8), zlib.compressobj(6), []
    for _ in range(BOMB_SIDE_PX):
        packed.append(packer.compress(row))
    header = struct.pack(">IIBBBBB", BOMB_SIDE_PX, BOMB_SIDE_PX, 1, 0, 0, 0, 0)
    data = b"".join(packed) + packer.flush()
    return PNG_SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _thumbnail(rng: np.random.Generator, paint: Callable[[], Image.Image]) -> bytes:
    return _encoded(paint().resize((16, 12)), "JPEG")


def _png_damaged(rng: np.random.Generator, paint: Callable[[], Image.Image]) -> bytes:
    """A PNG whose compressed pixels are invalid from the middle on: block type 3 does not exist in DEFLATE."""
    pixels = np.asarray(paint().resize((160, 120)))
    rows = b"".join(b"\x00" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, 2, 0, 0, 0)
    packer = zlib.compressobj(6)
    sound = packer.compress(rows[: len(rows) // 2]) + packer.flush(zlib.Z_FULL_FLUSH)
    data = sound + b"\x07" * 2_000
    return PNG_SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _pdf(rng: np.random.Generator, paint: Callable[[], Image.Image]) -> bytes:
    return PDF_START


def _jpeg_header_only(rng: np.random.Generator, paint: Callable[[], Image.Image]) -> bytes:
    encoded = _encoded(paint(), "JPEG")
    return encoded[: encoded.index(b"\xff\xda") + 14]


def _zip_archive(rng: np.random.Generator, paint: Callable[[], Image.Image]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(
            zipfile.ZipInfo("readme.txt", (2020, 1, 1, 0, 0, 0)), "The pictures are in the other archive.\n"
        )
    return buffer.getvalue()


BREAKS = {
    "empty_file": Break("empty", ".jpg", _empty),
    "jpeg_cut_short": Break("truncated", ".jpg", _jpeg_cut_short),
    "png_cut_short": Break("truncated", ".png", _png_cut_short),
    "web_page_named_jpg": Break("not_an_image", ".jpg", _web_page),
    "random_bytes_named_jpg": Break("not_an_image", ".jpg", _random_bytes),
    "decompression_bomb": Break("too_large", ".png", _bomb),
    "file_missing": Break("missing", ".jpg", None),
    "thumbnail": Break("too_small", ".jpg", _thumbnail),
    "png_with_damaged_data": Break("decode_error", ".png", _png_damaged),
    "pdf_named_png": Break("not_an_image", ".png", _pdf),
    "jpeg_header_only": Break("truncated", ".jpg", _jpeg_header_only),
    "zip_archive_named_jpg": Break("not_an_image", ".jpg", _zip_archive),
}
