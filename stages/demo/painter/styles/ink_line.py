"""Ink line: brush outlines and hatching on paper, with a wash of colour or none.

In: a scene. Out: a drawing.
"""

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from stages.demo.painter.artists import Mood
from stages.demo.painter.colours import luminance, mix
from stages.demo.painter.scene import Raster, Scene, rasterise
from stages.demo.painter.shapes import smooth_noise
from stages.demo.painter.styles.strokes import bytes_of


def ink_line(rng: np.random.Generator, scene: Scene, mood: Mood, size: tuple[int, int]) -> Image.Image:
    """Draw with ink."""
    raster = rasterise(scene, (size[0] // 2, size[1] // 2))
    ink = mix(mood.dark, mood.accents[0], rng.choice([0.0, 0.05, 0.35]))
    tone = _scaled(luminance(raster.colour), size)
    cover = np.maximum(_outlines(rng, scene, mood, size), _hatching(rng, tone, size, mood))
    paper = mood.paper * (1 + 0.02 * smooth_noise(rng, size, 60))[..., None]
    wash = float(rng.choice([0.0, 0.15, 0.4, 0.75], p=[0.35, 0.2, 0.25, 0.2]))
    if wash:
        paper = _washed(rng, paper, raster, size, wash)
    return Image.fromarray(bytes_of(paper + (ink - paper) * (cover * 0.92)[..., None]))


def _scaled(field: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(field.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))


def _washed(
    rng: np.random.Generator, paper: np.ndarray, raster: Raster, size: tuple[int, int], strength: float
) -> np.ndarray:
    """Thin colour that runs over the lines and pools here and there; it darkens the paper as a filter does."""
    blurred = (
        Image.fromarray(bytes_of(raster.colour))
        .filter(ImageFilter.GaussianBlur(3))
        .resize(size, Image.Resampling.BILINEAR)
    )
    pool = np.clip(strength * (1 + 0.3 * smooth_noise(rng, size, 7)), 0, 1)[..., None]
    return paper * (1 + (np.asarray(blurred, dtype=np.float32) / 255 - 1) * pool)


def _outlines(rng: np.random.Generator, scene: Scene, mood: Mood, size: tuple[int, int]) -> np.ndarray:
    """Contours, each form hiding the lines behind it; shape `(height, width)`, float32, 0 to 1."""
    image = Image.new("L", size)
    draw = ImageDraw.Draw(image)
    scale = np.array([size[0] / scene.aspect, size[1]])
    heavy = mood.brush * max(size) / 800 * rng.uniform(1.6, 3.6)
    shake = rng.uniform(0.3, 1.2)
    for shape in scene.shapes:
        if shape.soft > 0 or shape.opacity < 0.4:
            continue
        points = shape.outline * scale
        draw.polygon(points.ravel().tolist(), fill=0)
        _draw_contour(rng, draw, points, heavy * (1.3 - 0.7 * shape.detail), shake)
    return np.asarray(image.filter(ImageFilter.BoxBlur(0.6)), dtype=np.float32) / 255


def _draw_contour(
    rng: np.random.Generator, draw: ImageDraw.ImageDraw, points: np.ndarray, heavy: float, shake: float
) -> None:
    """A closed line in runs of changing width: the brush is pressed and lifted."""
    trembling = points + rng.normal(0, shake, points.shape) * (1 if len(points) < 60 else 0.6)
    closed = np.concatenate([trembling, trembling[:1]])
    run = max(2, len(closed) // 5)
    for start in range(0, len(closed) - 1, run):
        stretch = closed[start : start + run + 1]
        width = max(1, round(heavy * rng.uniform(0.5, 1.6)))
        draw.line(
            stretch.ravel().tolist(),
            fill=int(rng.integers(190, 256)),
            width=width,
            joint="curve" if width > 2 else None,
        )


def _hatching(rng: np.random.Generator, tone: np.ndarray, size: tuple[int, int], mood: Mood) -> np.ndarray:
    """Parallel strokes, one more direction for every step that the scene is darker."""
    width, height = size
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    tone = np.clip((tone - 0.5) * mood.artist.contrast + 0.5, 0, 1)
    gap = rng.uniform(5.0, 9.5) * mood.brush**0.4 * max(size) / 800
    tremble = smooth_noise(rng, size, 22) * (2.0 / gap)
    pressure = 0.03 * smooth_noise(rng, size, 45)
    first = rng.uniform(0.4, 1.2) * (-1 if rng.random() < 0.5 else 1)
    cover = np.zeros((height, width), np.float32)
    for turn, threshold in ((0.0, 0.66), (0.9, 0.44), (-0.6, 0.25)):
        across, down = math.cos(first + turn) / gap, math.sin(first + turn) / gap
        phase = (x * across + y * down) + tremble
        line = np.abs(phase - np.round(phase)) * 2
        weight = np.clip((threshold - tone + pressure) * 2.2, 0, 0.62)
        cover = np.maximum(cover, np.clip((weight - line) * gap * 0.5, 0, 1) * 0.85)
    return cover
