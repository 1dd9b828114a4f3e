"""A scene: what a picture shows, before anyone has decided how to paint it.

In: outlines with colours, added from back to front. Out: the list of shapes, or their rendering as colour, brush
direction and amount of detail per pixel. What is in the scene is left to the genres, the manner to the styles.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from stages.demo.painter.colours import darker, lighter


@dataclass(frozen=True)
class Shape:
    """One area of a scene.

    Attributes
    ----------
    outline
        Polygon, shape `(n, 2)`, in units of the picture's height.
    light, dark
        Colours of the lit and the shaded end, shape `(3,)`.
    gradient
        Direction in which light turns into dark, radians; `None` for a sphere lit by the scene's light.
    angle
        Direction of the brush, radians; `None` follows the contour.
    detail
        How small the marks are that it asks for, 0 (a wall) to 1 (an eye).
    opacity, soft
        0 to 1; width of the blurred edge in picture heights. Soft shapes are light and shadow, not things.
    """

    outline: np.ndarray
    light: np.ndarray
    dark: np.ndarray
    gradient: float | None
    angle: float | None
    detail: float
    opacity: float
    soft: float

    @property
    def colour(self) -> np.ndarray:
        """The one colour that stands for the whole shape."""
        return (self.light + self.dark) / 2


@dataclass
class Scene:
    """Shapes from back to front on a picture of width `aspect` and height 1, lit from direction `light` (radians)."""

    aspect: float
    light: float
    shapes: list[Shape] = field(default_factory=list)

    def add(
        self,
        outline: np.ndarray,
        colour: np.ndarray,
        *,
        to: np.ndarray | None = None,
        shade: float = 0.12,
        gradient: float | None = np.pi / 2,
        angle: float | None = 0.0,
        detail: float = 0.3,
        opacity: float = 1.0,
        soft: float = 0.0,
    ) -> None:
        """Put a shape in front of all others; it shades from `colour` to `to`, or from lighter to darker by `shade`."""
        light, dark = (colour, to) if to is not None else (lighter(colour, shade), darker(colour, shade))
        self.shapes.append(Shape(outline, light, dark, gradient, angle, detail, opacity, soft))

    def add_solid(self, outline: np.ndarray, colour: np.ndarray, *, shade: float = 0.3, **options: object) -> None:
        """Put a body in front of all others: shaded away from the light."""
        self.add(outline, colour, shade=shade, gradient=self.light + np.pi, **options)

    def add_sphere(self, outline: np.ndarray, colour: np.ndarray, *, shade: float = 0.35, **options: object) -> None:
        """Put a round body in front of all others, with brush strokes that go round it."""
        self.add(outline, colour, shade=shade, gradient=None, **({"angle": None} | options))


@dataclass(frozen=True)
class Raster:
    """A scene in pixels.

    Attributes
    ----------
    colour
        Shape `(height, width, 3)`, float32, 0 to 1.
    angle
        Brush direction, shape `(height, width)`, float32, radians.
    detail
        Shape `(height, width)`, float32, 0 to 1.
    """

    colour: np.ndarray
    angle: np.ndarray
    detail: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, pixels."""
        return self.colour.shape[1], self.colour.shape[0]

    def at(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Row and column indices of points given as fractions of width and height, clipped to the picture."""
        width, height = self.size
        return np.clip((y * height).astype(int), 0, height - 1), np.clip((x * width).astype(int), 0, width - 1)


def rasterise(scene: Scene, size: tuple[int, int]) -> Raster:
    """Render a scene without any manner: plain shaded areas, no outlines.

    Parameters
    ----------
    size
        Width and height, pixels; the scene is stretched to it.
    """
    width, height = size
    raster = Raster(
        np.full((height, width, 3), 0.5, np.float32),
        np.zeros((height, width), np.float32),
        np.zeros((height, width), np.float32),
    )
    scale = np.array([width / scene.aspect, height])
    for shape in scene.shapes:
        _lay(shape, raster, scale, scene.light)
    return raster


def _lay(shape: Shape, raster: Raster, scale: np.ndarray, light: float) -> None:
    """Composite one shape onto the raster, touching only its bounding box."""
    width, height = raster.size
    points = shape.outline * scale
    margin = 3 * shape.soft * scale[1]
    left, top = np.maximum(np.floor(points.min(axis=0) - margin), 0).astype(int)
    right, bottom = np.minimum(np.ceil(points.max(axis=0) + margin) + 1, (width, height)).astype(int)
    if right <= left or bottom <= top:
        return
    mask = _mask(points - (left, top), (right - left, bottom - top), float(shape.soft * scale[1]))
    box = slice(top, bottom), slice(left, right)
    x = np.arange(left, right, dtype=np.float32)
    y = np.arange(top, bottom, dtype=np.float32)[:, None]
    tone = _tone(shape, points, x, y, light)[..., None]
    alpha = (mask * shape.opacity)[..., None]
    patch = raster.colour[box]
    patch += (shape.light + (shape.dark - shape.light) * tone - patch) * alpha
    if shape.soft == 0 and shape.opacity > 0.4:
        inside = mask > 0.5
        angle = _contour_angle(points, x, y) if shape.angle is None else np.float32(shape.angle)
        raster.angle[box] = np.where(inside, angle, raster.angle[box])
        raster.detail[box] = np.where(inside, np.float32(shape.detail), raster.detail[box])


def _mask(points: np.ndarray, size: tuple[int, int], blur: float) -> np.ndarray:
    image = Image.new("L", (int(size[0]), int(size[1])))
    ImageDraw.Draw(image).polygon(points.ravel().tolist(), fill=255)
    if blur > 0:
        image = image.filter(ImageFilter.BoxBlur(blur)).filter(ImageFilter.BoxBlur(blur))
    return np.asarray(image, dtype=np.float32) / 255


def _tone(shape: Shape, points: np.ndarray, x: np.ndarray, y: np.ndarray, light: float) -> np.ndarray:
    """How far each pixel is on the way from light to dark, 0 to 1."""
    if shape.gradient is None:
        half = np.maximum(np.ptp(points, axis=0) / 2, 1e-3)
        focus = points.mean(axis=0) + half * 0.45 * (math.cos(light), math.sin(light))
        # Plain floats: a NumPy scalar of 64 bits would widen the whole field.
        (x_focus, y_focus), (x_half, y_half) = focus.tolist(), half.tolist()
        return np.minimum((((x - x_focus) / x_half) ** 2 + ((y - y_focus) / y_half) ** 2) / 1.9, 1)
    across, down = math.cos(shape.gradient), math.sin(shape.gradient)
    reach = points @ (across, down)
    start, length = float(reach.min()), max(float(np.ptp(reach)), 1e-3)
    return np.clip(x * (across / length) + (y * down - start) / length, 0, 1)


def _contour_angle(points: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x_centre, y_centre = points.mean(axis=0).tolist()
    return np.arctan2(y - y_centre, x - x_centre) + math.pi / 2
