"""Dots: touches of pure colour side by side that mix in the eye.

In: a scene. Out: a picture of some ten thousand dots.
"""

import math

import numpy as np
from PIL import Image

from stages.demo.painter.artists import Mood
from stages.demo.painter.scene import Raster, Scene, rasterise
from stages.demo.painter.styles.strokes import bytes_of, with_contrast

# Share of dots that take the complementary tint, and how far a dot's colour is split from its neighbours'.
COMPLEMENT_SHARE = 0.03
SPLIT = 0.085


def dots(rng: np.random.Generator, scene: Scene, mood: Mood, size: tuple[int, int]) -> Image.Image:
    """Paint with dots."""
    raster = rasterise(scene, (size[0] // 2, size[1] // 2))
    width, height = size
    ground = mood.paper * 0.6 + raster.colour.mean(axis=(0, 1)) * 0.4
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = bytes_of(ground)
    cell = float(np.clip(8.5 * mood.brush * max(size) / 800, 5.5, 12.5))
    for layer, scale in enumerate((1.15, 1.0, 0.85)):
        _lay_dots(rng, picture, raster, mood, cell * scale, layer)
    return Image.fromarray(picture)


def _lay_dots(
    rng: np.random.Generator, picture: np.ndarray, raster: Raster, mood: Mood, cell: float, layer: int
) -> None:
    """One dot per cell of a turned grid, drawn in place.

    All pixels are worked out at once: a pixel is painted if it lies within the radius of its cell's dot.
    """
    height, width = picture.shape[:2]
    turn = rng.uniform(0, math.pi / 2)
    cos, sin = math.cos(turn) / cell, math.sin(turn) / cell
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    along, down = x * cos + y * sin + rng.random(), y * cos - x * sin + (width * sin + 1)
    column, row = along.astype(np.int32), down.astype(np.int32)
    columns, rows = int(column[-1, -1]) + 1, int(row[-1, 0]) + 1
    index = row * columns + column
    centre = rng.uniform(0.34, 0.66, (2, rows * columns)).astype(np.float32)
    radius = rng.uniform(0.38, 0.53, rows * columns).astype(np.float32)
    radius[rng.random(rows * columns) < 0.08 * layer] = 0
    along -= column
    along -= centre[0].take(index)
    down -= row
    down -= centre[1].take(index)
    inside = along * along + down * down < (radius * radius).take(index)
    painted = np.flatnonzero(inside)
    # A cell takes the colour under any one of its pixels; which one does not matter at this size.
    pixel = np.zeros(rows * columns, np.int32)
    pixel[index.ravel()] = np.arange(width * height, dtype=np.int32)
    fills = _dot_colours(rng, raster, mood, (pixel % width) / width, (pixel // width) / height)
    picture.reshape(-1, 3)[painted] = fills.take(index.ravel().take(painted), axis=0)


def _dot_colours(rng: np.random.Generator, raster: Raster, mood: Mood, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Colour of every dot, shape `(n, 3)`, uint8: the scene's, split into purer neighbours."""
    colour = raster.colour[raster.at(x, y)]
    split = rng.normal(0, SPLIT, colour.shape).astype(np.float32)
    split -= split.mean(axis=1, keepdims=True)
    tone = rng.normal(0, 0.04, (len(colour), 1)).astype(np.float32)
    colour = with_contrast(colour + split + tone, mood.artist.contrast, 1.2)
    opposite = rng.random(len(colour)) < COMPLEMENT_SHARE
    colour[opposite] = colour[opposite] * 0.6 + (1 - colour[opposite][:, ::-1]) * 0.4
    return bytes_of(colour)
