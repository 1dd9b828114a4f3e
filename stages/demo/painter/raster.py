"""A composed picture in pixels: colour, direction of the brush and amount of detail, without any manner.

In: an easel. Out: a `Raster` of plain shaded areas, no outlines.
"""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from stages.demo.painter.easel import Easel, Shape


@dataclass(frozen=True)
class Raster:
    """Colour, shape `(height, width, 3)`, 0 to 1; brush direction, radians, and detail, 0 to 1, both of shape
    `(height, width)`; all float32."""

    colour: np.ndarray
    angle: np.ndarray
    detail: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, pixels."""
        return self.colour.shape[1], self.colour.shape[0]


def rasterise(easel: Easel, size: tuple[int, int]) -> Raster:
    """Render a picture at `size` (width, height, pixels), stretched to it."""
    width, height = size
    colour = np.full((height, width, 3), 0.5, np.float32)
    raster = Raster(colour, np.zeros((height, width), np.float32), np.zeros((height, width), np.float32))
    for shape in easel.shapes:
        _lay(shape, raster, np.array([width / easel.aspect, height]), easel.variation.light)
    return raster


def _lay(shape: Shape, raster: Raster, scale: np.ndarray, light: float) -> None:
    """Composite one shape onto the raster, touching only its bounding box."""
    points, finish, blur = shape.outline * scale, shape.finish, float(shape.finish.soft * scale[1])
    left, top = np.maximum(np.floor(points.min(axis=0) - 3 * blur), 0).astype(int)
    right, bottom = np.minimum(np.ceil(points.max(axis=0) + 3 * blur) + 1, raster.size).astype(int)
    if right <= left or bottom <= top:
        return
    mask = _mask(points - (left, top), (int(right - left), int(bottom - top)), blur)
    box = slice(top, bottom), slice(left, right)
    x, y = np.arange(left, right, dtype=np.float32), np.arange(top, bottom, dtype=np.float32)[:, None]
    tone = _tone(shape, points, x, y, light)[..., None]
    patch = raster.colour[box]
    patch += (shape.light + (shape.dark - shape.light) * tone - patch) * (mask * finish.opacity)[..., None]
    if not blur and finish.opacity > 0.4:
        inside = mask > 0.5
        # A brush without a direction goes around the shape.
        x_centre, y_centre = points.mean(axis=0).tolist()
        around = np.arctan2(y - y_centre, x - x_centre)[inside] + np.float32(math.pi / 2)
        raster.angle[box][inside] = around if finish.angle is None else finish.angle
        raster.detail[box][inside] = finish.detail


def _mask(points: np.ndarray, size: tuple[int, int], blur: float) -> np.ndarray:
    image = Image.new("L", size)
    ImageDraw.Draw(image).polygon(points.ravel().tolist(), fill=255)
    if blur:
        image = image.filter(ImageFilter.BoxBlur(blur)).filter(ImageFilter.BoxBlur(blur))
    return np.asarray(image, dtype=np.float32) / 255


def _tone(shape: Shape, points: np.ndarray, x: np.ndarray, y: np.ndarray, light: float) -> np.ndarray:
    """How far each pixel is on the way from light to dark, 0 to 1."""
    # Plain floats throughout: a NumPy scalar of 64 bits would widen the whole field.
    if shape.direction is None:
        half = np.maximum(np.ptp(points, axis=0) / 2, 1e-3)
        focus = points.mean(axis=0) + half * 0.45 * (math.cos(light), math.sin(light))
        (x_focus, y_focus), (x_half, y_half) = focus.tolist(), half.tolist()
        return np.asarray(np.minimum((((x - x_focus) / x_half) ** 2 + ((y - y_focus) / y_half) ** 2) / 1.9, 1))
    across, down = math.cos(shape.direction), math.sin(shape.direction)
    reach = points @ (across, down)
    start, length = float(reach.min()), max(float(np.ptp(reach)), 1e-3)
    return np.clip(x * (across / length) + (y * down - start) / length, 0, 1)
