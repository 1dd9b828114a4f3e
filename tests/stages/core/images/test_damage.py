"""Damage that Pillow decodes without a word is refused where a length, a checksum or the number of pixels tells it."""

import io
import struct
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from stages.core.images.files import ImageLimits, UnusableImage, load_pixels, open_image
from stages.core.images.jpeg_scans import scan_end, segments, single_scan
from tests.end_to_end.image_mutations import good_images

GOOD = good_images()
Damage = Callable[[bytes], bytes]


def reason(encoded: bytes, draft: tuple[str, tuple[int, int]] | None = None) -> str:
    """Why an image is refused; empty if it is not."""
    try:
        image = open_image(encoded, ImageLimits())
        if draft:
            image.draft(*draft)
        load_pixels(image)
    except UnusableImage as problem:
        return problem.reason
    return ""


def scan_of(encoded: bytes) -> tuple[int, int]:
    """Where the data of the only scan begin and end."""
    found = single_scan(encoded)
    assert found
    return found.start, found.end


def without(start: float, size: int) -> Damage:
    """Leave out bytes from a share of the file on."""
    return lambda encoded: encoded[: int(start * len(encoded))] + encoded[int(start * len(encoded)) + size :]


def twice(start: float, size: int) -> Damage:
    """Write bytes from a share of the file on twice."""

    def damage(encoded: bytes) -> bytes:
        end = int(start * len(encoded)) + size
        return encoded[:end] + encoded[end - size :]

    return damage


def end_of_image_within(encoded: bytes) -> bytes:
    start, end = scan_of(encoded)
    middle = (start + end) // 2
    return encoded[:middle] + b"\xff\xd9" + encoded[middle:]


def without_a_restart_mark(encoded: bytes) -> bytes:
    return encoded.replace(b"\xff\xd3", b"", 1)


def scans_of(encoded: bytes) -> list[tuple[int, int]]:
    """Where each scan of a JPEG begins, header included, and ends."""
    found = [part for part in segments(encoded) if part.marker == 0xDA]
    return [(part.end - len(part.content) - 4, scan_end(encoded, part.end)) for part in found]


def last_scan_twice(encoded: bytes) -> bytes:
    start, end = scans_of(encoded)[-1]
    return encoded[:end] + encoded[start:end] + encoded[end:]


def without_the_first_scan(encoded: bytes) -> bytes:
    start, end = scans_of(encoded)[0]
    return encoded[:start] + encoded[end:]


def another_checksum(encoded: bytes) -> bytes:
    place = encoded.rindex(b"IEND") - 8
    return encoded[:place] + b"abcd" + encoded[place + 4 :]


def bmp_of_another_width(encoded: bytes) -> bytes:
    (width,) = struct.unpack_from("<l", encoded, 18)
    return encoded[:18] + struct.pack("<l", width - 4) + encoded[22:]


def tiff_with(tag: int, value: int) -> Damage:
    """Give the first number of a TIFF's tag another value."""

    def damage(encoded: bytes) -> bytes:
        start, content = struct.unpack_from("<L", encoded, 4)[0], bytearray(encoded)
        for entry in range(*struct.unpack_from("<H", encoded, start)):
            place = start + 2 + 12 * entry
            found, kind, count = struct.unpack_from("<HHL", encoded, place)
            if found == tag:
                size = {3: 2, 4: 4}[kind] * count
                at = place + 8 if size <= 4 else struct.unpack_from("<L", encoded, place + 8)[0]
                struct.pack_into("<H" if kind == 3 else "<L", content, at, value)
        return bytes(content)

    return damage


