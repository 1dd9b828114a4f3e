"""Thumbnails: size, orientation, and files that are no images."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.icc_profiles import ADOBE_RGB, SRGB, between_spaces, rgb_profile
from stages.core.images.files import ImageFolder
from stages.core.pages.thumbnails import make_thumbnails, style_rules


def test_a_file_that_has_changed_since_clean_is_a_placeholder_and_is_named(
    image_root: Path, save_picture: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    digests = {"same.png": "", "changed.png": "0" * 64}
    digests["same.png"] = hashlib.sha256(save_picture("same.png", 1).read_bytes()).hexdigest()
    save_picture("changed.png", 2)
    made = make_thumbnails(ImageFolder(image_root), dict.fromkeys(digests, 32), digests=digests)
    assert [made[name].problem for name in digests] == ["", "changed"]
    assert "1 pictures have changed since `pipeline clean`" in caplog.text
    assert "changed.png" in caplog.text


def test_the_longest_side_is_as_asked_and_nothing_is_enlarged(
    image_root: Path, save_picture: Callable[..., Path]
) -> None:
    save_picture("wide.jpg", 0, size=(900, 300))
    save_picture("small.png", 1, size=(20, 30))
    made = make_thumbnails(ImageFolder(image_root), {"wide.jpg": 90, "small.png": 90}, n_jobs=2)
    assert [(t.width, t.height) for t in made.values()] == [(90, 30), (20, 30)]
    assert Image.open(io.BytesIO(made["wide.jpg"].webp)).size == (90, 30)


def test_a_photograph_taken_upright_stands_upright(image_root: Path, save_picture: Callable[..., Path]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    save_picture("turned.jpg", 0, size=(400, 200), exif=exif)
    [made] = make_thumbnails(ImageFolder(image_root), {"turned.jpg": 64}).values()
    assert (made.width, made.height) == (32, 64)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "I;16"])
def test_every_mode_of_colour_becomes_a_picture(image_root: Path, mode: str) -> None:
    Image.new(mode, (50, 40)).save(image_root / "image.tif")
    [made] = make_thumbnails(ImageFolder(image_root), {"image.tif": 32}).values()
    assert made.webp
    assert not made.problem


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("gone.jpg", None, "missing"),
        ("empty.jpg", b"", "empty"),
        ("page.jpg", b"<html>", "not an image"),
        ("../x.jpg", None, "outside root"),
    ],
)
def test_what_is_no_image_says_why(image_root: Path, name: str, content: bytes | None, problem: str) -> None:
    if content is not None:
        (image_root / name).write_bytes(content)
    [made] = make_thumbnails(ImageFolder(image_root), {name: 32}).values()
    assert made.problem == problem
    assert style_rules([made]) == ""


def test_a_thumbnail_is_in_srgb_and_holds_no_profile(image_root: Path) -> None:
    image = Image.new("RGB", (60, 60), (150, 60, 40))
    scan = Image.fromarray(between_spaces(np.asarray(image), SRGB, ADOBE_RGB).round().astype(np.uint8))
    scan.save(image_root / "scan.png", icc_profile=rgb_profile(ADOBE_RGB))
    [made] = make_thumbnails(ImageFolder(image_root), {"scan.png": 40}).values()
    shown = Image.open(io.BytesIO(made.webp))
    assert "icc_profile" not in shown.info
    assert np.abs(np.asarray(shown.convert("RGB")).astype(int) - (150, 60, 40)).max() <= 4
