"""What happens to a painting after it is painted: canvas, varnish, margin, frame, and the camera.

In: an RGB image as the style left it. Out: the photograph of it, at the size it was published in.
Encoding is left to `encode`.
"""

import math

import numpy as np
from PIL import Image, ImageFilter

from stages.demo.painter.artists import Mood
from stages.demo.painter.colours import bytes_of, mix
from stages.demo.painter.outlines import smooth_noise

WEAVE_STRENGTH = 0.055
OLD_VARNISH = np.array([1.02, 0.99, 0.79], np.float32)


def photograph(rng: np.random.Generator, painting: Image.Image, mood: Mood, long_side: int) -> Image.Image:
    """Age a painting, hang it, and photograph it at `long_side` pixels."""
    if rng.random() < mood.artist.hand.margin:
        below = rng.choice([1.0, 1.5])
        painting = _with_margin(painting, mood.colours["paper"][0], rng.uniform(0.02, 0.07), below)
    elif rng.random() < 0.06:
        painting = _framed(rng, painting, mood)
    scale = long_side / max(painting.size)
    size = max(1, round(painting.width * scale)), max(1, round(painting.height * scale))
    photo = np.asarray(painting.resize(size, Image.Resampling.BICUBIC), dtype=np.float32)
    tone = np.ones((size[1], size[0]), np.float32)
    if mood.artist.hand.weave > 0.12:
        tone += _weave(rng, size, mood.artist.hand.weave)
    if rng.random() < 0.4:
        tone += rng.uniform(0.03, 0.12) * _uneven_light(rng, size)
    warm = rng.normal(0, 0.03)
    tint = (1 + (OLD_VARNISH - 1) * rng.beta(1.2, 4)) * np.array([1 + warm, 1, 1 - warm], np.float32)
    photo = photo * tone[..., None] * (tint * rng.normal(1.0, 0.06)).astype(np.float32) + rng.uniform(-4, 8)
    if rng.random() < 0.2:
        photo += rng.normal(0, rng.uniform(2, 9), (*tone.shape, 1)).astype(np.float32)
    image = Image.fromarray(np.clip(photo, 0, 255).astype(np.uint8))
    # A careless or a small photograph of a painting shows less of its surface.
    blur_px = rng.uniform(0.3, 1.8) * long_side / 600
    return image.filter(ImageFilter.BoxBlur(blur_px)) if rng.random() < 0.2 else image


def _with_margin(painting: Image.Image, paper: np.ndarray, share: float, below: float = 1.0) -> Image.Image:
    """Bare paper around the picture, `below` times as wide below it."""
    width, height = painting.size
    margin = int(max(width, height) * share)
    sheet = Image.new(
        "RGB", (width + 2 * margin, height + margin + int(margin * below)), tuple(bytes_of(paper).tolist())
    )
    sheet.paste(painting, (margin, margin))
    return sheet


def _framed(rng: np.random.Generator, painting: Image.Image, mood: Mood) -> Image.Image:
    """A moulded frame: three steps from dark to gold."""
    wood = mix(np.array([0.55, 0.4, 0.2], np.float32), mood.colours["accent"][2], rng.uniform(0, 0.6))
    step = rng.uniform(0.008, 0.02)
    for tone in (0.4, 1.0, 0.7):
        painting = _with_margin(painting, wood * tone, step)
    return painting


def _weave(rng: np.random.Generator, size: tuple[int, int], strength: float) -> np.ndarray:
    """Canvas threads: two crossed combs with uneven strength; shape `(height, width)`, float32."""
    pitch = 2 * np.pi / rng.uniform(2.6, 4.2)
    across, down = (np.sin(np.arange(n, dtype=np.float32) * pitch + rng.uniform(0, 6)) for n in size)
    wear = 0.7 + 0.3 * smooth_noise(rng, size, 12)
    return (WEAVE_STRENGTH * strength * wear * (across + down[:, None])).astype(np.float32)


def _uneven_light(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """A lamp at one side of the room: a slope across the photograph, about -1 to 1."""
    angle = rng.uniform(0, 2 * np.pi)
    x, y = (np.linspace(-1, 1, n, dtype=np.float32) for n in size)
    return x * math.cos(angle) + y[:, None] * math.sin(angle)
