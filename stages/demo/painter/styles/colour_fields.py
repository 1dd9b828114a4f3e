"""Colour fields: every form is one flat colour with a clean edge, as in cut paper or a screen print.

In: an easel. Out: a picture of few, clear colours.
"""

import numpy as np
from PIL import Image, ImageDraw

from stages.demo.painter.artists import ROLES
from stages.demo.painter.colours import bytes_of, mix, with_contrast
from stages.demo.painter.easel import Easel, Shape
from stages.demo.painter.outlines import rectangle

BANDED_AREA = 0.15


def colour_fields(rng: np.random.Generator, easel: Easel, size: tuple[int, int]) -> Image.Image:
    """Paint with flat colours."""
    large, colours = np.array(size) * 3 // 2, easel.mood.colours
    image = Image.new("RGB", tuple(large.tolist()))
    draw, scale = ImageDraw.Draw(image, "RGBA"), large / (easel.aspect, 1)
    inks = np.array([colour for role in sorted(set(ROLES.split())) for colour in colours[role]])
    pull, bands, edge = rng.uniform(0.35, 0.75), int(rng.integers(2, 6)), int(rng.choice([0, 0, 0, 2, 5]))
    line = tuple(bytes_of(colours[rng.choice(["dark", "light"], p=[0.6, 0.4])][0]).tolist())
    for shape in easel.shapes:
        extent = np.ptp(shape.outline, axis=0)
        if shape.finish.soft or extent.max() < 0.012:
            continue
        opacity = shape.finish.opacity if shape.finish.opacity < 0.7 else 1.0
        for outline, colour in _areas(shape, bands):
            nearest = inks[np.argmin(((inks - colour) ** 2).sum(axis=1))]
            fill = with_contrast(mix(colour, nearest, pull), easel.mood.artist.hand.contrast * 1.04, 1.08)
            draw.polygon((outline * scale).ravel().tolist(), fill=(*bytes_of(fill).tolist(), round(opacity * 255)))
        if edge and extent.max() > 0.1 and shape.finish.opacity > 0.8:
            points = np.concatenate([shape.outline, shape.outline[:1]]) * scale
            draw.line(points.ravel().tolist(), fill=line, width=edge, joint="curve")
    return image.resize(size, Image.Resampling.BOX)


def _areas(shape: Shape, bands: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Outline and colour of what a shape becomes: itself; of a large one with a strong gradient (a sky), flat bands."""
    (left, top), (right, bottom) = shape.outline.min(axis=0), shape.outline.max(axis=0)
    banded = (
        len(shape.outline) == 4 and shape.finish.gradient == "down" and np.abs(shape.light - shape.dark).sum() > 0.25
    )
    if not banded or (right - left) * (bottom - top) < BANDED_AREA:
        return [(shape.outline, shape.colour)]
    steps = np.arange(bands) / bands
    return [
        (rectangle(left, top + (bottom - top) * step, right, bottom), mix(shape.light, shape.dark, step))
        for step in steps
    ]
