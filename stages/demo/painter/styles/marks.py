"""Pictures of many marks: dabs that follow the forms, broad ones first, and dots of pure colour that mix in the eye.

In: an easel. Out: a picture of some thousand marks (after Hertzmann 1998, painterly rendering with brush sizes).
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from stages.demo.painter.colours import bytes_of, with_contrast
from stages.demo.painter.easel import Easel
from stages.demo.painter.outlines import arc, smooth_noise
from stages.demo.painter.raster import Raster, rasterise

# A mark's outline along (first row) and across (second) its direction: a rounded, slightly tapering dab, and a dot.
DAB = np.array([(-1.0, -0.7, 0.5, 1.0, 0.8, -0.6), (0.1, 0.85, 0.95, 0.1, -0.8, -0.9)])
DOT = arc(0, 0, 1, 0, 5.24, points=6).T
# Layers of dabs: distance, pixels, and the least detail for which they are laid.
DAB_LAYERS = ((26, 0.0), (15, 0.0), (9.5, 0.38), (6.5, 0.75))


def dabs(easel: Easel, size: tuple[int, int]) -> Image.Image:
    """Paint with dabs."""
    rng, (raster, image) = easel.rng, _prepared(easel, size)
    raster.angle[:] += smooth_noise(rng, raster.size, 5) * rng.uniform(0.2, 0.7)
    length = rng.uniform(0.85, 1.3)
    for spacing, least_detail in DAB_LAYERS:
        gap = spacing * (easel.variation.brush * max(size) / 800 if spacing > 10 else 1.0)
        outlines, colour = _marks(rng, raster, gap, DAB * gap * [[length], [0.42]], least_detail)
        tone = rng.normal(0, 0.035, (len(colour), 1)) + rng.normal(0, 0.025, colour.shape)
        _lay(image, outlines, with_contrast(colour + tone, easel.variation.artist.contrast * 1.08, 1.12))
    # Thick paint casts light and shade: emboss the picture, away from the light.
    relief = np.zeros((5, 5))
    relief[2, 2], relief[0 if np.sin(easel.variation.light) > 0 else 4, 2 - 2 * easel.lit_side] = 1.2, -0.2
    return image.filter(ImageFilter.Kernel((5, 5), relief.ravel().tolist(), 1))


def dots(easel: Easel, size: tuple[int, int]) -> Image.Image:
    """Paint with dots."""
    rng, (raster, image) = easel.rng, _prepared(easel, size)
    gap = float(np.clip(8.5 * easel.variation.brush * max(size) / 800, 5.5, 12.5))
    for scale in (1.12, 0.98):
        outlines, colour = _marks(rng, raster, gap * scale, DOT * gap * scale * 0.54, 0.0)
        # The picture's colour is split into purer ones that lie next to each other.
        split = rng.normal(0, 0.085, colour.shape)
        tone = rng.normal(0, 0.04, (len(colour), 1)) + split - split.mean(axis=1, keepdims=True)
        _lay(image, outlines, with_contrast(colour + tone, easel.variation.artist.contrast, 1.2))
    return image


def _prepared(easel: Easel, size: tuple[int, int]) -> tuple[Raster, Image.Image]:
    """What is to be painted, at half the size, and a toned ground."""
    raster = rasterise(easel, (size[0] // 2, size[1] // 2))
    ground = (raster.colour * 0.6 + easel.variation.colours["paper"][0] * 0.4)[::4, ::4]
    return raster, Image.fromarray(bytes_of(ground)).resize(size, Image.Resampling.BILINEAR)


def _marks(
    rng: np.random.Generator, raster: Raster, gap: float, outline: np.ndarray, least_detail: float
) -> tuple[np.ndarray, np.ndarray]:
    """Marks on a jittered grid, in random order, where the picture asks for this much detail.

    Returns
    -------
    outlines : np.ndarray
        Shape `(n, 2 * corners)`, pixels of the picture, which is twice as large as the raster.
    colours : np.ndarray
        Shape `(n, 3)`.
    """
    grid = np.stack(np.meshgrid(*(np.arange(2 * side / gap + 1) for side in raster.size)), axis=2).reshape(-1, 2)
    places = rng.permutation(grid + rng.uniform(-0.5, 0.5, grid.shape)) * gap
    columns, rows = np.clip(places / 2, 0, np.array(raster.size) - 1).astype(int).T
    keep = raster.detail[rows, columns] >= least_detail
    places, rows, columns = places[keep], rows[keep], columns[keep]
    angle = raster.angle[rows, columns] + rng.normal(0, 0.15, len(rows))
    along, across = outline[:, None] * rng.uniform(0.75, 1.2, (2, len(rows), 1))
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    points = np.stack([along * cos - across * sin, along * sin + across * cos], axis=2) + places[:, None]
    return points.reshape(len(rows), outline.size), raster.colour[rows, columns]


def _lay(image: Image.Image, outlines: np.ndarray, colours: np.ndarray) -> None:
    draw = ImageDraw.Draw(image)
    for outline, fill in zip(outlines.tolist(), bytes_of(colours).tolist(), strict=True):
        draw.polygon(outline, fill=tuple(fill))
