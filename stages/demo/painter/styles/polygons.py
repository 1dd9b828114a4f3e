"""Polygons: the picture falls into hard facets, each a plane with its own tone, some seen from a shifted viewpoint.

In: an easel. Out: a picture of some hundred facets.
"""

import heapq

import numpy as np
from PIL import Image

from stages.demo.painter.colours import bytes_of, luminance, mix, with_contrast
from stages.demo.painter.easel import Easel
from stages.demo.painter.raster import rasterise


def polygons(rng: np.random.Generator, easel: Easel, size: tuple[int, int]) -> Image.Image:
    """Paint with facets."""
    small, contrast = (size[0] * 5 // 8, size[1] * 5 // 8), easel.mood.artist.hand.contrast * 1.12
    raster = rasterise(easel, small)
    directions = rng.uniform(0, np.pi) + np.array([0, 0.55, 1.2, 1.9]) + rng.normal(0, 0.1, 4)
    planes = _facets(rng, np.ones_like(raster.detail), directions, int(rng.integers(6, 14)))
    colour = _seen_from_shifted_viewpoints(rng, raster.colour, planes)
    busy = 0.06 + raster.detail + np.hypot(*np.gradient(luminance(raster.colour))) * 18
    facets = _facets(rng, busy, directions, int(rng.integers(190, 380) / easel.mood.brush))
    planes = _planes(rng, colour, facets, contrast, easel.mood.light)
    colour = mix(with_contrast(colour, contrast, 1.12), planes, rng.uniform(0.25, 0.7))
    return _with_edges(rng, colour, facets, easel).resize(size, Image.Resampling.BICUBIC)


def _facets(rng: np.random.Generator, busy: np.ndarray, directions: np.ndarray, count: int) -> np.ndarray:
    """Cut the picture along a few directions, the piece with the largest sum of `busy` first.

    Returns
    -------
    np.ndarray
        Which of the `count` convex pieces each pixel belongs to; shape as `busy`, int32.
    """
    weight, (height, width) = busy.ravel(), busy.shape
    x, y = np.tile(np.arange(width, dtype=np.float32), height), np.repeat(np.arange(height, dtype=np.float32), width)
    pieces = [(0.0, 0, np.arange(weight.size))]
    while len(pieces) < count:
        _, serial, piece = heapq.heappop(pieces)
        angle = directions[rng.integers(len(directions))] + rng.normal(0, 0.08)
        across = x.take(piece) * np.float32(np.cos(angle)) + y.take(piece) * np.float32(np.sin(angle))
        front = across < across.min() + np.ptp(across) * rng.uniform(0.3, 0.7)
        for number, half in ((serial, piece[front]), (len(pieces) + 1, piece[~front])):
            # A piece of a few pixels is not cut again, however busy it is.
            priority = float(weight.take(half).sum()) if half.size > 20 else 0.0
            heapq.heappush(pieces, (-priority, number, half))
    facets = np.empty(weight.size, np.int32)
    for number, (_, _, piece) in enumerate(pieces):
        facets[piece] = number
    return facets.reshape(busy.shape)


def _seen_from_shifted_viewpoints(rng: np.random.Generator, colour: np.ndarray, planes: np.ndarray) -> np.ndarray:
    """Within each plane the scene is displaced a little, as if the painter had moved."""
    (height, width), count = planes.shape, planes.max() + 1
    offset = rng.normal(0, rng.uniform(0.006, 0.024) * max(planes.shape), (2, count)).astype(np.int32)
    rows = np.clip(np.arange(height, dtype=np.int32)[:, None] + offset[0][planes], 0, height - 1)
    columns = np.clip(np.arange(width, dtype=np.int32) + offset[1][planes], 0, width - 1)
    return colour[rows, columns] + rng.normal(0, 0.045, count).astype(np.float32)[planes][..., None]


def _planes(
    rng: np.random.Generator, colour: np.ndarray, facets: np.ndarray, contrast: float, light: float
) -> np.ndarray:
    """Every facet in the mean colour of what lies below it, falling off in tone towards one side."""
    flat, count = facets.ravel(), facets.max() + 1
    y, x = np.indices(facets.shape, dtype=np.float32)
    pixels = np.maximum(np.bincount(flat, minlength=count), 1)
    red, green, blue, x_mean, y_mean = (
        np.bincount(flat, channel.ravel(), count) / pixels for channel in (*np.moveaxis(colour, 2, 0), x, y)
    )
    mean = with_contrast(np.stack([red, green, blue], axis=1), contrast, 1.15)
    mean = mean + rng.normal(0, 0.03, (count, 1)) + rng.normal(0, 0.012, (count, 3))
    angle, steep = rng.normal(light, 0.7, count), rng.uniform(0.05, 0.3, count) / np.sqrt(pixels)
    across, down = np.cos(angle) * steep, np.sin(angle) * steep
    constant = across * x_mean + down * y_mean
    across, down, constant = (slope.astype(np.float32).take(facets) for slope in (across, down, constant))
    fall = np.clip(across * x + down * y - constant, -0.16, 0.16)
    return mean.astype(np.float32).take(facets, axis=0) + fall[..., None]


def _with_edges(rng: np.random.Generator, colour: np.ndarray, facets: np.ndarray, easel: Easel) -> Image.Image:
    """Some facets are outlined, dark or light."""
    count = facets.max() + 1
    outlined, dark = rng.random(count) < rng.uniform(0.1, 0.75), rng.random(count) < 0.75
    for tone, share, chosen in (("dark", 0.65, outlined & dark), ("light", 0.45, outlined & ~dark)):
        edge = np.zeros(facets.shape, bool)
        edge[1:] = facets[1:] != facets[:-1]
        edge[:, 1:] |= facets[:, 1:] != facets[:, :-1]
        edge &= chosen[facets]
        colour[edge] = mix(colour[edge], easel.mood.colours[tone][0], share)
    return Image.fromarray(bytes_of(colour))
