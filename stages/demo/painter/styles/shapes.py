"""Pictures drawn shape by shape: flat colours with clean edges as in a screen print, and ink on paper.

In: an easel. Out: a picture of outlines.
"""

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from stages.demo.painter.artists import ROLES
from stages.demo.painter.colours import bytes_of, luminance, mix, with_contrast
from stages.demo.painter.easel import Easel
from stages.demo.painter.outlines import rectangle, smooth_noise
from stages.demo.painter.raster import rasterise

BANDED_AREA = 0.15
# Each direction of hatching, radians from the first, and the tone below which it is laid.
HATCHES = ((0.0, 0.66), (0.9, 0.44), (-0.6, 0.25))


def colour_fields(easel: Easel, size: tuple[int, int]) -> Image.Image:
    """Paint with flat colours; a large area with a strong gradient (a sky) becomes bands."""
    rng, large, colours = easel.rng, np.array(size) * 3 // 2, easel.variation.colours
    image = Image.new("RGB", tuple(large.tolist()))
    draw, scale = ImageDraw.Draw(image, "RGBA"), large / (easel.aspect, 1)
    inks = np.array([colour for role in sorted(set(ROLES.split())) for colour in colours[role]])
    pull, bands, edge = rng.uniform(0.35, 0.75), int(rng.integers(2, 6)), int(rng.choice([0, 0, 0, 2, 5]))
    line = tuple(bytes_of(colours[rng.choice(["dark", "light"], p=[0.6, 0.4])][0]).tolist())
    for shape in easel.shapes:
        start, extent = shape.outline.min(axis=0), np.ptp(shape.outline, axis=0)
        if shape.finish.soft or extent.max() < 0.012:
            continue
        opacity = shape.finish.opacity if shape.finish.opacity < 0.7 else 1.0
        areas = [(shape.outline, shape.colour)]
        strong = len(shape.outline) == 4 and np.abs(shape.light - shape.dark).sum() > 0.25
        if strong and shape.finish.gradient == "down" and np.prod(extent) > BANDED_AREA:
            band = [rectangle(*(start + extent * (0, step)), *(start + extent)) for step in np.arange(bands) / bands]
            areas = [(area, mix(shape.light, shape.dark, i / bands)) for i, area in enumerate(band)]
        for outline, colour in areas:
            nearest = inks[np.argmin(((inks - colour) ** 2).sum(axis=1))]
            fill = with_contrast(mix(colour, nearest, pull), easel.variation.artist.contrast * 1.04, 1.08)
            draw.polygon((outline * scale).ravel().tolist(), fill=(*bytes_of(fill).tolist(), round(opacity * 255)))
        if edge and extent.max() > 0.1 and shape.finish.opacity > 0.8:
            points = np.concatenate([shape.outline, shape.outline[:1]]) * scale
            draw.line(points.ravel().tolist(), fill=line, width=edge, joint="curve")
    return image.resize(size, Image.Resampling.BOX)


def ink_line(easel: Easel, size: tuple[int, int]) -> Image.Image:
    """Draw with ink: brush outlines and hatching, with a wash of colour or none."""
    rng, colours = easel.rng, easel.variation.colours
    colour = rasterise(easel, (size[0] // 2, size[1] // 2)).colour
    ink = mix(colours["dark"][0], colours["first"][0], rng.choice([0.0, 0.05, 0.35]))
    tone = Image.fromarray(luminance(with_contrast(colour, easel.variation.artist.contrast)))
    hatching = _hatching(easel, np.asarray(tone.resize(size, Image.Resampling.BILINEAR)))
    cover = np.maximum(_outlines(easel, size), hatching)[..., None] * 0.92
    paper = colours["paper"][0] * (1 + 0.02 * smooth_noise(rng, size, 60))[..., None]
    if strength := float(rng.choice([0.0, 0.15, 0.4, 0.75], p=[0.35, 0.2, 0.25, 0.2])):
        # Thin colour that runs over the lines and pools here and there; it darkens the paper as a filter does.
        wash = Image.fromarray(bytes_of(colour)).filter(ImageFilter.GaussianBlur(3)).resize(size)
        pool = np.clip(strength * (1 + 0.3 * smooth_noise(rng, size, 7)), 0, 1)[..., None]
        paper *= 1 + (np.asarray(wash, dtype=np.float32) / 255 - 1) * pool
    return Image.fromarray(bytes_of(paper + (ink - paper) * cover))


def _outlines(easel: Easel, size: tuple[int, int]) -> np.ndarray:
    """Contours, each form hiding the lines behind it; shape `(height, width)`, float32, 0 to 1."""
    rng, image = easel.rng, Image.new("L", size)
    draw, scale = ImageDraw.Draw(image), np.array([size[0] / easel.aspect, size[1]])
    heavy, shake = easel.variation.brush * max(size) / 800 * rng.uniform(1.6, 3.6), rng.uniform(0.3, 1.2)
    for shape in easel.shapes:
        if shape.finish.soft or shape.finish.opacity < 0.4:
            continue
        points = shape.outline * scale
        draw.polygon(points.ravel().tolist(), fill=0)
        # A trembling closed line in runs of changing width: the brush is pressed and lifted.
        line = points + rng.normal(0, shake, points.shape) * (1 if len(points) < 60 else 0.6)
        line, run = np.concatenate([line, line[:1]]), max(2, len(line) // 5)
        for start in range(0, len(line) - 1, run):
            width = max(1, round(heavy * (1.3 - 0.7 * shape.finish.detail) * rng.uniform(0.5, 1.6)))
            stretch = line[start : start + run + 1].ravel().tolist()
            draw.line(stretch, fill=int(rng.integers(190, 256)), width=width, joint="curve" if width > 2 else None)
    return np.asarray(image.filter(ImageFilter.BoxBlur(0.6)), dtype=np.float32) / 255


def _hatching(easel: Easel, tone: np.ndarray) -> np.ndarray:
    """Parallel strokes, one more direction for every step that the scene is darker; shape as `tone`, 0 to 1."""
    rng, (height, width) = easel.rng, tone.shape
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    gap = rng.uniform(5.0, 9.5) * easel.variation.brush**0.4 * max(tone.shape) / 800
    tremble = smooth_noise(rng, (width, height), 22) * (2.0 / gap)
    pressure = 0.03 * smooth_noise(rng, (width, height), 45)
    first, cover = rng.uniform(0.4, 1.2) * rng.choice([-1, 1]), np.zeros_like(tone)
    for turn, threshold in HATCHES:
        phase = x * (math.cos(first + turn) / gap) + y * (math.sin(first + turn) / gap) + tremble
        line = np.abs(phase - np.round(phase)) * 2
        weight = np.clip((threshold - tone + pressure) * 2.2, 0, 0.62)
        cover = np.maximum(cover, np.clip((weight - line) * gap * 0.5, 0, 1) * 0.85)
    return cover
