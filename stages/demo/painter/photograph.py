"""What happens to a painting after it is painted: canvas, varnish, margin, frame, and the camera.

In: an RGB image as the style left it. Out: the photograph of it, at the size it was published in.
Encoding is left to `encode`.
"""

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from stages.demo.painter.artists import Mood
from stages.demo.painter.colours import bytes_of, mix
from stages.demo.painter.outlines import smooth_noise

WEAVE_STRENGTH = 0.055
OLD_VARNISH = np.array([1.02, 0.99, 0.79])
WOOD = np.array([0.55, 0.4, 0.2], np.float32)


def photograph(rng: np.random.Generator, painting: Image.Image, mood: Mood, long_side: int) -> Image.Image:
    """Age a painting, hang it, and photograph it at `long_side` pixels."""
    hand, wood = mood.artist.hand, mix(WOOD, mood.colours["accent"][2], rng.uniform(0, 0.6))
    if rng.random() < hand.margin:
        painting = _with_margin(painting, mood.colours["paper"][0], rng.uniform(0.02, 0.07))
    elif rng.random() < 0.06:
        for step in (0.4, 1.0, 0.7):  # a moulded frame
            painting = _with_margin(painting, wood * step, 0.014)
    scale = long_side / max(painting.size)
    size = max(1, round(painting.width * scale)), max(1, round(painting.height * scale))
    photo = np.asarray(painting.resize(size, Image.Resampling.BICUBIC), dtype=np.float32)
    tone = np.ones((size[1], size[0]), np.float32)
    if hand.weave > 0.12:
        tone += _weave(rng, size, hand.weave)
    if rng.random() < 0.4:  # a lamp at one side of the room
        x, y = (np.linspace(-1, 1, n, dtype=np.float32) * rng.uniform(-0.12, 0.12) for n in size)
        tone += x + y[:, None]
    warm = rng.normal(0, 0.03)
    tint = (1 + (OLD_VARNISH - 1) * rng.beta(1.2, 4)) * np.array([1 + warm, 1, 1 - warm]) * rng.normal(1.0, 0.06)
    photo = photo * tone[..., None] * tint.astype(np.float32) + rng.uniform(-4, 8)
    if rng.random() < 0.2:
        photo += rng.normal(0, rng.uniform(2, 9), (*tone.shape, 1)).astype(np.float32)
    image = Image.fromarray(np.clip(photo, 0, 255).astype(np.uint8))
    # A careless or a small photograph of a painting shows less of its surface.
    blur_px = rng.uniform(0.3, 1.8) * long_side / 600
    return image.filter(ImageFilter.BoxBlur(blur_px)) if rng.random() < 0.2 else image


def _with_margin(painting: Image.Image, colour: np.ndarray, share: float) -> Image.Image:
    """A band of one colour around the picture."""
    margin, fill = int(max(painting.size) * share), tuple(bytes_of(colour).tolist())
    return ImageOps.expand(painting, margin, fill)


def _weave(rng: np.random.Generator, size: tuple[int, int], strength: float) -> np.ndarray:
    """Canvas threads: two crossed combs with uneven strength; shape `(height, width)`, float32."""
    pitch = 2 * np.pi / rng.uniform(2.6, 4.2)
    across, down = (np.sin(np.arange(n, dtype=np.float32) * pitch + rng.uniform(0, 6)) for n in size)
    wear = 0.7 + 0.3 * smooth_noise(rng, size, 12)
    return (WEAVE_STRENGTH * strength * wear * (across + down[:, None])).astype(np.float32)
