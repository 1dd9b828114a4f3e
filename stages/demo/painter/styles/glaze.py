"""Glaze: thin smooth layers, soft edges, light that comes out of the dark.

In: a scene. Out: a picture without visible brush marks.
"""

import math

import numpy as np
from PIL import Image, ImageFilter

from stages.demo.painter.artists import Mood
from stages.demo.painter.scene import Scene, rasterise
from stages.demo.painter.shapes import smooth_noise
from stages.demo.painter.styles.strokes import bytes_of, with_contrast


def glaze(rng: np.random.Generator, scene: Scene, mood: Mood, size: tuple[int, int]) -> Image.Image:
    """Paint in glazes."""
    small = (size[0] * 5 // 8, size[1] * 5 // 8)
    raster = rasterise(scene, small)
    sharp = Image.fromarray(bytes_of(raster.colour)).filter(ImageFilter.BoxBlur(0.8))
    reach = rng.uniform(3.0, 6.0)
    soft = np.asarray(sharp.filter(ImageFilter.GaussianBlur(reach)), dtype=np.float32) / 255
    haze = (
        np.asarray(
            sharp.reduce(4).filter(ImageFilter.GaussianBlur(reach * 1.5)).resize(small, Image.Resampling.BICUBIC),
            dtype=np.float32,
        )
        / 255
    )
    focus = np.asarray(Image.fromarray(bytes_of(raster.detail)).filter(ImageFilter.BoxBlur(6)), dtype=np.float32) / 255
    weight = np.clip(0.15 + focus * 1.5, 0.2, 0.95)[..., None]
    colour = np.asarray(sharp, dtype=np.float32) / 255 * weight + soft * (1 - weight)
    colour = colour * 0.82 + haze * 0.18
    colour = with_contrast(colour, mood.artist.contrast * 1.15) * _light_fall(rng, small, scene.light)[..., None]
    colour += 0.018 * smooth_noise(rng, small, 9)[..., None]
    image = Image.fromarray(bytes_of(colour)).resize(size, Image.Resampling.BICUBIC)
    return _crackled(rng, image) if rng.random() < 0.12 else image


def _light_fall(rng: np.random.Generator, size: tuple[int, int], light: float) -> np.ndarray:
    """Brightest a little off the centre towards the light, falling off to the corners; about 0.5 to 1.15."""
    width, height = size
    x = np.linspace(-1, 1, width, dtype=np.float32) - 0.25 * math.cos(light)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] - 0.25 * math.sin(light)
    depth = rng.uniform(0.12, 0.4)
    return (1.1 - depth * (x * x + y * y) * 0.8).astype(np.float32)


def _crackled(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    """Fine cracks of old varnish: the zero lines of two noise fields."""
    pixels = np.asarray(image, dtype=np.float32)
    crack = np.zeros(pixels.shape[:2], np.float32)
    for cells in (34, 55):
        field = smooth_noise(rng, image.size, cells)
        crack = np.maximum(crack, np.clip(1 - np.abs(field) * 26, 0, 1))
    return Image.fromarray((pixels * (1 - 0.2 * crack[..., None])).astype(np.uint8))
