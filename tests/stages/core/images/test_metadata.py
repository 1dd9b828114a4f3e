"""Metadata that are damaged, huge or wrong cost no picture, and its orientation is kept where it can be read."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from stages.core.images.files import ImageLimits, load_pixels, open_image
from stages.core.images.metadata import drop_jpeg_metadata, drop_png_metadata
from stages.core.images.rgb import to_rgb
from tests.conftest import picture

TURNED = (0x0112, 3, 1, struct.pack("<H", 6))
DAMAGED_TAGS = {
    "rational of zero": (0x011A, 10, 1, struct.pack("<ll", -1, 0)),
    "text of doubles": (0x0132, 12, 1, struct.pack("<d", 1.5)),
    "count beyond the end": (0x010F, 2, 2**31, b"abcd"),
    "unknown type": (0x0110, 99, 1, b"abcd"),
    "offset beyond the end": (0x8769, 4, 1, struct.pack("<L", 2**31)),
}


def exif(*tags: tuple[int, int, int, bytes]) -> bytes:
    """EXIF data with one directory."""
    head, data = b"Exif\0\0II*\0" + struct.pack("<LH", 8, len(tags)), b""
    for tag, kind, count, value in tags:
        head += struct.pack("<HHL", tag, kind, count)
        if len(value) <= 4:
            head += value.ljust(4, b"\0")
        else:
            head += struct.pack("<L", 8 + 2 + 12 * len(tags) + 4 + len(data))
            data += value
    return head + struct.pack("<L", 0) + data


def encoded(image: Image.Image, format_name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(to_rgb(load_pixels(open_image(data, ImageLimits()))))


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("tag", DAMAGED_TAGS)
def test_a_damaged_tag_costs_neither_picture_nor_orientation(format_name: str, tag: str) -> None:
    data = encoded(picture(1), format_name, exif=exif(TURNED, DAMAGED_TAGS[tag]), quality=95)
    upright = np.asarray(picture(1).rotate(-90, expand=True)).astype(int)
    assert np.abs(decoded(data).astype(int) - upright).mean() < 6


@pytest.mark.parametrize("junk", [b"", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0XX*\0" + bytes(40)])
@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP"])
def test_exif_that_is_none_is_left_out(format_name: str, junk: bytes) -> None:
    plain = decoded(encoded(picture(1), format_name, quality=95))
    assert (decoded(encoded(picture(1), format_name, exif=junk, quality=95)) == plain).all()


def chunk(name: bytes, data: bytes, crc: int | None = None) -> bytes:
    crc = zlib.crc32(name + data) if crc is None else crc
    return struct.pack(">L", len(data)) + name + data + struct.pack(">L", crc)


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"tEXt", b"Comment\0damaged", crc=7),
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(3_000_000))),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(3_000_000))),
        chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(3_000_000))),
        chunk(b"iCCP", b"profile\0\0damaged"),
        chunk(b"pHYs", b"x"),
        chunk(b"gAMA", b""),
        chunk(b"tIME", b"x" * 9),
        chunk(b"acTL", b"\0" * 8),
        chunk(b"eXIf", b"II*\0\xff\xff\xff\xff"),
        chunk(b"vpAg", b"x", crc=1),
    ],
)
@pytest.mark.parametrize("place", ["before", "after"])
def test_a_chunk_that_decides_no_pixel_costs_none(extra: bytes, place: str) -> None:
    data = encoded(picture(1), "PNG")
    position = data.index(b"IDAT") - 4 if place == "before" else data.index(b"IEND") - 4
    assert (decoded(data[:position] + extra + data[position:]) == np.asarray(picture(1))).all()


@pytest.mark.parametrize("keyword", ["XML:com.adobe.xmp", "Raw profile type exif"])
def test_an_orientation_in_a_text_of_a_png_is_kept(keyword: str) -> None:
    tags = exif(TURNED)
    texts = {
        "XML:com.adobe.xmp": '<x tiff:Orientation="6"/>',
        "Raw profile type exif": f"\nexif\n{len(tags):8}\n{tags.hex()}\n",
    }
    info = PngImagePlugin.PngInfo()
    info.add_text(keyword, texts[keyword])
    data = encoded(picture(1), "PNG", pnginfo=info)
    assert (decoded(data) == np.asarray(picture(1).rotate(-90, expand=True))).all()


def test_a_png_without_metadata_comes_back_as_given() -> None:
    data = encoded(picture(1).quantize(16), "PNG", transparency=3)
    assert drop_png_metadata(data) == data


def test_a_jpeg_keeps_its_pixels_and_its_orientation_without_its_metadata() -> None:
    data = encoded(picture(1).convert("CMYK"), "JPEG", exif=exif(TURNED), comment=bytes(60_000), quality=95)
    stripped = drop_jpeg_metadata(data)
    assert len(stripped) < len(data) - 60_000
    assert (decoded(stripped) == decoded(data)).all()
    assert decoded(stripped).shape == (80, 64, 3)
