"""Write pictures to files, in the encodings that real collections mix, or once more as another site would publish them.

In: an RGB image, or a sound image file. Out: a JPEG or PNG file: colour, grey, CMYK, palette, with transparency, stored
on its side; or a near duplicate, which shows the same picture with other bytes and, mostly, other pixels.
"""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stages.core.images.rgb import to_rgb

# Encoding: suffix of its files, share of the collection.
ENCODINGS = {
    "jpeg": (".jpg", 0.84),
    "png": (".png", 0.05),
    "grey_jpeg": (".jpg", 0.025),
    "cmyk_jpeg": (".jpg", 0.02),
    "palette_png": (".png", 0.02),
    "alpha_png": (".png", 0.02),
    "sideways_jpeg": (".jpg", 0.025),
}
EXIF_ORIENTATION, ROTATE_CLOCKWISE_TO_VIEW = 0x0112, 6
FAST_PNG = 2


def save_encoded(rng: np.random.Generator, image: Image.Image, path: Path, encoding: str) -> None:
    """Save an RGB image in one of `ENCODINGS`."""
    options: dict[str, Any] = {"quality": int(rng.integers(84, 94)), "compress_level": FAST_PNG}
    match encoding:
        case "grey_jpeg":
            image = image.convert("L")
        case "cmyk_jpeg":
            image = image.convert("CMYK")
        case "palette_png":
            image = image.quantize(96, method=Image.Quantize.FASTOCTREE)
        case "alpha_png":  # transparent towards the edges, as a cut-out on a web page
            x, y = (np.minimum(np.arange(n), np.arange(n)[::-1]) for n in image.size)
            alpha = np.clip(np.minimum(x, y[:, None]) * 20, 0, 255).astype(np.uint8)
            image.putalpha(Image.fromarray(alpha))
        case "sideways_jpeg":
            options["exif"] = Image.Exif()
            options["exif"][EXIF_ORIENTATION] = ROTATE_CLOCKWISE_TO_VIEW
            image = image.transpose(Image.Transpose.ROTATE_90)
    image.save(path, **options)


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
