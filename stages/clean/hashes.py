"""Perceptual hashes of a picture that survive re-encoding, resizing, bars and slight crops.

In: a decoded image. Out: a coarse hash (64 bits) and a fine one (256 bits) of the whole picture and of crops of it, and
again of the picture without its uniform bars where it has any; the colours of a picture with few shapes. Comparing them
is left to `duplicates`.
"""

from collections.abc import Callable

import imagehash
import numpy as np
from PIL import Image

from stages.core.images.colour import in_srgb
from stages.core.images.metadata import orientation_of
from stages.core.images.rgb import to_rgb

# A picture that lost a few per cent at its edges is close to a crop of the original by as much (share of a side).
CROPS = (0.0, 0.02, 0.04)
COARSE_WORDS, FINE_WORDS = 1, 4  # of 64 bits
WORDS_PER_VIEW = len(CROPS) * (COARSE_WORDS + FINE_WORDS)
BYTES_PER_VIEW = 8 * WORDS_PER_VIEW
# Hashing looks at 64 x 64 pixels; above this short side an image is first averaged down, which costs least.
ENOUGH_PX = 128
HASHED_PX = 64

# Flatter pictures than this (standard deviation in grey levels) have no shapes to compare: their hash would be noise.
FLATTEST = 3.0
# Pictures with a smaller share of textured parts (standard deviation in grey levels) have few shapes to compare.
TEXTURE = 4.0
ENOUGH_TEXTURE = 0.7
COLOUR_CELLS = 4
COLOUR_BYTES = 3 * COLOUR_CELLS**2

# A row or column belongs to a bar if nearly all its pixels are within this of its edge's grey.
BAR_TOLERANCE = 10
BAR_OUTLIERS = 0.02
SMALLEST_BAR, LARGEST_BAR = 0.015, 0.4  # shares of a side


def hash_picture(image: Image.Image) -> bytes:
    """Hash a decoded image of any mode by `imagehash.phash`.

    Returns
    -------
    bytes
        `BYTES_PER_VIEW` for the whole picture and, if it has bars, as many again for what is between them. Of each
        crop first the coarse hash, then the fine one. Nothing for a picture of nearly one colour.
    """
    return b"".join(_hash_crop(view, crop) for view in _views(_small_grey(image)) for crop in CROPS)


def describe_picture(image: Image.Image, in_colour: Callable[[], Image.Image]) -> tuple[bytes, bytes]:
    """Hash a decoded image, and describe the colours of one whose hash says little.

    The hashes see grey alone, and of a picture with few shapes only where its fields meet: colour fields of the same
    proportions have the same hash.

    Parameters
    ----------
    image
        Decoded, of any mode.
    in_colour
        Gives the upright picture in RGB; called for pictures with few shapes.

    Returns
    -------
    hashes : bytes
        As `hash_picture` returns them.
    colours : bytes
        Per view `COLOUR_BYTES`, the mean RGB of 4 x 4 parts; nothing for a picture with many shapes.
    """
    grey = _small_grey(image)
    views = _views(grey)
    hashes = b"".join(_hash_crop(view, crop) for view in views for crop in CROPS)
    if not views or _textured_share(grey) >= ENOUGH_TEXTURE:
        return hashes, b""
    picture, box = in_colour(), _between_bars(np.asarray(grey, dtype=np.int16))
    boxes = [(0, 0, *grey.size)] if box is None else [(0, 0, *grey.size), box]
    return hashes, b"".join(_colours_within(picture, box, grey.size) for box in boxes)


def _colours_within(picture: Image.Image, box: tuple[int, int, int, int], size: tuple[int, int]) -> bytes:
    """Mean colours of the parts of a box, which is given in a picture of that size."""
    across, down = picture.width / size[0], picture.height / size[1]
    left, top, right, bottom = box[0] * across, box[1] * down, box[2] * across, box[3] * down
    within = (left, top, min(right, picture.width), min(bottom, picture.height))
    return picture.resize((COLOUR_CELLS, COLOUR_CELLS), Image.Resampling.BOX, box=within).tobytes()


def _views(grey: Image.Image) -> list[Image.Image]:
    """The whole picture, and what is between its bars; none of a picture of nearly one colour."""
    if _deviation(grey) < FLATTEST:
        return []
    box = _between_bars(np.asarray(grey, dtype=np.int16))
    return [grey] if box is None else [grey, grey.crop(box)]


def _textured_share(grey: Image.Image) -> float:
    """Share of the picture's 8 x 8 parts that are not of one grey."""
    small = np.asarray(grey.resize((HASHED_PX, HASHED_PX), Image.Resampling.BOX), dtype=np.float32)
    parts = small.reshape(8, HASHED_PX // 8, 8, HASHED_PX // 8).swapaxes(1, 2).reshape(64, -1)
    return float((parts.std(axis=1) > TEXTURE).mean())


def _deviation(grey: Image.Image) -> float:
    """Standard deviation in grey levels, from how often each occurs."""
    counts, levels = np.asarray(grey.histogram()), np.arange(256)
    mean = counts @ levels / counts.sum()
    return float(np.sqrt(counts @ (levels - mean) ** 2 / counts.sum()))


def _hash_crop(view: Image.Image, crop: float) -> bytes:
    width, height = view.size
    box = (width * crop, height * crop, width * (1 - crop), height * (1 - crop))
    square = view.resize((HASHED_PX, HASHED_PX), Image.Resampling.BICUBIC, box=box)
    hashes = [imagehash.phash(square, hash_size=side, highfreq_factor=HASHED_PX // side) for side in (8, 16)]
    return b"".join(np.packbits(found.hash).tobytes() for found in hashes)


def _small_grey(image: Image.Image) -> Image.Image:
    """The upright picture in grey, averaged down by a whole number."""
    factor = max(1, min(image.size) // ENOUGH_PX)
    if orientation_of(image) == 1 and image.mode in ("RGB", "L"):
        if "transparency" in image.info:
            return to_rgb(image).convert("L")
        # Averaging first saves three copies of the full image.
        return in_srgb(image.reduce(factor)).convert("L")
    return to_rgb(image).reduce(factor).convert("L")


def _between_bars(grey: np.ndarray) -> tuple[int, int, int, int] | None:
    """The box inside the uniform bars of a picture `(height, width)`, int16; None if it has none."""
    height, width = grey.shape
    top, bottom = _bar(grey), _bar(grey[::-1])
    left, right = _bar(grey.T), _bar(grey.T[::-1])
    if not (top or bottom or left or right):
        return None
    return left, top, width - right, height - bottom


def _bar(rows: np.ndarray) -> int:
    """How many of the first rows are a bar, with the one that its edge is smeared over."""
    edge = np.sort(rows[0])
    grey = (edge[(len(edge) - 1) // 2] + edge[len(edge) // 2]) / 2  # np.median takes ten times as long
    if (np.abs(rows[0] - grey) > BAR_TOLERANCE).mean() > BAR_OUTLIERS:
        return 0
    differs = (np.abs(rows - grey) > BAR_TOLERANCE).mean(axis=1) > BAR_OUTLIERS
    size = int(differs.argmax()) if differs.any() else len(rows)
    return size + 1 if max(2, SMALLEST_BAR * len(rows)) <= size <= LARGEST_BAR * len(rows) else 0
