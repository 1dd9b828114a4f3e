"""Pictures too large to be held whole: they are averaged by whole factors while they are decoded.

In: a picture, whole or in bands from top to bottom. Out: the picture at a reduced scale, and what the memory of a
decoding process has no room for. Pictures of at most `WHOLE_PIXELS` come out as they went in.
"""

import math
import re
from collections.abc import Iterable, Iterator

import numpy as np
from PIL import Image, ImageFile, JpegImagePlugin

from stages.core.images.large_file import Encoded, LargeFile

# Pictures with more pixels are decoded at a reduced scale. Lower, it would change features of pictures that are usual.
WHOLE_PIXELS = 100_000_000
# What a decoding process may hold of a file and its pixels, per pixel of a picture that is held whole.
BYTES_PER_PIXEL = 32
# Rows of a large picture are decoded together up to this number of pixels.
BAND_PIXELS = 2_000_000
# libjpeg's smallest scale is 1/8; others are reduced by no more while they are decoded, so that all are resized alike.
LARGEST_FACTOR = 8
# Bytes of a pixel in Pillow's memory; other modes take four.
MODE_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
# These give all pixels at once, and Pillow copies them.
COPYING_FORMATS = ("WEBP", "AVIF", "HEIF", "JXL")
# Marker of JPEG 2000's coding style, its length, and what precedes the number of times that it halves the picture.
CODING_STYLE = re.compile(rb"(?s)\xff\x52..[\x00-\x07]....(.)")
ADVICE = "save it as a baseline JPEG or as a TIFF in strips or tiles, which are decoded at a reduced scale"


def is_large(size: tuple[int, int]) -> bool:
    """Whether a picture has too many pixels to be held whole."""
    return size[0] * size[1] > WHOLE_PIXELS


def factor_for(size: tuple[int, int], wanted: tuple[int, int] | None) -> int:
    """By how much to reduce a large picture so that it still covers the size wanted and can be held whole.

    Examples
    --------
    >>> factor_for((25_000, 20_000), (512, 512)), factor_for((25_000, 20_000), (10_000, 8_000))
    (8, 3)
    >>> factor_for((25_000, 20_000), None)
    3
    """
    least = math.ceil(math.sqrt(size[0] * size[1] / WHOLE_PIXELS))
    if wanted is None:
        return least
    covering = min(size[0] // max(1, wanted[0]), size[1] // max(1, wanted[1]))
    return max(least, min(covering, LARGEST_FACTOR))


def ask_reduced(image: Image.Image) -> None:
    """Let libjpeg decode a large picture, for which no caller has asked for less, at a scale that can be held."""
    if is_large(image.size) and not hasattr(image, "decoded_in_bands"):
        factor = 2 ** _halvings(image.size)
        image.draft(image.mode, (math.ceil(image.width / factor), math.ceil(image.height / factor)))


def _halvings(size: tuple[int, int]) -> int:
    """How often a large picture is halved until it can be held whole."""
    return math.ceil(math.log2(factor_for(size, None)))


def reduce_decoded(image: Image.Image) -> None:
    """Reduce a large picture that was decoded whole, in place, before others copy it."""
    if is_large(image.size):
        factor = factor_for(image.size, None)
        replace_pixels(image, reduce_bands(_bands_of(image, factor), image.size, factor))


def _bands_of(image: Image.Image, factor: int) -> Iterator[Image.Image]:
    rows = factor * max(1, BAND_PIXELS // (factor * image.width))
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(top + rows, image.height)))


def reduce_bands(bands: Iterable[Image.Image], size: tuple[int, int], factor: int) -> Image.Image:
    """Average squares of pixels of a picture that comes in bands, as `Image.reduce` does of a whole one.

    Parameters
    ----------
    bands
        From top to bottom, each as wide as the picture.
    size
        Of the whole picture.
    factor
        Side of the squares.
    """
    target: Image.Image | None = None
    rest: Image.Image | None = None
    top = 0
    for band in bands:
        band = _stacked(rest, averageable(band))
        if target is None:
            target = Image.new(band.mode, (math.ceil(size[0] / factor), math.ceil(size[1] / factor)))
        whole = band.height - band.height % factor if top + band.height < size[1] else band.height
        rest = band.crop((0, whole, band.width, band.height)) if whole < band.height else None
        if whole:
            done = band if whole == band.height else band.crop((0, 0, band.width, whole))
            target.paste(done.reduce(factor) if factor > 1 else done, (0, top // factor))
            top += whole
    if target is None:
        raise OSError("the image is truncated: it has no rows")
    return target


def _stacked(above: Image.Image | None, below: Image.Image) -> Image.Image:
    if above is None:
        return below
    both = Image.new(below.mode, (below.width, above.height + below.height))
    both.paste(above, (0, 0))
    both.paste(below, (0, above.height))
    return both


def averageable(image: Image.Image) -> Image.Image:
    """A picture whose pixels have an average: indices become colours, and 16 bits 8, as in `to_rgb`."""
    if image.mode in ("P", "PA") or "transparency" in image.info:
        return image.convert("RGBA" if image.mode == "PA" or "transparency" in image.info else "RGB")
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    # Of LAB two samples have a sign, which averages do not know of.
    new_mode = {"1": "L", "LAB": "RGB"}.get(image.mode)
    return image.convert(new_mode) if new_mode else image


def replace_pixels(image: Image.Image, reduced: Image.Image) -> None:
    """Give an opened picture other pixels, as Pillow's decoders of reduced scale do; its metadata stay."""
    image.im = reduced.im
    image._mode, image._size = reduced.mode, reduced.size
    image.palette = None
    image.info.pop("transparency", None)


def memory_problem(image: ImageFile.ImageFile, encoded: Encoded) -> str:
    """What of a large picture a decoding process has no room for, by its header alone; empty if it has.

    A JPEG 2000 is set to be decoded at a reduced scale if it holds one.
    """
    if not is_large(image.size) or hasattr(image, "decoded_in_bands"):
        return ""
    needed, why = 0 if isinstance(encoded, LargeFile) else len(encoded), f"{image.format} is decoded whole"
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        needed, why = needed + _coefficient_bytes(image), "all coefficients of a progressive JPEG are held"
    elif not _halves_itself(image, encoded):
        copies = 2 if image.format in COPYING_FORMATS else 1
        needed += len(encoded) + copies * image.width * image.height * MODE_BYTES.get(image.mode, 4)
    room = BYTES_PER_PIXEL * WHOLE_PIXELS
    if needed <= room:
        return ""
    return f"{image.width} x {image.height} pixels take {needed >> 20} of {room >> 20} MiB, since {why}: {ADVICE}"


def _coefficient_bytes(image: JpegImagePlugin.JpegImageFile) -> int:
    """What libjpeg holds of a progressive JPEG: two bytes per coefficient, of blocks of 8 x 8."""
    if "progressive" not in image.info:
        return 0
    widest, tallest = (max(layer[place] for layer in image.layer) for place in (1, 2))
    return sum(
        128 * math.ceil(image.width * across / widest / 8) * math.ceil(image.height * down / tallest / 8)
        for _, across, down, _ in image.layer
    )


def _halves_itself(image: ImageFile.ImageFile, encoded: Encoded) -> bool:
    """Whether it is a JPEG 2000 that holds a scale small enough; it is set to be decoded at that."""
    if image.format != "JPEG2000" or isinstance(encoded, LargeFile):
        return False
    style = CODING_STYLE.search(encoded)
    halvings = _halvings(image.size)
    if style is None or style[1][0] < halvings:
        return False
    image.reduce = halvings  # type: ignore[assignment, method-assign]
    return True
