"""A TIFF too large to be held whole is decoded in bands, and is the average of squares of the whole picture."""

import contextlib
import io
import resource
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from stages.core.images import files, reduced
from stages.core.images.decoding.pool import Decoders
from stages.core.images.files import ImageFolder, ImageLimits, UnusableImage, load_pixels, open_image
from stages.core.images.large_file import LargeFile
from stages.core.images.rgb import to_rgb
from stages.core.images.tiff import LargeTiff, page_of
from stages.core.images.transform import Transform
from stages.core.images.views import CENTRE_VIEW, cut_view, cut_views
from tests.conftest import picture
from tests.stages.core.images.tiled import tiled_tiff

SIZE = (203, 151)
LIMITS = ImageLimits()
# To which SIZE is reduced by 3.
SMALL_WHOLE, SMALL_BAND = 6_000, 2_100
FACTOR = 3


@pytest.fixture
def small_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take pictures for large that are made in no time."""
    monkeypatch.setattr(reduced, "WHOLE_PIXELS", SMALL_WHOLE)
    monkeypatch.setattr(reduced, "BAND_PIXELS", SMALL_BAND)


def in_mode(mode: str) -> Image.Image:
    """A smooth picture of a mode, with transparent parts where it can have them."""
    image = picture(1, SIZE)
    if mode in ("RGBA", "LA"):
        image.putalpha(picture(2, SIZE).convert("L"))
        return image.convert(mode)
    levels = np.asarray(image.convert("L"))
    if mode == "I;16":
        return Image.fromarray(levels.astype(np.uint16) * 257)
    if mode in ("F", "I"):
        return Image.fromarray((levels / 127.5 - 1).astype(np.float32) if mode == "F" else levels.astype(np.int32) * 9)
    return image.quantize(64) if mode == "P" else image.convert(mode)


def saved(image: Image.Image, rows: int = 7, **options: object) -> bytes:
    """A TIFF in strips of so many rows."""
    buffer = io.BytesIO()
    row_bytes = len(image.crop((0, 0, image.width, 1)).tobytes())
    image.save(buffer, "TIFF", strip_size=rows * row_bytes, **options)
    return buffer.getvalue()


def rgb_of(data: bytes) -> np.ndarray:
    return np.asarray(to_rgb(load_pixels(open_image(data, LIMITS)))).astype(float)


def averaged(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Means of squares; those at the right and lower edge may be smaller."""
    rows, columns = (np.arange(0, side, factor) for side in pixels.shape[:2])
    sums = np.add.reduceat(np.add.reduceat(pixels, rows, axis=0), columns, axis=1)
    ones = np.ones(pixels.shape[:2])
    return sums / np.add.reduceat(np.add.reduceat(ones, rows, axis=0), columns, axis=1)[..., None]


