"""Perceptual hashes of a picture that survive re-encoding, resizing, bars and slight crops.

In: a decoded image. Out: a coarse hash (64 bits) and a fine one (256 bits) of the whole picture and of crops of it, and
again of the picture without its uniform bars where it has any. Comparing them is left to `duplicates`.
"""

import imagehash
import numpy as np
from PIL import Image

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
    grey = _small_grey(image)
    pixels = np.asarray(grey, dtype=np.int16)
    if _deviation(grey) < FLATTEST:
        return b""
    views = [grey]
    if (box := _between_bars(pixels)) is not None:
        views.append(grey.crop(box))
    return b"".join(_hash_crop(view, crop) for view in views for crop in CROPS)


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
        # Averaging first saves three copies of the full image.
        return image.reduce(factor).convert("L") if "transparency" not in image.info else to_rgb(image).convert("L")
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
