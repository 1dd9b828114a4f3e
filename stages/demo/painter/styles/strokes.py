"""Where brush marks go: jittered grids, the direction of the brush, tone curves. Shared by the styles.

In: sizes and rasters. Out: arrays with one entry per mark, or changed rasters.
"""

import numpy as np

from stages.demo.painter.colours import saturated
from stages.demo.painter.scene import Raster


def jittered_grid(rng: np.random.Generator, size: tuple[int, int], spacing: float) -> tuple[np.ndarray, np.ndarray]:
    """Points that cover a picture evenly but not regularly, in random order.

    Returns
    -------
    tuple of np.ndarray
        x and y, pixels, each shape `(n,)`.
    """
    width, height = size
    columns, rows = int(width / spacing) + 2, int(height / spacing) + 2
    x = np.tile(np.arange(columns), rows) + rng.uniform(-0.5, 0.5, columns * rows)
    y = np.repeat(np.arange(rows), columns) + rng.uniform(-0.5, 0.5, columns * rows)
    order = rng.permutation(columns * rows)
    return x[order] * spacing, y[order] * spacing


def with_contrast(colour: np.ndarray, contrast: float, saturation: float = 1.0) -> np.ndarray:
    """Spread tones around middle grey and colours around grey; shape `(..., 3)` is kept."""
    return saturated(np.clip((colour - 0.5) * contrast + 0.5, 0, 1), saturation)


def bytes_of(colour: np.ndarray) -> np.ndarray:
    """Float colours as uint8."""
    return (np.clip(colour, 0, 1) * 255 + 0.5).astype(np.uint8)


def brush_angle(raster: Raster, rows: np.ndarray, columns: np.ndarray, swirl: np.ndarray) -> np.ndarray:
    """Direction of each stroke: the shape's own, bent by a smooth field so that a wall is not ruled."""
    return raster.angle[rows, columns] + swirl[rows, columns]
