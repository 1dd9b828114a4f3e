"""Outlines: the geometry that scenes are composed of, and the smooth noise that keeps it from looking drawn by rule.

Out: polygons as arrays of shape `(n, 2)`, float64, (x, y) with y downwards, in units of the picture's height.
Colour and depth are left to the scene.
"""

import numpy as np
from PIL import Image


def smooth_noise(rng: np.random.Generator, size: tuple[int, int], cells: float) -> np.ndarray:
    """Draw a smooth random field.

    Parameters
    ----------
    size
        Width and height, pixels.
    cells
        Number of bumps along the longer side.

    Returns
    -------
    np.ndarray
        Shape `(height, width)`, float32, about -1 to 1.
    """
    width, height = size
    step = max(width, height) / cells
    coarse = rng.uniform(-1, 1, (max(2, round(height / step) + 1), max(2, round(width / step) + 1)))
    return np.asarray(Image.fromarray(coarse.astype(np.float32)).resize(size, Image.Resampling.BICUBIC))


def rectangle(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """Corners of an upright rectangle."""
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], dtype=float)


def ellipse(x: float, y: float, radius_x: float, radius_y: float, *, turn: float = 0.0, points: int = 32) -> np.ndarray:
    """An ellipse around (x, y), turned by `turn` radians."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    across, down = radius_x * np.cos(angle), radius_y * np.sin(angle)
    return np.stack(
        [x + across * np.cos(turn) - down * np.sin(turn), y + across * np.sin(turn) + down * np.cos(turn)], axis=1
    )


def blob(
    rng: np.random.Generator,
    x: float,
    y: float,
    radius_x: float,
    radius_y: float,
    *,
    bumps: float = 0.15,
    lobes: int = 6,
) -> np.ndarray:
    """A rounded irregular form: an ellipse whose radius carries a few random harmonics."""
    angle = np.linspace(0, 2 * np.pi, 44, endpoint=False)
    order = np.arange(2, lobes + 1)
    weight = rng.normal(0, 1, len(order)) / np.sqrt(len(order))
    phase = rng.uniform(0, 2 * np.pi, len(order))
    radius = 1 + bumps * (weight[:, None] * np.sin(order[:, None] * angle + phase[:, None])).sum(axis=0)
    return np.stack([x + radius_x * radius * np.cos(angle), y + radius_y * radius * np.sin(angle)], axis=1)


def smoothed(points: np.ndarray, rounds: int = 2) -> np.ndarray:
    """Round the corners of a closed polygon (corner cutting, Chaikin 1974)."""
    points = np.asarray(points, dtype=float)
    for _ in range(rounds):
        following = np.roll(points, -1, axis=0)
        cut = np.stack([0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], axis=1)
        points = cut.reshape(-1, 2)
    return points


def ribbon(path: np.ndarray, width: float | np.ndarray) -> np.ndarray:
    """A band along an open path, shape `(n, 2)`; `width` may vary along it, shape `(n,)`."""
    path = np.asarray(path, dtype=float)
    along = np.gradient(path, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    half = np.broadcast_to(np.asarray(width, dtype=float), len(path))[:, None] / 2
    return np.concatenate([path + normal * half, (path - normal * half)[::-1]])


def ridge(
    rng: np.random.Generator, aspect: float, level: float, height: float, *, waves: float = 2.0, rough: float = 0.5
) -> np.ndarray:
    """A skyline of hills from edge to edge, shape `(n, 2)`: octaves of interpolated noise.

    Parameters
    ----------
    level, height
        Mean y, and how far the line swings around it.
    waves
        Number of main swings per picture height of width.
    rough
        How much each finer octave adds, 0 (smooth downs) to 1 (crags).
    """
    x = np.linspace(-0.05, aspect + 0.05, 90)
    y = np.zeros_like(x)
    for octave in range(4):
        knots = max(3, int(waves * aspect * 2**octave) + 2)
        heights = rng.uniform(-1, 1, knots)
        position = np.linspace(0, knots - 1, len(x))
        left = np.minimum(position.astype(int), knots - 2)
        step = position - left
        step = step * step * (3 - 2 * step)
        y += (heights[left] * (1 - step) + heights[left + 1] * step) * rough**octave
    return np.stack([x, level + height * y], axis=1)


def down_to(line: np.ndarray, bottom: float) -> np.ndarray:
    """Close a skyline into the area below it."""
    return np.concatenate([line, [(line[-1, 0], bottom), (line[0, 0], bottom)]])


def arc(x: float, y: float, radius: float, start: float, end: float, points: int = 24) -> np.ndarray:
    """A part of a circle as an open path, from angle `start` to `end`, radians."""
    angle = np.linspace(start, end, points)
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1)
