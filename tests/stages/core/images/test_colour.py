"""Embedded profiles become sRGB, to the value that the formulas give; one that says nothing new changes no bit."""

import io
import struct
import tempfile
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageCms, TiffImagePlugin

from benchmarks.icc_profiles import (
    ADOBE_RGB,
    DISPLAY_P3,
    PROPHOTO,
    SRGB,
    Space,
    between_spaces,
    cmyk_profile,
    decode_curve,
    encode_curve,
    grey_profile,
    rgb_profile,
)
from stages.core.images.colour import LARGEST_PROFILE_BYTES, conversion_of
from stages.core.images.files import ImageLimits, load_pixels, open_image
from stages.core.images.metadata import drop_jpeg_metadata
from stages.core.images.rgb import to_rgb
from stages.core.images.transform import Colour, Transform
from stages.core.images.views import PADDING_RGB, cut_views
from tests.conftest import picture

ADOBE = rgb_profile(ADOBE_RGB)
GREY = picture(1).convert("L")
# Of two roundings: lcms works in 8 bits, too.
TOLERANCE = 2


def encoded(image: Image.Image, format_name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def decoded(data: bytes, colour: Colour = "srgb") -> np.ndarray:
    return np.asarray(to_rgb(load_pixels(open_image(data, ImageLimits())), colour)).astype(int)


def largest_error(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.abs(found - wanted).max())


def jpeg_2000(image: Image.Image, profile: bytes) -> bytes:
    """A JPEG 2000 file whose colour box holds a profile instead of the number of a known space."""
    data = encoded(image, "JPEG2000")
    header = data.index(b"jp2h") - 4
    colour = data.index(b"colr") - 4
    size = int.from_bytes(data[colour : colour + 4], "big")
    box = struct.pack(">L", 11 + len(profile)) + b"colr\2\0\0" + profile
    longer = int.from_bytes(data[header : header + 4], "big") + len(box) - size
    return data[:header] + struct.pack(">L", longer) + data[header + 4 : colour] + box + data[colour + size :]


def photoshop(image: Image.Image, profile: bytes) -> bytes:
    """A Photoshop file without layers whose resource 1039 is a profile."""
    header = b"8BPS" + struct.pack(">H6xHLLHH", 1, 3, image.height, image.width, 8, 3)
    resource = b"8BIM" + struct.pack(">H2xL", 1039, len(profile)) + profile + bytes(len(profile) % 2)
    sections = bytes(4) + struct.pack(">L", len(resource)) + resource + bytes(4) + b"\0\0"
    return header + sections + np.asarray(image).transpose(2, 0, 1).tobytes()


def jpeg_xl(image: Image.Image, profile: bytes) -> bytes:
    """A JPEG file packed as JPEG XL: the only way in which pillow_jxl writes a profile."""
    pytest.importorskip("pillow_jxl")
    with tempfile.NamedTemporaryFile(suffix=".jpg") as file:
        image.save(file, "JPEG", quality=95, icc_profile=profile)
        file.flush()
        return encoded(Image.open(file.name), "JXL", lossless_jpeg=True)


def in_format(image: Image.Image, name: str, profile: bytes) -> bytes:
    if name == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    if name == "JXL":
        return jpeg_xl(image, profile)
    if name == "JPEG2000":
        return jpeg_2000(image, profile)
    if name == "PSD":
        return photoshop(image, profile)
    return encoded(image, name, icc_profile=profile, quality=95, lossless=name == "WEBP")


FORMATS = ["JPEG", "PNG", "WEBP", "TIFF", "JPEG2000", "AVIF", "PSD", "HEIF", "JXL"]


@pytest.mark.parametrize("format_name", FORMATS)
def test_the_profile_of_every_format_that_has_one_is_converted(format_name: str) -> None:
    data = in_format(picture(1), format_name, ADOBE)
    stored, found = decoded(data, "as_stored"), decoded(data)
    assert np.abs(stored - np.asarray(picture(1))).mean() < 12
    assert largest_error(found, between_spaces(stored, ADOBE_RGB, SRGB)) <= TOLERANCE
    assert np.abs(found - stored).mean() > 3


@pytest.mark.parametrize("space", [ADOBE_RGB, DISPLAY_P3, PROPHOTO], ids=["Adobe RGB", "Display P3", "ProPhoto RGB"])
def test_known_colours_of_a_wide_gamut_have_their_srgb_values(space: Space) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(levels), "PNG", icc_profile=rgb_profile(space))
    assert largest_error(decoded(data), between_spaces(levels, space, SRGB)) <= TOLERANCE
    assert (decoded(data, "as_stored") == levels).all()


