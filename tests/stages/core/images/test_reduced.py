"""`clean.max_pixels` is the limit, whatever Pillow's own is; what a decoding process has no room for is named."""

import io
import warnings

import numpy as np
import pytest
from PIL import Image

from stages.clean.check_image import check_image
from stages.clean.settings import CleanSettings
from stages.core.images import files, reduced
from stages.core.images.files import ImageLimits, UnusableImage, load_pixels, open_image
from stages.core.images.rgb import to_rgb
from tests.conftest import picture
from tests.stages.clean.test_clean import bomb

LIMITS = ImageLimits()
SIZE = (200, 150)


def encoded(image: Image.Image, format_name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def refusal(data: bytes, limits: ImageLimits = LIMITS) -> UnusableImage:
    with pytest.raises(UnusableImage) as problem:
        load_pixels(open_image(data, limits))
    return problem.value


@pytest.fixture
def small_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reduced, "WHOLE_PIXELS", 6_000)
    monkeypatch.setattr(reduced, "BAND_PIXELS", 2_100)


@pytest.mark.parametrize("format_name", ["PNG", "TIFF", "GIF", "WEBP", "JPEG", "JPEG2000", "AVIF", "BMP"])
def test_the_limit_is_exact_in_every_format(format_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow's own limit says nothing
    data, pixels = encoded(picture(1, SIZE), format_name), SIZE[0] * SIZE[1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_pixels(open_image(data, ImageLimits(pixels))).size == SIZE
    assert refusal(data, ImageLimits(pixels - 1)).reason == "too_large"
    assert refusal(data, ImageLimits(pixels // 3)).reason == "too_large"
    assert Image.MAX_IMAGE_PIXELS == 100


def test_the_limit_is_exact_beyond_the_one_that_pillow_has() -> None:
    at_limit = bomb(20_000, 12_500)  # 250 megapixels, of which no pixel is there
    assert open_image(at_limit, ImageLimits(250_000_000)).size == (20_000, 12_500)
    assert refusal(at_limit, ImageLimits(249_999_999)).reason == "too_large"
    assert CleanSettings(max_pixels=files.LARGEST_PIXELS).max_pixels == files.LARGEST_PIXELS
    with pytest.raises(ValueError, match="less than or equal"):
        CleanSettings(max_pixels=files.LARGEST_PIXELS + 1)


def test_a_decoder_that_makes_more_pixels_than_declared_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    image = open_image(encoded(picture(1, SIZE), "TIFF"), LIMITS)
    image._tile_size = (2000, 1500)  # as Pillow allocates them
    with pytest.raises(UnusableImage, match=r"too_large .Image size .3000000 pixels. exceeds limit of 60000 pixels"):
        load_pixels(image)


def test_a_decoding_process_needs_no_more_memory_for_larger_pictures() -> None:
    sizes = [ImageLimits(pixels).memory_bytes for pixels in (1_000_000, 100_000_000, 500_000_000, 2**31 - 1)]
    assert CleanSettings().max_pixels == reduced.WHOLE_PIXELS  # no picture is reduced by default
    assert sizes[0] < sizes[1] == sizes[2] == sizes[3] == 1088 * 2**20 + 32 * 100_000_000


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_large_jpeg_is_decoded_at_the_scale_that_can_be_held(
    mode: str, progressive: bool, small_room: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reduced, "BYTES_PER_PIXEL", 100)
    data = encoded(picture(1, SIZE).convert(mode), "JPEG", quality=95, progressive=progressive)
    pixels = np.asarray(to_rgb(load_pixels(open_image(data, LIMITS)))).astype(int)
    assert pixels.shape == (38, 50, 3)
    wanted = picture(1, SIZE).convert(mode).reduce(4).convert("RGB")
    assert np.abs(pixels - np.asarray(wanted)).mean() < 3


@pytest.mark.parametrize(("subsampling", "coefficients"), [(0, 3.0), (1, 2.0), (2, 1.5)])
def test_the_coefficients_of_a_progressive_jpeg_are_counted_before_it_is_decoded(
    subsampling: int, coefficients: float, small_room: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = (320, 160)  # whole blocks of 16 x 16
    data = encoded(Image.new("RGB", size), "JPEG", progressive=True, subsampling=subsampling)
    needed = int(2 * coefficients * size[0] * size[1]) + len(data)
    monkeypatch.setattr(reduced, "WHOLE_PIXELS", 1)
    monkeypatch.setattr(reduced, "BYTES_PER_PIXEL", needed)
    assert open_image(data, LIMITS).size == size
    monkeypatch.setattr(reduced, "BYTES_PER_PIXEL", needed - 1)
    problem = refusal(data)
    assert problem.reason == "too_large"
    assert "all coefficients of a progressive JPEG are held: save it as a baseline JPEG" in problem.detail
    assert open_image(encoded(Image.new("RGB", size), "JPEG", subsampling=subsampling), LIMITS).size == size


def test_a_large_jpeg_2000_is_decoded_at_a_scale_that_it_holds(
    small_room: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture_whole = picture(1, SIZE)
    halved = encoded(picture_whole, "JPEG2000", num_resolutions=4)
    pixels = np.asarray(load_pixels(open_image(halved, LIMITS))).astype(int)
    assert pixels.shape == (38, 50, 3)
    assert np.abs(pixels - np.asarray(picture_whole.reduce(4))).mean() < 6
    with_none = encoded(picture_whole, "JPEG2000", num_resolutions=1)
    assert "JPEG2000 is decoded whole" in refusal(with_none).detail
    monkeypatch.setattr(reduced, "BYTES_PER_PIXEL", 100)
    assert np.asarray(load_pixels(open_image(with_none, LIMITS))).shape == (50, 67, 3)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "I;16", "RGBA"])
def test_a_large_png_is_decoded_whole_and_then_averaged(
    mode: str, small_room: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = picture(1, SIZE)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    image = image.quantize(64) if mode == "P" else image if mode == "I;16" else image.convert(mode)
    data = encoded(image, "PNG")
    monkeypatch.setattr(reduced, "BYTES_PER_PIXEL", 100)
    pixels = np.asarray(to_rgb(load_pixels(open_image(data, LIMITS)))).astype(int)
    wanted = np.asarray(to_rgb(image)).astype(float)[:, :198].reshape(50, 3, 66, 3, 3).mean((1, 3))
    assert pixels.shape == (50, 67, 3)
    assert np.abs(pixels[:, :66] - wanted).max() <= 1
    monkeypatch.setattr(reduced, "BYTES_PER_PIXEL", 1)
    assert "PNG is decoded whole: save it as a baseline JPEG or as a TIFF in strips" in refusal(data).detail


def test_clean_says_which_page_it_took_and_describes_a_large_picture_as_the_whole(
    image_root: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    size, settings = (1200, 900), CleanSettings()
    picture(1, size).save(image_root / "a.tif", save_all=True, append_images=[picture(2, (300, 200))])
    whole = check_image(image_root, "a.tif", settings)
    monkeypatch.setattr(reduced, "WHOLE_PIXELS", 200_000)
    monkeypatch.setattr(reduced, "BAND_PIXELS", 50_000)
    monkeypatch.setattr(files, "LARGE_FILE_BYTES", 100_000)
    found = check_image(image_root, "a.tif", settings)
    assert (found.reason, found.page) == ("", "1 of 2")
    assert (found.sha256, found.width, found.height, found.mode) == (whole.sha256, *size, "RGB")
    words = [np.frombuffer(bytes.fromhex(one.hashes), np.uint8) for one in (found, whole)]
    assert np.unpackbits(words[0] ^ words[1])[:64].sum() <= settings.near_duplicate_bits
