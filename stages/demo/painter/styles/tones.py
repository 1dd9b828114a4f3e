"""Pictures made from the tones of the scene: hard facets, some seen from a shifted viewpoint, and smooth glazes.

In: an easel. Out: a picture of planes or of soft light.
"""

import math

import numpy as np
from PIL import Image, ImageFilter

from stages.demo.painter.colours import bytes_of, luminance, mix, with_contrast
from stages.demo.painter.easel import Easel
from stages.demo.painter.outlines import smooth_noise
from stages.demo.painter.raster import rasterise


def glaze(easel: Easel, size: tuple[int, int]) -> Image.Image:
    """Paint in thin smooth layers: soft edges, light that comes out of the dark, no brush marks."""
    rng, light, small = easel.rng, easel.variation.light, (size[0] * 5 // 8, size[1] * 5 // 8)
    raster, reach = rasterise(easel, small), rng.uniform(3.0, 6.0)
    sharp = Image.fromarray(bytes_of(raster.colour)).filter(ImageFilter.BoxBlur(0.8))
    soft = _floats(sharp.filter(ImageFilter.GaussianBlur(reach)))
    far = sharp.reduce(4).filter(ImageFilter.GaussianBlur(reach * 1.5)).resize(small, Image.Resampling.BICUBIC)
    focus = _floats(Image.fromarray(bytes_of(raster.detail)).filter(ImageFilter.BoxBlur(6)))[..., None]
    colour = soft + (_floats(sharp) - soft) * np.clip(0.15 + focus * 1.5, 0.2, 0.95)
    colour = with_contrast(colour * 0.82 + _floats(far) * 0.18, easel.variation.artist.contrast * 1.15)
    # Brightest a little off the centre towards the light, falling off to the corners.
    x, y = (np.linspace(-1, 1, n, dtype=np.float32) for n in small)
    square = (x - 0.25 * math.cos(light)) ** 2 + (y[:, None] - 0.25 * math.sin(light)) ** 2
    colour *= (1.1 - rng.uniform(0.1, 0.32) * square)[..., None]
    colour += 0.018 * smooth_noise(rng, small, 9)[..., None]
    return Image.fromarray(bytes_of(colour)).resize(size, Image.Resampling.BICUBIC)


def _floats(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=np.float32) / 255


def polygons(easel: Easel, size: tuple[int, int]) -> Image.Image:
    """Paint with some hundred facets, each a plane with its own tone."""
    rng, contrast = easel.rng, easel.variation.artist.contrast * 1.12
    raster = rasterise(easel, (size[0] * 5 // 8, size[1] * 5 // 8))
    directions = rng.uniform(0, np.pi) + np.array([0, 0.55, 1.2, 1.9]) + rng.normal(0, 0.1, 4)
    planes = _facets(rng, np.ones_like(raster.detail), directions, int(rng.integers(6, 14)))
    colour = _seen_from_shifted_viewpoints(rng, raster.colour, planes)
    busy = 0.06 + raster.detail + np.hypot(*np.gradient(luminance(raster.colour))) * 18
    facets = _facets(rng, busy, directions, int(rng.integers(190, 380) / easel.variation.brush))
    planes = _planes(easel, with_contrast(colour, contrast, 1.15), facets)
    colour = mix(with_contrast(colour, contrast, 1.12), planes, rng.uniform(0.25, 0.7))
    return _with_edges(easel, colour, facets).resize(size, Image.Resampling.BICUBIC)


def _facets(rng: np.random.Generator, busy: np.ndarray, directions: np.ndarray, count: int) -> np.ndarray:
    """Cut the picture along a few directions, the piece with the largest sum of `busy` first.

    Returns
    -------
    np.ndarray
        Which of the `count` convex pieces each pixel belongs to; shape as `busy`, int32.
    """
    flat, (height, width) = busy.ravel(), busy.shape
    x, y = np.tile(np.arange(width, dtype=np.float32), height), np.repeat(np.arange(height, dtype=np.float32), width)
    pieces, sums = [np.arange(flat.size)], [1.0]
    while len(pieces) < count:
        largest = sums.index(max(sums))
        piece, _ = pieces.pop(largest), sums.pop(largest)
        angle = directions[rng.integers(len(directions))] + rng.normal(0, 0.08)
        across = x.take(piece) * np.float32(np.cos(angle)) + y.take(piece) * np.float32(np.sin(angle))
        front = across < across.min() + np.ptp(across) * rng.uniform(0.3, 0.7)
        pieces += [piece[front], piece[~front]]
        # A piece of a few pixels is not cut again, however busy it is.
        sums += [float(flat.take(half).sum()) if half.size > 20 else 0.0 for half in pieces[-2:]]
    facets = np.empty(flat.size, np.int32)
    for number, piece in enumerate(pieces):
        facets[piece] = number
    return facets.reshape(busy.shape)


def _seen_from_shifted_viewpoints(rng: np.random.Generator, colour: np.ndarray, planes: np.ndarray) -> np.ndarray:
    """Within each plane the scene is displaced a little, as if the painter had moved."""
    (height, width), count = planes.shape, planes.max() + 1
    offset = rng.normal(0, rng.uniform(0.006, 0.024) * max(planes.shape), (2, count)).astype(np.int32)
    rows = np.clip(np.arange(height, dtype=np.int32)[:, None] + offset[0][planes], 0, height - 1)
    columns = np.clip(np.arange(width, dtype=np.int32) + offset[1][planes], 0, width - 1)
    shifted: np.ndarray = colour[rows, columns] + rng.normal(0, 0.045, count).astype(np.float32)[planes][..., None]
    return shifted


def _planes(easel: Easel, colour: np.ndarray, facets: np.ndarray) -> np.ndarray:
    """Every facet in the mean colour of what lies below it, falling off in tone towards one side."""
    rng, flat, count = easel.rng, facets.ravel(), facets.max() + 1
    y, x = np.indices(facets.shape, dtype=np.float32)
    pixels = np.maximum(np.bincount(flat, minlength=count), 1)
    red, green, blue, x_mean, y_mean = (
        np.bincount(flat, channel.ravel(), count) / pixels for channel in (*np.moveaxis(colour, 2, 0), x, y)
    )
    mean = np.stack([red, green, blue], axis=1) + rng.normal(0, 0.03, (count, 1)) + rng.normal(0, 0.012, (count, 3))
    angle, steep = rng.normal(easel.variation.light, 0.7, count), rng.uniform(0.05, 0.3, count) / np.sqrt(pixels)
    across, down = np.cos(angle) * steep, np.sin(angle) * steep
    slopes = (across, down, across * x_mean + down * y_mean)
    across, down, constant = (slope.astype(np.float32).take(facets) for slope in slopes)
    fall = np.clip(across * x + down * y - constant, -0.16, 0.16)
    planes: np.ndarray = mean.astype(np.float32).take(facets, axis=0) + fall[..., None]
    return planes


def _with_edges(easel: Easel, colour: np.ndarray, facets: np.ndarray) -> Image.Image:
    """Some facets are outlined, dark or light."""
    rng, edge = easel.rng, np.zeros(facets.shape, bool)
    edge[1:] = facets[1:] != facets[:-1]
    edge[:, 1:] |= facets[:, 1:] != facets[:, :-1]
    tone, dark = rng.random(facets.max() + 1)[facets], rng.uniform(0.1, 0.6)
    for name, share, chosen in (("dark", 0.65, tone < dark), ("light", 0.45, tone > 1 - dark / 3)):
        colour[edge & chosen] = mix(colour[edge & chosen], easel.variation.colours[name][0], share)
    return Image.fromarray(bytes_of(colour))
