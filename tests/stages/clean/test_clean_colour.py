"""A scan in a wide gamut and the same picture in sRGB are duplicates: what is compared is what a person sees."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.icc_profiles import PROPHOTO, SRGB, between_spaces, grey_profile, rgb_profile
from stages.clean.check_image import CheckedImage, check_image
from stages.clean.settings import CleanSettings
from tests.stages.clean.test_duplicates import colour_field, detailed

SETTINGS = CleanSettings()


def check(root: Path, name: str, image: Image.Image, **options: object) -> CheckedImage:
    image.save(root / name, quality=95, **options)
    found = check_image(root, name, SETTINGS)
    assert not found.reason
    return found


def as_scanned(image: Image.Image) -> Image.Image:
    return Image.fromarray(between_spaces(np.asarray(image), SRGB, PROPHOTO).round().astype(np.uint8))


def levels(found: CheckedImage) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(found.colours), np.uint8).astype(int)


def differing_bits(one: CheckedImage, other: CheckedImage) -> int:
    return (int(one.hashes, 16) ^ int(other.hashes, 16)).bit_count()


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_the_colours_of_few_shapes_are_those_of_srgb(image_root: Path, suffix: str) -> None:
    image = colour_field(3)
    plain = check(image_root, f"plain.{suffix}", image)
    scan = check(image_root, f"scan.{suffix}", as_scanned(image), icc_profile=rgb_profile(PROPHOTO))
    stored = check(image_root, f"stored.{suffix}", as_scanned(image))
    assert np.abs(levels(scan) - levels(plain)).max() <= 6
    assert np.abs(levels(stored) - levels(plain)).max() > 15


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_hashes_are_those_of_the_picture_in_srgb(image_root: Path, suffix: str) -> None:
    image = detailed(3)
    plain = check(image_root, f"plain.{suffix}", image)
    scan = check(image_root, f"scan.{suffix}", as_scanned(image), icc_profile=rgb_profile(PROPHOTO))
    stored = check(image_root, f"stored.{suffix}", as_scanned(image))
    assert len(plain.hashes) == len(scan.hashes)
    assert differing_bits(plain, scan) < differing_bits(plain, stored)
    assert scan.mode == "RGB"


def test_a_grey_picture_of_another_gamma_is_hashed_in_srgb(image_root: Path) -> None:
    grey = detailed(4).convert("L")
    plain = check(image_root, "plain.png", grey)
    srgb = check(image_root, "srgb.png", grey, icc_profile=grey_profile(None))
    gamma = check(image_root, "gamma.png", grey, icc_profile=grey_profile(1.0))
    assert plain.hashes == srgb.hashes
    assert plain.hashes != gamma.hashes
