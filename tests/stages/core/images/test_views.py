"""Every kind of image becomes upright RGB, and its views depend on nothing but its bytes and the settings."""

import hashlib
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from torchvision.transforms import v2

from stages.core.images.files import ImageFolder, ImageLimits, UnusableImage, load_pixels, open_image
from stages.core.images.rgb import to_rgb
from stages.core.images.transform import Transform
from stages.core.images.views import PADDING_RGB, cut_view, cut_views, load_views
from tests.conftest import picture

Save = Callable[..., Path]
SMALL = Transform(resize_px=40, crop_px=32, views=3)
LIMITS = ImageLimits()


def encoded(image: Image.Image, format_name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(to_rgb(load_pixels(open_image(data, LIMITS))))


def views_of(data: bytes, key: str, transform: Transform) -> np.ndarray:
    return cut_views(open_image(data, LIMITS), key, transform)


def reference_view(image: Image.Image, transform: Transform) -> np.ndarray:
    """torchvision's way: resize all of the image, then cut the middle out."""
    crop = v2.CenterCrop(transform.crop_px)(v2.Resize(transform.resize_px)(image))
    return np.asarray(crop).transpose(2, 0, 1)


# Every mode that a file can have once it is opened: a file of that kind, and the largest mean error that it may have.
GREY, COLOUR = picture(1).convert("L"), picture(1)
MODES = {
    "1": (GREY.convert("1"), "PNG", 0), "L": (GREY, "PNG", 0), "P": (COLOUR.quantize(256), "PNG", 0),
    "RGB": (COLOUR, "PNG", 0), "CMYK": (COLOUR.convert("CMYK"), "TIFF", 0),
    "YCbCr": (COLOUR.convert("YCbCr"), "TIFF", 2), "LAB": (COLOUR.convert("LAB"), "TIFF", 2),
    "RGBA": (COLOUR.convert("RGBA"), "PNG", 0),
    "LA": (GREY.convert("LA"), "PNG", 0), "PA": (COLOUR.quantize(256).convert("PA"), "TIFF", 0),
    "I;16": (Image.fromarray(np.asarray(GREY, np.uint16) * 257), "TIFF", 0),
    "I": (Image.fromarray(np.asarray(GREY, np.int32) * 257), "TIFF", 0), "F": (GREY.convert("F"), "TIFF", 0),
}  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_becomes_the_rgb_that_it_stands_for(mode: str) -> None:
    image, format_name, tolerance = MODES[mode]
    data = encoded(image, format_name)
    assert open_image(data, LIMITS).mode == mode
    wanted = GREY if mode.startswith(("I", "F")) else COLOUR if mode in ("YCbCr", "LAB") else image
    assert np.abs(decoded(data).astype(int) - np.asarray(wanted.convert("RGB")).astype(int)).mean() <= tolerance


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_every_mode_of_jpeg_is_decoded_at_reduced_scale_too(mode: str) -> None:
    """Adobe's CMYK is stored inverted, which Pillow writes as well."""
    data = encoded(picture(4, (400, 300)).convert(mode), "JPEG", quality=95)
    fast, exact = (views_of(data, "k", replace(SMALL, decoder=decoder)).astype(int) for decoder in ("fast", "exact"))
    assert 0 < np.abs(fast - exact).mean() < 1.5


def test_cmyk_jpeg_is_not_inverted() -> None:
    red = Image.new("RGB", (64, 64), (200, 30, 30))
    pixel = decoded(encoded(red.convert("CMYK"), "JPEG", quality=95))[32, 32]
    assert np.abs(pixel.astype(int) - (200, 30, 30)).max() < 12


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_over_white(mode: str) -> None:
    clear = Image.new("RGBA", (40, 40), (0, 0, 0, 0)).convert(mode)
    assert (decoded(encoded(clear, "PNG")) == 255).all()


def test_a_transparent_palette_colour_is_white() -> None:
    image = Image.new("P", (40, 40), 0)
    image.putpalette([10, 20, 30] * 256)
    assert (decoded(encoded(image, "PNG", transparency=0)) == 255).all()


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    values = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    levels = decoded(encoded(Image.fromarray(values), "PNG"))[..., 0]
    assert np.abs(levels.astype(int) - (values // 256)).max() <= 1


def test_exif_orientation_is_applied() -> None:
    image = picture(2, (80, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    upright = decoded(encoded(image, "JPEG", exif=exif, quality=95))
    assert upright.shape[:2] == (80, 40)
    assert np.abs(upright.astype(int) - np.asarray(image.rotate(-90, expand=True)).astype(int)).mean() < 6


def test_at_reduced_scale_orientation_is_applied_too() -> None:
    image, exif = picture(2, (800, 400)), Image.Exif()
    exif[0x0112] = 6
    turned = views_of(encoded(image, "JPEG", exif=exif, quality=95), "k", SMALL)
    upright = views_of(encoded(image.rotate(-90, expand=True), "PNG"), "k", SMALL)
    assert np.abs(turned.astype(int) - upright.astype(int)).mean() < 3


def test_an_embedded_profile_is_left_unapplied() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    image = picture(3)
    assert (decoded(encoded(image, "PNG", icc_profile=profile)) == np.asarray(image)).all()


@pytest.mark.parametrize("size", [(300, 200), (200, 300), (64, 64), (640, 32)])
def test_the_centre_view_is_resize_then_crop(size: tuple[int, int]) -> None:
    image = picture(3, size)
    view = cut_view(image, "key", 0, SMALL)
    assert view.shape == (3, 32, 32)
    assert np.abs(view.astype(int) - reference_view(image, SMALL).astype(int)).mean() < 2.0


def test_decoding_at_reduced_scale_changes_little() -> None:
    data = encoded(picture(4, (1400, 1000)), "JPEG", quality=92)
    fast, exact = (
        views_of(data, "k", Transform(resize_px=256, crop_px=224, decoder=decoder)).astype(int)
        for decoder in ("fast", "exact")
    )
    assert 0 < np.abs(fast - exact).mean() < 1.5


@pytest.mark.parametrize("format_name", ["PNG", "JPEG"])
@pytest.mark.parametrize("size", [(3200, 160), (80, 1600), (8, 8), (8, 700), (31, 33)])
def test_extreme_shapes_give_full_views(size: tuple[int, int], format_name: str) -> None:
    views = views_of(encoded(picture(5, size), format_name), "k", SMALL)
    assert views.shape == (3, 3, 32, 32)
    assert not (views == np.array(PADDING_RGB).reshape(3, 1, 1)).all(axis=1).any()  # enlarged instead of padded


def test_an_image_smaller_than_the_crop_is_padded_around() -> None:
    padded = Transform(resize_px=32, crop_px=64)
    view = cut_view(Image.new("RGB", (50, 50), "red"), "k", 0, padded)
    assert (view[:, 16:48, 16:48].reshape(3, -1).T == (255, 0, 0)).all()
    border = np.ones((64, 64), dtype=bool)
    border[16:48, 16:48] = False
    assert (view[:, border].T == PADDING_RGB).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 50), st.integers(33, 200), st.integers(33, 200), st.integers(0, 3))
def test_views_depend_on_key_view_and_seed_alone(seed: int, width: int, height: int, random_state: int) -> None:
    data = encoded(picture(seed, (width, height)), "PNG")
    key = hashlib.sha256(data).hexdigest()
    three = views_of(data, key, replace(SMALL, random_state=random_state))
    assert (views_of(data, key, replace(SMALL, random_state=random_state, views=5))[:3] == three).all()


def test_random_views_differ_between_views_seeds_and_images() -> None:
    image = picture(6, (400, 300))
    views = [cut_view(image, key, view, replace(SMALL, random_state=seed))
             for key, view, seed in [("a", 1, 0), ("a", 2, 0), ("a", 1, 1), ("b", 1, 0)]]  # fmt: skip
    assert len({view.tobytes() for view in views}) == 4


def test_a_file_that_changed_since_cleaning_is_refused(image_root: Path, save_picture: Save) -> None:
    key = hashlib.sha256(save_picture("a.png", 1).read_bytes()).hexdigest()
    save_picture("a.png", 2)
    with pytest.raises(UnusableImage) as problem:
        load_views(ImageFolder(image_root), "a.png", key, SMALL)
    assert problem.value.reason == "changed"