def strip_changed(encoded: bytes) -> bytes:
    """Change the first byte of a strip's middle that libtiff inflates all the same."""
    tags = Image.open(io.BytesIO(encoded)).tag_v2
    for place in range(tags[273][0] + tags[279][0] // 2, tags[273][0] + tags[279][0]):
        changed = encoded[:place] + bytes([encoded[place] ^ 1]) + encoded[place + 1 :]
        try:
            Image.open(io.BytesIO(changed)).load()
        except OSError:
            continue
        return changed
    raise AssertionError("libtiff notices every change")


def row_changed(encoded: bytes) -> bytes:
    """Make the first row of a Photoshop file's pixels unpack to other pixels: 128 stands for nothing."""
    rows = 3 * 144
    place = 40 + 2 * rows
    return encoded[:place] + bytes([128]) + encoded[place + 1 :]


CASES: list[tuple[str, str, Damage, str]] = [
    ("JPEG", "data left out", without(0.5, 700), "truncated"),
    ("JPEG", "data put in", twice(0.5, 700), "decode_error"),
    ("JPEG", "an end within", end_of_image_within, "truncated"),
    ("JPEG, grey", "data left out", without(0.5, 700), "truncated"),
    ("JPEG, grey", "data put in", twice(0.5, 700), "decode_error"),
    ("JPEG, restarts", "a mark left out", without_a_restart_mark, "decode_error"),
    ("JPEG, progressive", "a scan twice", last_scan_twice, "decode_error"),
    ("JPEG, progressive", "a scan left out", without_the_first_scan, "decode_error"),
    ("PNG", "another checksum", another_checksum, "decode_error"),
    ("BMP", "another width", bmp_of_another_width, "decode_error"),
    ("BMP", "data put in", twice(0.5, 5), "decode_error"),
    ("TIFF", "data put in", twice(0.5, 5), "decode_error"),
    ("TIFF", "a strip over the directory", tiff_with(273, 8), "decode_error"),
    ("TIFF, deflate", "a changed strip", strip_changed, "decode_error"),
    ("Photoshop", "data put in", twice(0.5, 700), "decode_error"),
    ("Photoshop, PackBits", "data put in", twice(0.5, 5), "decode_error"),
    ("Photoshop, PackBits", "another row", row_changed, "decode_error"),
    ("WebP", "data put in", twice(0.5, 5), "decode_error"),
    ("AVIF", "data put in", twice(0.5, 5), "decode_error"),
    ("HEIC", "data put in", twice(0.5, 5), "decode_error"),
]


@pytest.mark.parametrize(("name", "kind", "damage", "wanted"), CASES, ids=[f"{case[0]}: {case[1]}" for case in CASES])
def test_damage_that_pillow_overlooks_is_refused(name: str, kind: str, damage: Damage, wanted: str) -> None:
    if name not in GOOD:
        pytest.skip("its encoder is not installed")
    damaged = damage(GOOD[name])
    whole, shown = (np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in (GOOD[name], damaged))
    assert whole.shape != shown.shape or (whole != shown).any() or "checksum" in kind
    assert reason(damaged) == wanted


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("behind", [b"", bytes(500), GOOD["GIF"]], ids=["nothing", "padding", "another file"])
def test_a_whole_image_is_taken_whatever_stands_behind_it(name: str, behind: bytes) -> None:
    assert reason(GOOD[name] + behind) == ""


@pytest.mark.parametrize("scale", [("L", (88, 72)), ("RGB", (44, 36))], ids=str)
@pytest.mark.parametrize("name", ["JPEG", "JPEG, restarts", "JPEG, progressive", "JPEG, grey"])
def test_at_reduced_scale_the_last_row_is_watched_too(name: str, scale: tuple[str, tuple[int, int]]) -> None:
    assert reason(GOOD[name], scale) == ""
    if name in ("JPEG", "JPEG, grey"):
        assert reason(without(0.5, 700)(GOOD[name]), scale) == "truncated"
        assert reason(twice(0.5, 700)(GOOD[name]), scale) == "decode_error"


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (8, 8), (17, 33), (320, 3)], ids=str)
@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"optimize": True}, {"restart_marker_blocks": 3}], ids=str)
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_small_or_flat_jpeg_is_whole(size: tuple[int, int], options: dict[str, object], mode: str) -> None:
    chance = np.random.default_rng(sum(size))
    for image in (Image.new("RGB", size, "grey"), Image.fromarray(chance.integers(0, 256, (*size[::-1], 3), np.uint8))):
        buffer = io.BytesIO()
        image.convert(mode).save(buffer, "JPEG", **options)
        assert reason(buffer.getvalue()) == ""