@pytest.mark.parametrize(
    ("adobe", "srgb"),
    [((219, 0, 0), (255, 0, 0)), ((144, 255, 60), (0, 255, 0)), ((0, 0, 250), (0, 0, 255)), ((128,) * 3, (127,) * 3)],
)
def test_the_primaries_of_srgb_have_their_well_known_values_in_adobe_rgb(
    adobe: tuple[int, ...], srgb: tuple[int, ...]
) -> None:
    data = encoded(Image.new("RGB", (8, 8), adobe), "PNG", icc_profile=ADOBE)
    assert largest_error(decoded(data)[0, 0], np.array(srgb)) <= TOLERANCE


def broken_profiles() -> dict[str, bytes]:
    generator = np.random.default_rng(0)
    black = bytearray(ADOBE)
    for name in (b"rXYZ", b"gXYZ", b"bXYZ"):
        place = ADOBE.index(name) + 4
        start = int.from_bytes(ADOBE[place : place + 4], "big") + 8
        black[start : start + 12] = bytes(12)
    return {
        "nothing": b"",
        "no profile": bytes(300),
        "noise": generator.bytes(3000),
        "header alone": ADOBE[:128],
        "cut off": ADOBE[:250],
        "noise behind the header": ADOBE[:128] + generator.bytes(400),
        "tags of zeros": ADOBE[:252] + bytes(len(ADOBE) - 252),
        "black primaries": bytes(black),
        "a device link": ADOBE[:12] + b"link" + ADOBE[16:],
        "too large": ADOBE + bytes(LARGEST_PROFILE_BYTES),
    }


UNCHANGED = broken_profiles() | {
    "sRGB": rgb_profile(SRGB),
    "sRGB of Little CMS": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    "Lab": ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(),
    "of grey": grey_profile(1.8),
}


@pytest.mark.parametrize("format_name", ["JPEG", "WEBP", "TIFF", "PNG"])
@pytest.mark.parametrize("kind", UNCHANGED)
def test_a_profile_that_is_broken_or_srgb_or_of_other_pixels_changes_no_bit(kind: str, format_name: str) -> None:
    data = encoded(picture(1), format_name, icc_profile=UNCHANGED[kind], quality=95)
    assert (decoded(data) == decoded(data, "as_stored")).all()
    assert (decoded(data) == decoded(encoded(picture(1), format_name, quality=95))).all()


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_profile_never_costs_the_picture(seed: int) -> None:
    generator = np.random.default_rng(seed)
    profile = np.frombuffer(ADOBE, np.uint8).copy()
    places = generator.integers(24, len(profile), 12)
    profile[places] = generator.integers(0, 256, 12)
    assert decoded(encoded(picture(1), "JPEG", icc_profile=profile.tobytes())).shape == (64, 80, 3)


