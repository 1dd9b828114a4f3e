"""Files that cannot be used, of a dozen kinds that real collections hold.

In: a random generator and a sound painting where one is needed. Out: the bytes of the file, and the reason that the
clean stage should give (`stages.core.images.files.Reason`).
"""

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

BOMB_SIDE_PX = 20_000
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
WEB_PAGE = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>\n"
PDF_START = b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n"
EMPTY_ZIP = b"PK\x05\x06" + bytes(18)
Paint = Callable[[], Image.Image]


@dataclass(frozen=True)
class Break:
    """One way to be broken: the reason for rejection, the file's suffix, and how its bytes are made.

    `contents` takes a random generator and a function that paints a sound picture; `None` instead means no file.
    """

    reason: str
    suffix: str
    contents: Callable[[np.random.Generator, Paint], bytes] | None


def _encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": 88} if kind == "JPEG" else {"compress_level": 2}))
    return buffer.getvalue()


def _cut_short(rng: np.random.Generator, encoded: bytes) -> bytes:
    return encoded[: int(len(encoded) * rng.uniform(0.4, 0.8))]


def _bomb(rng: np.random.Generator, paint: Paint) -> bytes:
    """A PNG of a few kilobytes that unpacks to 400 million pixels; its rows are compressed one by one."""
    row, packer = bytes(1 + BOMB_SIDE_PX // 8), zlib.compressobj(6)
    data = b"".join(packer.compress(row) for _ in range(BOMB_SIDE_PX)) + packer.flush()
    return _png(BOMB_SIDE_PX, BOMB_SIDE_PX, bits=1, colour_type=0, data=data)


def _png_damaged(rng: np.random.Generator, paint: Paint) -> bytes:
    """A PNG whose compressed pixels are invalid from the middle on: block type 3 does not exist in DEFLATE."""
    pixels, packer = np.asarray(paint().resize((160, 120))), zlib.compressobj(6)
    rows = b"".join(b"\x00" + row.tobytes() for row in pixels[:60])
    data = packer.compress(rows) + packer.flush(zlib.Z_FULL_FLUSH) + b"\x07" * 2_000
    return _png(160, 120, bits=8, colour_type=2, data=data)


def _png(width: int, height: int, *, bits: int, colour_type: int, data: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return PNG_SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def _header_only(rng: np.random.Generator, paint: Paint) -> bytes:
    encoded = _encoded(paint(), "JPEG")
    return encoded[: encoded.index(b"\xff\xda") + 14]


BREAKS = {
    "empty_file": Break("empty", ".jpg", lambda rng, paint: b""),
    "jpeg_cut_short": Break("truncated", ".jpg", lambda rng, paint: _cut_short(rng, _encoded(paint(), "JPEG"))),
    "png_cut_short": Break("truncated", ".png", lambda rng, paint: _cut_short(rng, _encoded(paint(), "PNG"))),
    "web_page_named_jpg": Break("not_an_image", ".jpg", lambda rng, paint: WEB_PAGE),
    # The leading zeros belong to no image format, whatever the seed.
    "random_bytes_named_jpg": Break("not_an_image", ".jpg", lambda rng, paint: bytes(4) + rng.bytes(9_000)),
    "decompression_bomb": Break("too_large", ".png", _bomb),
    "file_missing": Break("missing", ".jpg", None),
    "thumbnail": Break("too_small", ".jpg", lambda rng, paint: _encoded(paint().resize((16, 12)), "JPEG")),
    "png_with_damaged_data": Break("decode_error", ".png", _png_damaged),
    "pdf_named_png": Break("not_an_image", ".png", lambda rng, paint: PDF_START),
    "jpeg_header_only": Break("truncated", ".jpg", _header_only),
    "zip_archive_named_jpg": Break("not_an_image", ".jpg", lambda rng, paint: EMPTY_ZIP),
}
