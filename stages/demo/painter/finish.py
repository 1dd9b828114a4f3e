"""What happens to a painting after it is painted: canvas, varnish, margin, frame, and the camera.

In: an RGB image as the style left it. Out: the photograph of it, at the size it was published in.
Encoding is left to `encode`.
"""

import math

import numpy as np
from PIL import Image, ImageFilter

from stages.demo.painter.artists import Mood
from stages.demo.painter.colours import darker, luminance, mix
from stages.demo.painter.shapes import smooth_noise
from stages.demo.painter.styles.strokes import bytes_of

WEAVE_STRENGTH = 0.055


def photograph(rng: np.random.Generator, painting: Image.Image, mood: Mood, long_side: int) -> Image.Image:
    """Age a painting, hang it, and photograph it.

    Parameters
    ----------
    long_side
        Longer side of the photograph, pixels.
    """
    if rng.random() < mood.artist.margin:
        painting = _with_margin(rng, painting, mood.paper, rng.uniform(0.02, 0.07))
    elif rng.random() < 0.06:
        painting = _framed(rng, painting, mood)
    scale = long_side / max(painting.size)
    size = max(1, round(painting.width * scale)), max(1, round(painting.height * scale))
    photo = np.asarray(painting.resize(size, Image.Resampling.BICUBIC), dtype=np.float32)
    tone = np.ones((size[1], size[0]), np.float32)
    if mood.artist.weave > 0.12:
        tone += _weave(rng, size, mood.artist.weave)
    if rng.random() < 0.4:
        tone += rng.uniform(0.03, 0.12) * _uneven_light(rng, size)
    tint = _white_balance(rng) * _varnish(rng) * rng.normal(1.0, 0.06)
    photo = photo * tone[..., None] * tint + rng.uniform(-4, 8)
    if rng.random() < 0.2:
        photo += rng.normal(0, rng.uniform(2, 9), (*tone.shape, 1)).astype(np.float32)
    image = Image.fromarray(np.clip(photo, 0, 255).astype(np.uint8))
    return _out_of_focus(image, rng.uniform(0.3, 1.8)) if rng.random() < 0.2 else image


def _out_of_focus(image: Image.Image, blur_px: float) -> Image.Image:
    """A careless or a small photograph of a painting shows less of its surface."""
    return image.filter(ImageFilter.BoxBlur(blur_px * max(image.size) / 600))


def _with_margin(rng: np.random.Generator, painting: Image.Image, paper: np.ndarray, share: float) -> Image.Image:
    """Bare paper around the picture, sometimes wider below."""
    width, height = painting.size
    margin = int(max(width, height) * share)
    below = int(margin * rng.choice([1.0, 1.5]))
    sheet = Image.new("RGB", (width + 2 * margin, height + margin + below), tuple(bytes_of(paper).tolist()))
    sheet.paste(painting, (margin, margin))
    return sheet


def _framed(rng: np.random.Generator, painting: Image.Image, mood: Mood) -> Image.Image:
    """A moulded frame: three steps from dark to gold."""
    wood = mix(np.array([0.55, 0.4, 0.2], np.float32), mood.accents[2], rng.uniform(0, 0.6))
    step = int(max(painting.size) * rng.uniform(0.008, 0.02))
    for tone in (darker(wood, 0.6), wood, darker(wood, 0.3)):
        painting = _with_margin(np.random.default_rng(0), painting, tone, step / max(painting.size))
    return painting


def _weave(rng: np.random.Generator, size: tuple[int, int], strength: float) -> np.ndarray:
    """Canvas threads: two crossed combs with uneven strength; shape `(height, width)`, float32."""
    pitch = rng.uniform(2.6, 4.2)
    across = np.sin(np.arange(size[0], dtype=np.float32) * (2 * np.pi / pitch) + rng.uniform(0, 6))
    down = np.sin(np.arange(size[1], dtype=np.float32)[:, None] * (2 * np.pi / pitch) + rng.uniform(0, 6))
    wear = 0.7 + 0.3 * smooth_noise(rng, size, 12)
    return (WEAVE_STRENGTH * strength * wear * (across + down)).astype(np.float32)


def _uneven_light(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """A lamp at one side of the room: a slope across the photograph, about -1 to 1."""
    angle = rng.uniform(0, 2 * np.pi)
    x, y = np.linspace(-1, 1, size[0], dtype=np.float32), np.linspace(-1, 1, size[1], dtype=np.float32)[:, None]
    return x * math.cos(angle) + y * math.sin(angle)


def _white_balance(rng: np.random.Generator) -> np.ndarray:
    """Warmer or cooler than daylight, shape `(3,)`."""
    warm = rng.normal(0, 0.03)
    return np.array([1 + warm, 1.0, 1 - warm], np.float32)


def _varnish(rng: np.random.Generator) -> np.ndarray:
    """Old varnish takes away blue, shape `(3,)`."""
    age = rng.beta(1.2, 4)
    tint = np.array([1.0, 0.97, 0.78], np.float32)
    return 1 + (tint / luminance(tint) ** 0.5 - 1) * age