@pytest.mark.parametrize("format_name", ["PNG", "JPEG", "TIFF"])
def test_a_grey_picture_and_its_rgb_twin_give_the_same_views(format_name: str) -> None:
    transform = Transform(resize_px=40, crop_px=32, views=3)
    grey, twin, profiled = (
        cut_views(open_image(data, ImageLimits()), "k", transform)
        for data in (
            encoded(GREY, format_name, quality=95),
            encoded(GREY.convert("RGB"), format_name, quality=95),
            encoded(GREY, format_name, quality=95, icc_profile=grey_profile(None)),
        )
    )
    assert (grey == twin).all()
    assert (grey == profiled).all()


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_a_grey_profile_gives_grey_of_the_right_levels(mode: str) -> None:
    levels = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    image = Image.fromarray(levels.astype(np.uint16) * 257 if mode == "I;16" else levels)
    found = decoded(encoded(image.convert(mode), "PNG", icc_profile=grey_profile(1.8)))
    assert (np.ptp(found, axis=2) == 0).all()
    wanted = 255 * encode_curve(decode_curve(levels / 255, round(1.8 * 256) / 256), None)
    assert largest_error(found[..., 0], wanted) <= TOLERANCE


def test_grey_of_a_gamma_and_its_twin_in_adobe_rgb_are_the_same() -> None:
    grey = decoded(encoded(GREY, "PNG", icc_profile=grey_profile(563 / 256)))
    twin = decoded(encoded(GREY.convert("RGB"), "PNG", icc_profile=ADOBE))
    assert largest_error(grey, twin) <= 1
    assert np.abs(grey - np.asarray(GREY)[..., None]).max() > 2


@pytest.mark.parametrize("mode", ["L", "1", "CMYK"])
def test_an_rgb_profile_in_a_picture_without_rgb_is_as_absent(mode: str) -> None:
    plain, profiled = (decoded(encoded(picture(1).convert(mode), "TIFF", **options))
                       for options in ({}, {"icc_profile": ADOBE}))  # fmt: skip
    assert (plain == profiled).all()


def test_colours_are_converted_before_transparency_is_laid_over_white() -> None:
    image = picture(1).convert("RGBA")
    image.putalpha(GREY)
    alpha = np.asarray(GREY)[..., None] / 255
    colours = between_spaces(np.asarray(picture(1)), ADOBE_RGB, SRGB)
    found = decoded(encoded(image, "PNG", icc_profile=ADOBE))
    assert largest_error(found, alpha * colours + (1 - alpha) * 255) <= TOLERANCE


def test_a_palette_is_converted_and_its_transparent_colour_is_white() -> None:
    image = Image.new("P", (40, 40), 1)
    image.putpalette([10, 20, 30, 100, 150, 100])
    image.paste(0, (0, 0, 20, 40))
    found = decoded(encoded(image, "PNG", transparency=0, icc_profile=ADOBE))
    assert (found[:, :20] == 255).all()
    assert largest_error(found[:, 20:], between_spaces(np.array([100, 150, 100]), ADOBE_RGB, SRGB)) <= TOLERANCE


def lab_of_inks(inks: np.ndarray) -> np.ndarray:
    """Inks that no formula of Pillow's knows: a dull cyan, a violet magenta, an orange yellow; black covers all."""
    colour = 100 + inks[:, :3] @ np.array([[-40.0, -30, -40], [-45, 60, -25], [-15, 15, 70]])
    light = (100 - inks[:, :3] @ np.array([40.0, 45, 15])) * (1 - inks[:, 3])
    return np.stack([light, (colour[:, 1] - 100) * (1 - inks[:, 3]), (colour[:, 2] - 100) * (1 - inks[:, 3])], axis=1)


def srgb_of_lab(lab: np.ndarray) -> np.ndarray:
    """By CIE's formula to XYZ, which the space's matrix takes from D50."""
    y = (lab[:, 0] + 16) / 116
    xyz = np.stack([y + lab[:, 1] / 500, y, y - lab[:, 2] / 200], axis=1)
    xyz = np.where(xyz > 6 / 29, xyz**3, (xyz - 4 / 29) * 3 * (6 / 29) ** 2) * (0.9642, 1, 0.8249)
    return 255 * encode_curve(xyz @ np.linalg.inv(matrix_of_srgb()).T, None)


