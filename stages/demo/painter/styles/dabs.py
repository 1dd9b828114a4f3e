"""Dabs: short loaded brush strokes that follow the forms, broad ones first, small ones where there is detail.

In: a scene. Out: a picture of some thousand strokes (after Hertzmann 1998, painterly rendering with brush sizes).
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from stages.demo.painter.artists import Mood
from stages.demo.painter.scene import Raster, Scene, rasterise
from stages.demo.painter.shapes import smooth_noise
from stages.demo.painter.styles.strokes import brush_angle, bytes_of, jittered_grid, with_contrast

# A stroke's outline along (first row) and across (second) its direction: a rounded, slightly tapering dab.
DAB = np.array([(-1.0, -0.7, 0.5, 1.0, 0.8, -0.6), (0.1, 0.85, 0.95, 0.1, -0.8, -0.9)])


def dabs(rng: np.random.Generator, scene: Scene, mood: Mood, size: tuple[int, int]) -> Image.Image:
    """Paint with dabs."""
    raster = rasterise(scene, (size[0] // 2, size[1] // 2))
    swirl = smooth_noise(rng, raster.size, 5) * rng.uniform(0.2, 0.7)
    ground = (raster.colour * 0.6 + mood.paper * 0.4)[::4, ::4]
    image = Image.fromarray(bytes_of(ground)).resize(size, Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(image)
    unit = mood.brush * max(size) / 800
    length = rng.uniform(1.7, 2.6)
    for spacing, least_detail in ((26, 0.0), (15, 0.0), (9.5, 0.38), (6.5, 0.75)):
        _lay_strokes(
            rng, draw, raster, swirl, mood, size, spacing * (unit if spacing > 10 else 1.0), least_detail, length
        )
    return _with_relief(image, scene.light)


def _lay_strokes(
    rng: np.random.Generator,
    draw: ImageDraw.ImageDraw,
    raster: Raster,
    swirl: np.ndarray,
    mood: Mood,
    size: tuple[int, int],
    spacing: float,
    least_detail: float,
    length: float,
) -> None:
    """One layer of strokes, `spacing` pixels apart, where the scene asks for at least this much detail."""
    x, y = jittered_grid(rng, size, spacing)
    rows, columns = raster.at(x / size[0], y / size[1])
    keep = raster.detail[rows, columns] >= least_detail
    x, y, rows, columns = x[keep], y[keep], rows[keep], columns[keep]
    angle = brush_angle(raster, rows, columns, swirl) + rng.normal(0, 0.15, len(x))
    half_long = spacing * length * 0.5 * rng.uniform(0.7, 1.25, len(x))
    half_wide = spacing * 0.42 * rng.uniform(0.7, 1.2, len(x))
    along, across = DAB[0] * half_long[:, None], DAB[1] * half_wide[:, None]
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    points = np.stack([x[:, None] + along * cos - across * sin, y[:, None] + along * sin + across * cos], axis=2)
    colour = raster.colour[rows, columns] + rng.normal(0, 0.035, (len(x), 1)) + rng.normal(0, 0.025, (len(x), 3))
    fills = bytes_of(with_contrast(colour, mood.artist.contrast * 1.08, 1.12)).tolist()
    for outline, fill in zip(points.reshape(len(x), DAB.size).tolist(), fills, strict=True):
        draw.polygon(outline, fill=tuple(fill))


def _with_relief(image: Image.Image, light: float) -> Image.Image:
    """Thick paint casts light and shade: emboss the picture by its own tones."""
    tone = np.asarray(image.convert("L").filter(ImageFilter.BoxBlur(1)), dtype=np.int16)
    across, down = (1 if np.cos(light) > 0 else -1), (1 if np.sin(light) > 0 else -1)
    slope = np.clip(tone - np.roll(tone, (2 * down, 2 * across), axis=(0, 1)), -70, 70) * 0.22
    return Image.fromarray(np.clip(np.asarray(image) + slope[..., None], 0, 255).astype(np.uint8))
