"""Near duplicates: the same photograph as another site would publish it.

In: a sound image file. Out: a JPEG file that shows the same picture with other bytes and, mostly, other pixels.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from stages.images import to_rgb


def save_near_duplicate(rng: np.random.Generator, original: Path, copy: Path, how: str) -> None:
    """Save a changed copy in one of the ways of `NEAR_DUPLICATES`."""
    with Image.open(original) as image:
        changed = NEAR_DUPLICATES[how](rng, to_rgb(image))
    changed.save(copy, "JPEG", quality=int(rng.integers(50, 70)) if how == "encoded_again" else 90)


def _resized(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    scale = rng.uniform(0.6, 0.85)
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)


def _trimmed(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    """Lose up to one and a half per cent of width and height in all."""
    left, top, right, bottom = (rng.uniform(0.002, 0.0075, 4) * (image.size * 2)).round().astype(int).tolist()
    return image.crop((left, top, image.width - right, image.height - bottom))


def _with_bars(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    """Thin black bars above and below."""
    bar = max(2, round(image.height * rng.uniform(0.006, 0.01)))
    return image.crop((0, -bar, image.width, image.height + bar))


NEAR_DUPLICATES = {
    "encoded_again": lambda rng, image: image,
    "resized": _resized,
    "trimmed": _trimmed,
    "with_bars": _with_bars,
}