def matrix_of_srgb() -> np.ndarray:
    """Linear sRGB to XYZ relative to D50, from the standard's values."""
    return np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])


@pytest.mark.parametrize("format_name", ["TIFF", "JPEG"])
def test_cmyk_is_converted_by_its_profile(format_name: str) -> None:
    """Adobe's JPEG files hold their inks inverted, and Pillow writes such."""
    inks = np.array(list(np.ndindex(2, 2, 2, 2)), float)
    # Of 16 pixels each: a block of JPEG holds one colour.
    levels = np.kron((inks * 255).astype(np.uint8)[None], np.ones((16, 16, 1), np.uint8))
    image = Image.frombytes("CMYK", levels.shape[1::-1], levels.tobytes())
    data = encoded(image, format_name, quality=100, icc_profile=cmyk_profile(lab_of_inks))
    found = decoded(data)[8, 8::16]
    assert largest_error(found, srgb_of_lab(lab_of_inks(inks))) <= (TOLERANCE if format_name == "TIFF" else 6)
    assert np.abs(found - decoded(data, "as_stored")[8, 8::16]).mean() > 10


def test_lab_needs_no_profile() -> None:
    lab = picture(1).convert("LAB")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    plain, profiled = (decoded(encoded(lab, "TIFF", **options)) for options in ({}, {"icc_profile": profile}))
    assert (plain == profiled).all()
    assert (plain == decoded(encoded(lab, "TIFF"), "as_stored")).all()


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_picture_on_its_side_is_turned_and_converted(format_name: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(picture(1), format_name, exif=exif, icc_profile=ADOBE, quality=95, lossless=True)
    stored, found = decoded(data, "as_stored"), decoded(data)
    assert found.shape == (80, 64, 3)
    assert largest_error(found, between_spaces(stored, ADOBE_RGB, SRGB)) <= TOLERANCE


def test_at_reduced_scale_colours_are_converted_too() -> None:
    transform = Transform(resize_px=64, crop_px=56)
    data = encoded(picture(4, (400, 300)), "JPEG", quality=95, icc_profile=ADOBE)
    fast, exact, stored = (
        cut_views(open_image(data, ImageLimits()), "k", replace(transform, **change)).astype(int)
        for change in ({}, {"decoder": "exact"}, {"colour": "as_stored"})
    )
    assert 0 < np.abs(fast - exact).mean() < 1.5
    wanted = between_spaces(stored.transpose(0, 2, 3, 1), ADOBE_RGB, SRGB).transpose(0, 3, 1, 2)
    assert largest_error(fast, wanted) <= TOLERANCE


@pytest.mark.parametrize("size", [(30, 20), (200, 20)])
def test_padding_has_its_own_colour_in_any_space(size: tuple[int, int]) -> None:
    data = encoded(Image.new("RGB", size, (100, 150, 100)), "PNG", icc_profile=ADOBE)
    [view] = cut_views(open_image(data, ImageLimits()), "k", Transform(resize_px=20, crop_px=64))
    assert tuple(view[:, 0, 0]) == PADDING_RGB
    assert largest_error(view[:, 32, 32], between_spaces(np.array([100, 150, 100]), ADOBE_RGB, SRGB)) <= TOLERANCE


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "CMYK"])
def test_views_of_every_mode_are_those_of_the_converted_picture(mode: str) -> None:
    image, transform = picture(4, (200, 150)).convert(mode), Transform(resize_px=64, crop_px=56, views=3)
    profile = {"L": grey_profile(1.8), "CMYK": cmyk_profile(lab_of_inks)}.get(mode, ADOBE)
    data = encoded(image, "TIFF", icc_profile=profile)
    converted = encoded(Image.fromarray(decoded(data).astype(np.uint8)), "PNG")
    views, wanted = (cut_views(open_image(one, ImageLimits()), "k", transform).astype(int) for one in (data, converted))
    assert np.abs(views - wanted).mean() < 0.5


