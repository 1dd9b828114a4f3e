"""Write a picture to a file in one of the encodings that real collections mix.

In: an RGB image. Out: a JPEG or PNG file: colour, grey, CMYK, palette, with transparency, or stored on its side.
"""

from pathlib import Path

import numpy as np
from PIL import Image

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
    if ENCODINGS[encoding][0] == ".png":
        _as_png_mode(image, encoding).save(path, "PNG", compress_level=FAST_PNG)
        return
    options: dict[str, object] = {"quality": int(rng.integers(84, 94))}
    if encoding == "grey_jpeg":
        image = image.convert("L")
    elif encoding == "cmyk_jpeg":
        image = image.convert("CMYK")
    elif encoding == "sideways_jpeg":
        exif = Image.Exif()
        exif[EXIF_ORIENTATION] = ROTATE_CLOCKWISE_TO_VIEW
        image, options["exif"] = image.transpose(Image.Transpose.ROTATE_90), exif
    image.save(path, "JPEG", **options)


def _as_png_mode(image: Image.Image, encoding: str) -> Image.Image:
    if encoding == "palette_png":
        return image.quantize(96, method=Image.Quantize.FASTOCTREE)
    if encoding == "alpha_png":
        return _with_soft_edges(image)
    return image


def _with_soft_edges(image: Image.Image) -> Image.Image:
    """Transparent towards the edges, as a cut-out on a web page."""
    x, y = (np.minimum(np.arange(n), np.arange(n)[::-1]) for n in image.size)
    alpha = np.clip(np.minimum(x[None, :], y[:, None]) * 20, 0, 255).astype(np.uint8)
    image = image.convert("RGBA")
    image.putalpha(Image.fromarray(alpha))
    return image
