"""Colour fields: every form is one flat colour with a clean edge, as in cut paper or a screen print.

In: a scene. Out: a picture of few, clear colours.
"""

import numpy as np
from PIL import Image, ImageDraw

from stages.demo.painter.artists import Mood
from stages.demo.painter.colours import as_fill, mix
from stages.demo.painter.scene import Scene, Shape
from stages.demo.painter.shapes import rectangle
from stages.demo.painter.styles.strokes import with_contrast

BANDED_AREA = 0.15


def colour_fields(rng: np.random.Generator, scene: Scene, mood: Mood, size: tuple[int, int]) -> Image.Image:
    """Paint with flat colours."""
    large = (size[0] * 3 // 2, size[1] * 3 // 2)
    image = Image.new("RGB", large, as_fill(mood.paper)[:3])
    draw = ImageDraw.Draw(image, "RGBA")
    inks = np.array([*mood.accents, *mood.land, *mood.sky, mood.water, mood.wall, mood.dark, mood.light, mood.paper])
    pull, bands = rng.uniform(0.35, 0.75), int(rng.integers(2, 6))
    edge = rng.choice([0, 0, 0, 2, 5])
    line = as_fill(mix(mood.dark, mood.accents[0], 0.2) if rng.random() < 0.6 else mood.light)
    scale = np.array([large[0] / scene.aspect, large[1]])
    for shape in scene.shapes:
        extent = np.ptp(shape.outline, axis=0)
        if shape.soft > 0 or extent.max() < 0.012:
            continue
        _fill(draw, shape, scale, inks, pull, bands, mood)
        if edge and extent.max() > 0.1 and shape.opacity > 0.8:
            points = (shape.outline * scale).ravel().tolist()
            draw.line([*points, *points[:2]], fill=line, width=int(edge), joint="curve")
    return image.resize(size, Image.Resampling.BOX)


def _fill(
    draw: ImageDraw.ImageDraw, shape: Shape, scale: np.ndarray, inks: np.ndarray, pull: float, bands: int, mood: Mood
) -> None:
    """One flat colour; a large area with a strong gradient (a sky) becomes a few flat bands."""
    points, contrast = shape.outline * scale, mood.artist.contrast * 1.04
    upright = len(points) == 4 and shape.gradient == np.pi / 2
    area = np.prod(np.ptp(shape.outline, axis=0))
    if upright and area > BANDED_AREA and np.abs(shape.light - shape.dark).sum() > 0.25:
        left, top = shape.outline.min(axis=0)
        right, bottom = shape.outline.max(axis=0)
        for band in range(bands):
            colour = _ink(mix(shape.light, shape.dark, band / max(bands - 1, 1)), inks, pull * 0.5)
            strip = rectangle(left, top + (bottom - top) * band / bands, right, bottom) * scale
            draw.polygon(strip.ravel().tolist(), fill=as_fill(with_contrast(colour, contrast, 1.08)))
        return
    colour = with_contrast(_ink(shape.colour, inks, pull), contrast, 1.08)
    draw.polygon(points.ravel().tolist(), fill=as_fill(colour, 1.0 if shape.opacity > 0.7 else shape.opacity))


def _ink(colour: np.ndarray, inks: np.ndarray, pull: float) -> np.ndarray:
    """Pull a colour towards the nearest ink of the palette, so that a picture has few colours."""
    nearest = inks[np.argmin(((inks - colour) ** 2).sum(axis=1))]
    return mix(colour, nearest, pull)