def assert_in_bands(data: bytes, whole: np.ndarray, tolerance: float = 1.0) -> None:
    opened = open_image(data, LIMITS)
    assert isinstance(opened, LargeTiff)
    assert opened.size == (whole.shape[1], whole.shape[0])
    pixels = np.asarray(to_rgb(load_pixels(opened))).astype(float)
    wanted = averaged(whole, FACTOR)
    assert pixels.shape == wanted.shape
    assert np.abs(pixels - wanted).max() <= tolerance


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "RGBA", "LA", "P", "1", "I;16", "F", "I", "LAB", "YCbCr"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_strips_of_every_mode_are_averaged(
    mode: str, compression: str | None, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    data = saved(in_mode(mode), compression=compression)
    whole = rgb_of(data)
    request.getfixturevalue("small_room")
    # A colour is rounded before it is averaged, or after; 16 and 32 bits are cut off.
    assert_in_bands(data, whole, 2.0 if mode in ("CMYK", "LAB", "YCbCr", "RGBA", "LA", "F", "I") else 1.0)


@pytest.mark.parametrize(("compression", "mode"), [("jpeg", "RGB"), ("jpeg", "L"), ("group4", "1"), ("group3", "1")])
def test_strips_of_the_other_compressions_are_averaged(
    compression: str, mode: str, request: pytest.FixtureRequest
) -> None:
    data = saved(in_mode(mode), compression=compression, rows=16)
    whole = rgb_of(data)
    request.getfixturevalue("small_room")
    assert_in_bands(data, whole)


# Pillow reads no BigTIFF that begins with the highest byte.
@pytest.mark.parametrize(("order", "big"), [("<", False), (">", False), ("<", True)])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("compression", [1, 8])
def test_tiles_are_averaged(
    order: str, big: bool, depth: type, compression: int, request: pytest.FixtureRequest
) -> None:
    pixels = np.asarray(picture(1, SIZE)).astype(np.dtype(depth).newbyteorder(order)) * (
        257 if depth is np.uint16 else 1
    )
    compress = np.ndarray.tobytes if compression == 1 else lambda tile: zlib.compress(tile.tobytes())
    data = tiled_tiff(
        [pixels.astype(pixels.dtype.newbyteorder(order))], order=order, big=big, compress=compress, t259=compression
    )
    whole = rgb_of(data)
    assert (whole == np.asarray(picture(1, SIZE))).all()
    request.getfixturevalue("small_room")
    assert_in_bands(data, whole)


def test_tiles_of_jpeg_are_averaged(request: pytest.FixtureRequest) -> None:
    def compress(tile: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(tile).save(buffer, "JPEG", quality=90, subsampling=0)
        return buffer.getvalue()

    data = tiled_tiff([np.asarray(picture(1, SIZE))], compress=compress, t259=7, t262=6, t530=1)
    data_rgb = rgb_of(data)
    assert np.abs(data_rgb - np.asarray(picture(1, SIZE))).mean() < 4
    request.getfixturevalue("small_room")
    assert_in_bands(data, data_rgb)


def test_planes_apart_are_averaged(request: pytest.FixtureRequest) -> None:
    planes = np.ascontiguousarray(np.asarray(picture(1, SIZE)).transpose(2, 0, 1))
    data = tiled_tiff([planes], t284=2)
    whole = rgb_of(data)
    assert (whole == np.asarray(picture(1, SIZE))).all()
    request.getfixturevalue("small_room")
    assert_in_bands(data, whole)


@pytest.mark.parametrize("mode", ["RGB", "1", "I;16"])
def test_one_strip_that_is_not_compressed_is_divided(mode: str, request: pytest.FixtureRequest) -> None:
    data = saved(in_mode(mode), rows=1000)
    whole = rgb_of(data)
    request.getfixturevalue("small_room")
    assert_in_bands(data, whole)


def test_one_compressed_strip_is_decoded_whole_and_then_averaged(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    data = saved(in_mode("RGB"), compression="tiff_lzw", rows=1000)
    whole = rgb_of(data)
    request.getfixturevalue("small_room")
    with pytest.raises(UnusableImage, match=r"too_large .* TIFF is decoded whole: save it"):
        open_image(data, LIMITS)
    monkeypatch.setattr(reduced, "BYTES_PER_PIXEL", 100)
    assert not isinstance(open_image(data, LIMITS), LargeTiff)
    assert np.abs(rgb_of(data) - averaged(whole, FACTOR)).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_large_picture_is_upright(orientation: int, request: pytest.FixtureRequest) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[274] = orientation
    size = (198, 150)  # whole squares, whatever the side they are counted from
    data = saved(picture(1, size), tiffinfo=tags)
    whole = rgb_of(data)
    request.getfixturevalue("small_room")
    assert_in_bands(data, whole)


@pytest.mark.parametrize("nested", [False, True], ids=["pages", "sub-directories"])
def test_the_smallest_level_that_covers_the_size_wanted_is_decoded(nested: bool, small_room: None) -> None:
    levels = [np.full((h, w, 3), value, np.uint8) for h, w, value in ((240, 320, 0), (120, 160, 80), (60, 80, 160))]
    data = tiled_tiff(levels, nested=nested)
    for wanted, value in (((70, 50), 160), ((80, 60), 160), ((81, 61), 80), ((20, 20), 160), (None, 160)):
        image = open_image(data, LIMITS)
        image.draft("RGB", wanted)
        assert np.asarray(to_rgb(load_pixels(image))).mean() == value
    assert page_of(open_image(data, LIMITS)) == ("" if nested else "1 of 3")


def test_a_smaller_page_that_shows_something_else_is_no_level(small_room: None) -> None:
    other = [np.full((h, w, 3), value, np.uint8) for h, w, value in ((240, 320, 0), (150, 160, 80))]
    image = open_image(tiled_tiff(other), LIMITS)
    image.draft("RGB", (40, 40))
    assert np.asarray(to_rgb(load_pixels(image))).max() == 0


def test_the_largest_of_several_pages_is_decoded_and_named(small_room: None) -> None:
    buffer = io.BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(buffer) as pages:
        for image in (picture(1, (60, 40)), picture(2, SIZE), picture(3, (90, 80))):
            image.save(pages, "TIFF", strip_size=SIZE[0] * 3 * 7)
            pages.newFrame()
    assert page_of(open_image(buffer.getvalue(), LIMITS)) == "2 of 3"
    assert_in_bands(buffer.getvalue(), np.asarray(picture(2, SIZE)).astype(float))


@pytest.mark.parametrize("pyramid", [False, True])
def test_a_large_picture_whose_file_ends_early_is_truncated(pyramid: bool, small_room: None) -> None:
    pages = [np.asarray(picture(1, SIZE)), np.asarray(picture(1, (101, 75)))]
    data = tiled_tiff(pages[::-1], order=">") if pyramid else tiled_tiff(pages[:1])
    if pyramid:  # the level is whole, and the picture that it was made from is not
        data = tiled_tiff(pages, nested=True)
        whole = open_image(data, LIMITS)
        data = bytes(data).replace(_last_start(whole), (1 << 30).to_bytes(4, "little"))
    else:
        data = data.replace(_last_start(open_image(data, LIMITS)), (1 << 30).to_bytes(4, "little"))
    with pytest.raises(UnusableImage, match="truncated"):
        load_pixels(open_image(data, LIMITS))


def _last_start(image: Image.Image) -> bytes:
    return image.tag_v2[324][-1].to_bytes(4, "little")


def test_views_of_a_large_picture_are_those_of_the_whole(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    transform = Transform(resize_px=32, crop_px=32)
    data = saved(picture(1, (960, 720)))
    whole = cut_view(picture(1, (960, 720)), "", CENTRE_VIEW, transform).astype(int)
    request.getfixturevalue("small_room")
    monkeypatch.setattr(reduced, "WHOLE_PIXELS", 60_000)
    for decoder in ("fast", "exact"):
        views = cut_views(open_image(data, LIMITS), "", Transform(resize_px=32, crop_px=32, decoder=decoder))
        assert np.abs(views[0] - whole).mean() < 2


def test_a_picture_of_the_limit_is_decoded_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(picture(1, SIZE))
    monkeypatch.setattr(reduced, "WHOLE_PIXELS", SIZE[0] * SIZE[1])
    assert (rgb_of(data) == np.asarray(picture(1, SIZE))).all()


def test_a_large_file_stays_on_the_disk(image_root: Path, monkeypatch: pytest.MonkeyPatch, small_room: None) -> None:
    data = saved(picture(1, SIZE))
    (image_root / "a.tif").write_bytes(data)
    monkeypatch.setattr(files, "LARGE_FILE_BYTES", 1000)
    images = ImageFolder(image_root)
    encoded = images.read("a.tif")
    assert isinstance(encoded, LargeFile)
    assert len(encoded) == len(data)
    pixels = np.asarray(to_rgb(load_pixels(open_image(encoded, LIMITS))))
    assert np.abs(pixels - averaged(np.asarray(picture(1, SIZE)).astype(float), FACTOR)).max() <= 1
    (image_root / "a.tif").write_bytes(data + b"changed")
    with pytest.raises(UnusableImage, match="changed while it was read"):
        load_pixels(open_image(encoded, LIMITS))
    with pytest.raises(UnusableImage, match="changed"):
        images.read("a.tif", sha256="0" * 64)


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_a_large_file_of_few_pixels_is_decoded_as_it_was(
    compression: str | None, image_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LARGE_FILE_BYTES", 1000)
    (image_root / "a.tif").write_bytes(saved(picture(1, SIZE), compression=compression))
    image = ImageFolder(image_root).open("a.tif")
    assert (np.asarray(to_rgb(load_pixels(image))) == np.asarray(picture(1, SIZE))).all()


def decode_in_small_room(images: ImageFolder, name: str) -> bytes:
    """Runs in a decoding process: a megapixel is large, and the address space is too small for the whole picture."""
    reduced.WHOLE_PIXELS, reduced.BAND_PIXELS, files.LARGE_FILE_BYTES = 1_000_000, 500_000, 1_000_000
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 60 * 1024 * 1024, resource.getrlimit(resource.RLIMIT_AS)[1]))
    image = images.open(name)
    image.draft("RGB", (64, 64))
    return str(to_rgb(load_pixels(image)).size).encode()


@pytest.mark.parametrize("options", [{"compression": "tiff_lzw"}, {}], ids=["LZW", "one raw strip"])
def test_memory_does_not_grow_with_the_picture(image_root: Path, options: dict[str, object]) -> None:
    picture_size = (8000, 5000)  # 160 MB in Pillow's memory
    rows = Image.new("RGB", picture_size, "teal")
    rows.save(image_root / "a.tif", strip_size=1 << (30 if not options else 18), **options)
    with Decoders() as decoders:
        [answer] = decoders.decode(decode_in_small_room, ImageFolder(image_root), ["a.tif"])
    assert answer == b"(1000, 625)"


def test_a_damaged_directory_raises_nothing_but_its_reason(
    small_room: None, mutate: Callable[[bytes], list[bytes]]
) -> None:
    for data in mutate(tiled_tiff([np.asarray(picture(1, SIZE)), np.asarray(picture(1, (101, 75)))])):
        with contextlib.suppress(UnusableImage):
            load_pixels(open_image(data, LIMITS))


@pytest.fixture
def mutate() -> Callable[[bytes], list[bytes]]:
    """Change some bytes of the directories, which stand between the pixels and at the end."""

    def changed(data: bytes) -> list[bytes]:
        rng = np.random.default_rng(0)
        found = []
        for _ in range(300):
            copy = bytearray(data)
            for place in rng.integers(len(data) - 1500, len(data), 3):
                copy[place] = rng.integers(256)
            found.append(bytes(copy))
        return found

    return changed
