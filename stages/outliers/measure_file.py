"""Measure how bright, colourful and sharp one picture is.

In: an image file. Out: four numbers. This runs in decoding processes and imports no more than it needs; which pictures
are measured is left to `image_measures`.
"""

import json

import numpy as np
from PIL import Image, ImageStat
from scipy.ndimage import laplace

from stages.core.images.files import ImageFolder, load_pixels
from stages.core.images.rgb import to_rgb

# About the size that a network sees; JPEG files are decoded at the smallest scale that is no smaller.
SIDE_PX = 256
# A high percentile, not the maximum: a scan's tint and JPEG's rounding give few pixels of a greyscale picture colour.
CHROMA_PERCENTILE = 99


def measure_file(images: ImageFolder, file: tuple[str, str]) -> bytes:
    """Measure an image file, given by its path and the SHA-256 of its bytes, as JSON.

    Raises
    ------
    UnusableImage
        With the reason, if the file cannot be used.
    """
    image, key = file
    opened = images.open(image, sha256=key)
    opened.draft("RGB", (SIDE_PX, SIDE_PX))
    return json.dumps(measure(load_pixels(opened))).encode()


def measure(image: Image.Image) -> tuple[float, ...]:
    """Measure a decoded picture, scaled down to `SIDE_PX` on its longer side.

    Returns
    -------
    tuple
        brightness: mean luma, 0 to 1; saturation: mean S of HSV, 0 to 1; chroma: 99th percentile
        over pixels of the largest minus the smallest of red, green and blue, 0 to 255; sharpness:
        variance of the Laplacian of the luma, in squared grey levels (Pech-Pacheco et al., "Diatom autofocusing in
        brightfield microscopy: a comparative study", 2000).
    """
    small = to_rgb(image)
    small.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR)
    luma = small.convert("L")
    pixels = np.asarray(small)
    red, green, blue = np.moveaxis(pixels, 2, 0)  # a maximum over the short last axis takes forty times as long
    chroma = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    return (
        ImageStat.Stat(luma).mean[0] / 255,
        ImageStat.Stat(small.convert("HSV")).mean[1] / 255,
        float(np.percentile(chroma, CHROMA_PERCENTILE)),
        float(laplace(np.asarray(luma, dtype=np.float32)).var()),
    )