def test_a_profile_in_several_segments_of_a_jpeg_is_joined() -> None:
    padded = ADOBE + bytes(150_000)
    data = encoded(picture(1), "JPEG", icc_profile=padded, quality=95)
    assert data.count(b"ICC_PROFILE\0") == 3
    assert (decoded(data) == decoded(encoded(picture(1), "JPEG", icc_profile=ADOBE, quality=95))).all()


def test_a_jpeg_without_its_other_metadata_keeps_its_profile() -> None:
    data = encoded(picture(1), "JPEG", icc_profile=ADOBE, comment=b"a" * 5000, quality=95)
    stripped = drop_jpeg_metadata(data)
    assert len(stripped) < len(data) - 5000
    assert (decoded(stripped) == decoded(data)).all()


@pytest.mark.parametrize("length", [0, 1, 2])
def test_a_segment_that_ends_within_its_numbers_costs_no_picture(length: int) -> None:
    data = encoded(picture(1), "JPEG", quality=95)
    content = b"ICC_PROFILE\0" + bytes(length)
    damaged = data[:2] + b"\xff\xe2" + struct.pack(">H", 2 + len(content)) + content + data[2:]
    assert (decoded(damaged) == decoded(data)).all()


def chunk(name: bytes, content: bytes, damage: int = 0) -> bytes:
    return struct.pack(">L", len(content)) + name + content + struct.pack(">L", zlib.crc32(name + content) ^ damage)


@pytest.mark.parametrize(
    "profile",
    [
        chunk(b"iCCP", b"damaged\0\0" + zlib.compress(ADOBE), damage=1),
        chunk(b"iCCP", b"cut\0\0" + zlib.compress(ADOBE)[:-9]),
        chunk(b"iCCP", b"no name"),
        chunk(b"iCCP", b"a bomb\0\0" + zlib.compress(bytes(100_000_000))),
        chunk(b"gAMA", struct.pack(">L", 100_000)),
        chunk(b"cHRM", struct.pack(">8L", *[10_000] * 8)),
        chunk(b"cICP", b"\x09\x10\0\1"),
        chunk(b"sRGB", b"\0"),
    ],
    ids=["damaged", "cut off", "nothing", "a bomb", "gAMA", "cHRM", "cICP", "sRGB"],
)
def test_what_is_no_whole_profile_of_a_png_changes_nothing(profile: bytes) -> None:
    data = encoded(picture(1), "PNG")
    start = data.index(b"IDAT") - 4
    assert (decoded(data[:start] + profile + data[start:]) == np.asarray(picture(1))).all()


@pytest.mark.parametrize("method", [1, 9])
def test_a_colour_box_that_holds_no_profile_changes_nothing(method: int) -> None:
    data = bytearray(jpeg_2000(picture(1), ADOBE))
    data[data.index(b"colr") + 4] = method
    assert (decoded(bytes(data)) == decoded(bytes(data), "as_stored")).all()


def test_of_several_pages_the_largest_has_its_own_profile_or_none() -> None:
    buffer = io.BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(buffer) as pages:
        picture(1, (60, 40)).save(pages, "TIFF", icc_profile=ADOBE)
        pages.newFrame()
        picture(2, (90, 80)).save(pages, "TIFF")
        pages.newFrame()
    assert (decoded(buffer.getvalue()) == np.asarray(picture(2, (90, 80)))).all()


def test_a_converted_picture_carries_no_profile_on() -> None:
    image = load_pixels(open_image(encoded(picture(1), "PNG", icc_profile=ADOBE), ImageLimits()))
    assert conversion_of(image) is not None
    assert conversion_of(to_rgb(image)) is None
    assert "icc_profile" not in to_rgb(image).info
    assert to_rgb(image, "as_stored").info["icc_profile"] == ADOBE
