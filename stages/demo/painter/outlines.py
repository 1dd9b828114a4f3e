"""Outlines: the geometry that pictures are composed of, and smooth noise that makes it look drawn by hand.

Out: polygons and paths of shape `(n, 2)`, float64, (x, y) with y downwards, in whatever unit the caller draws in.
Colour and depth are left to the easel.
"""

import numpy as np
from PIL import Image


def smooth_noise(rng: np.random.Generator, size: tuple[int, int], cells: float) -> np.ndarray:
    """Draw a smooth random field with about `cells` bumps along the longer side.

    Returns
    -------
    np.ndarray
        Shape `(height, width)` for a `size` of (width, height) pixels, float32, about -1 to 1.
    """
    width, height = size
    step = max(width, height) / cells
    coarse = rng.uniform(-1, 1, (max(2, round(height / step) + 1), max(2, round(width / step) + 1)))
    return np.asarray(Image.fromarray(coarse.astype(np.float32)).resize(size, Image.Resampling.BICUBIC))


def path(text: str) -> np.ndarray:
    """Read points from text.

    Examples
    --------
    >>> path("0 0, 1 -.5").tolist()
    [[0.0, 0.0], [1.0, -0.5]]
    """
    return np.array([pair.split() for pair in text.split(",")], dtype=float)


def mirrored(right: np.ndarray) -> np.ndarray:
    """A symmetrical polygon from its right half, given from one end of the axis to the other."""
    return np.concatenate([right, right[::-1] * (-1, 1)])


def rectangle(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """Corners of an upright rectangle."""
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], dtype=float)


def arc(x: float, y: float, radius: float, start: float, end: float, *, points: int = 24) -> np.ndarray:
    """A part of a circle as an open path, from angle `start` to `end`, radians."""
    angle = np.linspace(start, end, points)
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1)


def ellipse(x: float, y: float, radius_x: float, radius_y: float, *, points: int = 28) -> np.ndarray:
    """An upright ellipse around (x, y)."""
    return arc(0, 0, 1, 0, 2 * np.pi * (1 - 1 / points), points=points) * (radius_x, radius_y) + (x, y)


def blob(
    rng: np.random.Generator, x: float, y: float, radius_x: float, radius_y: float, *, bumps: float = 0.15
) -> np.ndarray:
    """A rounded irregular form: an ellipse whose radius carries a few random harmonics."""
    angle, order = np.linspace(0, 2 * np.pi, 40, endpoint=False), np.arange(2, 7)[:, None]
    waves = rng.normal(0, 0.45, (5, 1)) * np.sin(order * angle + rng.uniform(0, 2 * np.pi, (5, 1)))
    radius = 1 + bumps * waves.sum(axis=0)
    return np.stack([x + radius_x * radius * np.cos(angle), y + radius_y * radius * np.sin(angle)], axis=1)


def smoothed(points: np.ndarray, rounds: int = 2) -> np.ndarray:
    """Round the corners of a closed polygon (corner cutting, Chaikin 1974)."""
    for _ in range(rounds):
        following = np.roll(points, -1, axis=0)
        points = np.stack([0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], axis=1).reshape(-1, 2)
    return points


def ribbon(line: np.ndarray, width: float | np.ndarray | list[float]) -> np.ndarray:
    """A band along an open path; `width` may vary along it, shape `(n,)`."""
    along = np.gradient(line, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    half = np.broadcast_to(np.asarray(width, dtype=float), len(line))[:, None] / 2
    return np.concatenate([line + normal * half, (line - normal * half)[::-1]])


def ridge(
    rng: np.random.Generator, aspect: float, level: float, height: float, *, waves: float = 2.0, rough: float = 0.5
) -> np.ndarray:
    """A skyline of hills from edge to edge: random waves around y = `level`.

    `waves` counts the main swings per unit of width; each finer wave adds `rough` as much as the one before it, from 0
    (smooth downs) to 1 (crags).
    """
    x, finer = np.linspace(-0.05, aspect + 0.05, 90), np.arange(6)[:, None]
    swings = waves * 1.9**finer * rng.uniform(0.35, 0.65, (6, 1)) * x + rng.random((6, 1))
    y = (rng.uniform(0.5, 1, (6, 1)) * rough**finer * np.sin(2 * np.pi * swings)).sum(axis=0)
    return np.stack([x, level + height * y], axis=1)


def down_to(line: np.ndarray, bottom: float) -> np.ndarray:
    """Close a skyline into the area below it."""
    return np.concatenate([line, [(line[-1, 0], bottom), (line[0, 0], bottom)]])
