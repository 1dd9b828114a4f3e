"""Near duplicates: the same photograph as another site would publish it.

In: a sound image file. Out: a JPEG file that shows the same picture with other bytes and, mostly, other pixels.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from stages.core.images.files import to_rgb


def save_near_duplicate(rng: np.random.Generator, original: Path, copy: Path, how: str) -> None:
    """Save a changed copy in one of the ways of `NEAR_DUPLICATES`."""
    with Image.open(original) as image:
        changed, quality = NEAR_DUPLICATES[how](rng, to_rgb(image))
    changed.save(copy, "JPEG", quality=quality)


def _encoded_again(rng: np.random.Generator, image: Image.Image) -> tuple[Image.Image, int]:
    return image, int(rng.integers(50, 70))


def _resized(rng: np.random.Generator, image: Image.Image) -> tuple[Image.Image, int]:
    scale = rng.uniform(0.6, 0.85)
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS), 88


def _trimmed(rng: np.random.Generator, image: Image.Image) -> tuple[Image.Image, int]:
    """Lose up to one and a half per cent of width and height in all."""
    left, top, right, bottom = rng.uniform(0.002, 0.0075, 4) * (image.width, image.height, image.width, image.height)
    return image.crop((round(left), round(top), round(image.width - right), round(image.height - bottom))), 90


def _with_bars(rng: np.random.Generator, image: Image.Image) -> tuple[Image.Image, int]:
    """Thin black bars above and below."""
    bar = max(2, round(image.height * rng.uniform(0.006, 0.01)))
    sheet = Image.new("RGB", (image.width, image.height + 2 * bar))
    sheet.paste(image, (0, bar))
    return sheet, 90


NEAR_DUPLICATES = {
    "encoded_again": _encoded_again,
    "resized": _resized,
    "trimmed": _trimmed,
    "with_bars": _with_bars,
}
