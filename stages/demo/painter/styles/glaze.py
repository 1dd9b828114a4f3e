"""Glaze: thin smooth layers, soft edges, light that comes out of the dark.

In: an easel. Out: a picture without visible brush marks.
"""

import math

import numpy as np
from PIL import Image, ImageFilter

from stages.demo.painter.colours import bytes_of, with_contrast
from stages.demo.painter.easel import Easel
from stages.demo.painter.outlines import smooth_noise
from stages.demo.painter.raster import rasterise


def glaze(rng: np.random.Generator, easel: Easel, size: tuple[int, int]) -> Image.Image:
    """Paint in glazes."""
    small = (size[0] * 5 // 8, size[1] * 5 // 8)
    raster = rasterise(easel, small)
    sharp = Image.fromarray(bytes_of(raster.colour)).filter(ImageFilter.BoxBlur(0.8))
    reach = rng.uniform(3.0, 6.0)
    soft = _floats(sharp.filter(ImageFilter.GaussianBlur(reach)))
    far = sharp.reduce(4).filter(ImageFilter.GaussianBlur(reach * 1.5)).resize(small, Image.Resampling.BICUBIC)
    focus = _floats(Image.fromarray(bytes_of(raster.detail)).filter(ImageFilter.BoxBlur(6)))[..., None]
    colour = soft + (_floats(sharp) - soft) * np.clip(0.15 + focus * 1.5, 0.2, 0.95)
    colour = with_contrast(colour * 0.82 + _floats(far) * 0.18, easel.mood.artist.hand.contrast * 1.15)
    colour = colour * _light_fall(rng, small, easel.mood.light) + 0.018 * smooth_noise(rng, small, 9)[..., None]
    if rng.random() < 0.12:
        colour *= 1 - 0.2 * _cracks(rng, small)
    return Image.fromarray(bytes_of(colour)).resize(size, Image.Resampling.BICUBIC)


def _floats(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=np.float32) / 255


def _light_fall(rng: np.random.Generator, size: tuple[int, int], light: float) -> np.ndarray:
    """Brightest a little off the centre towards the light, falling off to the corners; shape `(height, width, 1)`."""
    x, y = (np.linspace(-1, 1, n, dtype=np.float32) for n in size)
    square = (x - 0.25 * math.cos(light)) ** 2 + (y[:, None] - 0.25 * math.sin(light)) ** 2
    return (1.1 - rng.uniform(0.1, 0.32) * square).astype(np.float32)[..., None]


def _cracks(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Fine cracks of old varnish, the zero lines of two noise fields: 0 to 1, shape `(height, width, 1)`."""
    fields = [np.abs(smooth_noise(rng, size, cells)) for cells in (34, 55)]
    return np.clip(1 - np.minimum(*fields) * 26, 0, 1)[..., None]
