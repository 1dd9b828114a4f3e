"""Dabs: short loaded brush strokes that follow the forms, broad ones first, small ones where there is detail.

In: an easel. Out: a picture of some thousand strokes (after Hertzmann 1998, painterly rendering with brush sizes).
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from stages.demo.painter.colours import bytes_of, with_contrast
from stages.demo.painter.easel import Easel
from stages.demo.painter.outlines import smooth_noise
from stages.demo.painter.raster import Raster, rasterise

# A stroke's outline along (first row) and across (second) its direction: a rounded, slightly tapering dab.
DAB = np.array([(-1.0, -0.7, 0.5, 1.0, 0.8, -0.6), (0.1, 0.85, 0.95, 0.1, -0.8, -0.9)])
# Layers: distance of the strokes, pixels, and the least detail for which they are laid.
LAYERS = ((26, 0.0), (15, 0.0), (9.5, 0.38), (6.5, 0.75))


def dabs(rng: np.random.Generator, easel: Easel, size: tuple[int, int]) -> Image.Image:
    """Paint with dabs."""
    raster = rasterise(easel, (size[0] // 2, size[1] // 2))
    raster.angle[:] += smooth_noise(rng, raster.size, 5) * rng.uniform(0.2, 0.7)
    ground = (raster.colour * 0.6 + easel.mood.colours["paper"][0] * 0.4)[::4, ::4]
    image = Image.fromarray(bytes_of(ground)).resize(size, Image.Resampling.BILINEAR)
    draw, length = ImageDraw.Draw(image), rng.uniform(1.7, 2.6)
    for spacing, least_detail in LAYERS:
        scale = easel.mood.brush * max(size) / 800 if spacing > 10 else 1.0
        strokes = _strokes(rng, raster, size, spacing * scale, least_detail, length)
        colour = with_contrast(strokes[1], easel.mood.artist.hand.contrast * 1.08, 1.12)
        for outline, fill in zip(strokes[0].tolist(), bytes_of(colour).tolist(), strict=True):
            draw.polygon(outline, fill=tuple(fill))
    return _with_relief(image, easel.light)


def _strokes(
    rng: np.random.Generator, raster: Raster, size: tuple[int, int], spacing: float, least_detail: float, length: float
) -> tuple[np.ndarray, np.ndarray]:
    """Strokes on a jittered grid, in random order: outlines, shape `(n, 12)`, pixels, and colours, shape `(n, 3)`."""
    across, down = (np.arange(side / spacing + 1) for side in size)
    x, y = (grid.ravel() * spacing for grid in np.meshgrid(across, down))
    x, y = rng.permutation(np.stack([x, y], axis=1) + rng.uniform(-0.5, 0.5, (len(x), 2)) * spacing).T
    rows, columns = raster.at(x / size[0], y / size[1])
    keep = raster.detail[rows, columns] >= least_detail
    x, y, rows, columns = x[keep], y[keep], rows[keep], columns[keep]
    angle = raster.angle[rows, columns] + rng.normal(0, 0.15, len(x))
    along = DAB[0] * (spacing * length * 0.5 * rng.uniform(0.7, 1.25, len(x)))[:, None]
    aside = DAB[1] * (spacing * 0.42 * rng.uniform(0.7, 1.2, len(x)))[:, None]
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    points = np.stack([x[:, None] + along * cos - aside * sin, y[:, None] + along * sin + aside * cos], axis=2)
    colour = raster.colour[rows, columns] + rng.normal(0, 0.035, (len(x), 1)) + rng.normal(0, 0.025, (len(x), 3))
    return points.reshape(len(x), DAB.size), colour


def _with_relief(image: Image.Image, light: float) -> Image.Image:
    """Thick paint casts light and shade: emboss the picture by its own tones."""
    tone = np.asarray(image.convert("L").filter(ImageFilter.BoxBlur(1)), dtype=np.int16)
    across, down = (1 if np.cos(light) > 0 else -1), (1 if np.sin(light) > 0 else -1)
    slope = np.clip(tone - np.roll(tone, (2 * down, 2 * across), axis=(0, 1)), -70, 70) * 0.22
    return Image.fromarray(np.clip(np.asarray(image) + slope[..., None], 0, 255).astype(np.uint8))
