"""Only the listed formats are decoded, by content; what is refused is named; every kind of grey has its levels."""

import io
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from stages.core.images.files import ImageFolder, ImageLimits, UnusableImage, load_pixels, open_image
from stages.core.images.formats import FORMATS, IMAGE_SUFFIXES
from stages.core.images.rgb import to_rgb
from tests.conftest import picture

GREY = picture(1).convert("L")
LEVELS = np.asarray(GREY).astype(np.float64)


def encoded(image: Image.Image, format_name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(to_rgb(load_pixels(open_image(data, ImageLimits())))).astype(int)


def refusal(data: bytes) -> UnusableImage:
    with pytest.raises(UnusableImage) as problem:
        load_pixels(open_image(data, ImageLimits()))
    return problem.value


@pytest.mark.parametrize("image_format", [one for one in FORMATS if one.pillow != "PSD"], ids=lambda one: one.name)
def test_every_listed_format_is_decoded_under_any_name(image_format: object, image_root: Path) -> None:
    if image_format.package:
        package = pytest.importorskip(image_format.package)
        if image_format.pillow == "HEIF":
            package.register_heif_opener()  # to write one
    (image_root / "any.xyz").write_bytes(encoded(picture(1), image_format.pillow))
    opened = ImageFolder(image_root).open("any.xyz")
    assert opened.format == image_format.pillow
    assert np.abs(np.asarray(to_rgb(load_pixels(opened))).astype(int) - np.asarray(picture(1))).mean() < 12


def flat_photoshop(image: Image.Image) -> bytes:
    """A Photoshop file without layers: header, three empty sections, planes that are not compressed."""
    header = b"8BPS" + struct.pack(">H6xHLLHH", 1, 3, image.height, image.width, 8, 3)
    return header + bytes(12) + b"\0\0" + np.asarray(image).transpose(2, 0, 1).tobytes()


def test_the_flat_picture_of_a_photoshop_file_is_decoded() -> None:
    assert (decoded(flat_photoshop(picture(1))) == np.asarray(picture(1))).all()


def test_the_endings_are_lower_case_and_none_means_two_formats() -> None:
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in IMAGE_SUFFIXES)
    assert len(IMAGE_SUFFIXES) == sum(len(image_format.suffixes) for image_format in FORMATS)


@pytest.mark.parametrize("format_name", ["EPS", "PPM", "TGA", "ICO", "PCX", "SGI", "DDS", "IM", "PDF"])
def test_no_other_decoder_is_tried(format_name: str) -> None:
    assert refusal(encoded(picture(1, (64, 64)), format_name)).reason == "not_an_image"


def test_a_postscript_file_starts_no_ghostscript(
    tmp_path: Path, image_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = tmp_path / "started"
    for name in ("gs", "gswin64c", "gswin32c"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\ntouch {started}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    (image_root / "picture.jpg").write_bytes(encoded(picture(1), "EPS"))
    with pytest.raises(UnusableImage, match="PostScript"):
        load_pixels(ImageFolder(image_root).open("picture.jpg"))
    assert not started.exists()


def test_a_jpeg_of_twelve_bits_is_refused_by_name() -> None:
    data = bytearray(encoded(picture(1), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 4] = 12
    assert "12 bits a sample" in refusal(bytes(data)).detail


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ((LEVELS / 255).astype(np.float32), LEVELS),
        ((LEVELS / 255 * 1.4).astype(np.float32), (LEVELS * 1.4).clip(0, 255)),
        (LEVELS.astype(np.float32), LEVELS),
        ((LEVELS * 257).astype(np.float32), LEVELS),
        (LEVELS.astype(np.int32), LEVELS),
        ((LEVELS * 257).astype(np.int32), LEVELS),
        ((LEVELS * 2**23).astype(np.int32), LEVELS),
        ((LEVELS / 127.5 - 1).astype(np.float32), (LEVELS - LEVELS.min()) * 255 / np.ptp(LEVELS)),
    ],
    ids=["0 to 1", "highlights", "0 to 255", "16 bits", "whole 8", "whole 16", "whole 31", "-1 to 1"],
)
def test_grey_of_32_bits_has_its_levels(values: np.ndarray, wanted: np.ndarray) -> None:
    assert np.abs(decoded(encoded(Image.fromarray(values), "TIFF"))[..., 0] - wanted).max() <= 1


def test_the_range_that_a_tiff_declares_is_black_and_white() -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags.tagtype[340] = tags.tagtype[341] = 11
    tags[340], tags[341] = 100.0, 1000.0
    values = (100 + LEVELS / 255 * 900).astype(np.float32)
    assert np.abs(decoded(encoded(Image.fromarray(values), "TIFF", tiffinfo=tags))[..., 0] - LEVELS).max() <= 1


def test_numbers_that_are_none_are_black() -> None:
    values = (LEVELS / 255).astype(np.float32)
    values[0, 0], values[0, 1] = np.nan, np.inf
    found = decoded(encoded(Image.fromarray(values), "TIFF"))[..., 0]
    assert found[0, 0] == 0
    assert np.abs(found[1:] - LEVELS[1:]).max() <= 1


def test_of_several_pages_the_largest_is_taken_that_is_no_reduced_copy() -> None:
    reduced = TiffImagePlugin.ImageFileDirectory_v2()
    reduced[254] = 1
    buffer = io.BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(buffer) as pages:
        for image, tags in (
            (picture(1, (60, 40)), None),
            (picture(2, (90, 80)), None),
            (picture(3, (200, 200)), reduced),
        ):
            image.save(pages, "TIFF", **({"tiffinfo": tags} if tags else {}))
            pages.newFrame()
    assert (decoded(buffer.getvalue()) == np.asarray(picture(2, (90, 80)))).all()


def test_a_damaged_page_behind_a_good_one_costs_nothing() -> None:
    buffer = io.BytesIO()
    picture(1).save(buffer, "TIFF", save_all=True, append_images=[picture(2, (200, 200))])
    data = bytearray(buffer.getvalue())
    start = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[start : start + 2], "little")
    following = int.from_bytes(data[start + 2 + 12 * count : start + 6 + 12 * count], "little")
    data[following : following + 40] = b"\xff" * 40
    assert (decoded(bytes(data)) == np.asarray(picture(1))).all()


@pytest.fixture
def make_special(image_root: Path) -> Callable[[str], None]:
    """Put something that is no file where a picture is expected."""

    def make(kind: str) -> None:
        path = image_root / "picture.jpg"
        if kind == "a FIFO":
            os.mkfifo(path)
        elif kind == "a folder":
            path.mkdir()
        elif kind == "a socket":
            os.chdir(image_root)
            socket.socket(socket.AF_UNIX).bind(path.name)

    return make


@pytest.mark.parametrize("kind", ["a FIFO", "a folder", "a socket"])
def test_what_is_no_file_is_refused_and_never_waited_for(
    image_root: Path, make_special: Callable[[str], None], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(image_root)
    make_special(kind)
    with pytest.raises(UnusableImage, match=f"unreadable .{kind}, not a file"):
        ImageFolder(image_root).read("picture.jpg")


def test_a_file_too_large_for_any_allowed_picture_is_refused_by_its_size(image_root: Path) -> None:
    with (image_root / "sparse.jpg").open("wb") as file:
        file.truncate(12 * 2**30)
    with pytest.raises(UnusableImage, match=r"too_large .12884901888 bytes, more than"):
        ImageFolder(image_root, ImageLimits(max_pixels=100_000_000)).read("sparse.jpg")
