"""Open image files that nobody has vouched for, and say in one word what is wrong with those that fail.

In: a path under an image root. Out: a decoded Pillow image, or an `UnusableImage` with a reason from a closed set.
What is done with the pixels is left to the stages.
"""

import io
import os
import unicodedata
import warnings
from pathlib import Path
from typing import Literal

from PIL import Image, ImageOps, UnidentifiedImageError

Reason = Literal[
    "missing",
    "empty",
    "not_an_image",
    "truncated",
    "decode_error",
    "too_large",
    "too_small",
    "outside_root",
    "unreadable",
    "changed",
    "decoder_crashed",
    "decoder_timeout",
]

# What files that are no images begin with, to name them.
SIGNATURES = {
    b"<!doctype html": "an HTML page",
    b"<html": "an HTML page",
    b"<?xml": "an XML file",
    b"<svg": "an SVG drawing",
    b"%pdf": "a PDF file",
    b"pk\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"{": "a JSON file",
}


class UnusableImage(Exception):
    """An image file that cannot be used.

    Attributes
    ----------
    reason
        One of `Reason`.
    detail
        What was found, for a person.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})"


def read_image_bytes(root: Path, image: str) -> bytes:
    """Read a file that lies under `root`, following no link out of it.

    Raises
    ------
    UnusableImage
        missing, empty, outside_root, or unreadable (a folder, no permission, a failing disk).
    """
    path = root / image
    try:
        if not path.exists():
            # Tables say NFC; some file systems keep names in decomposed form.
            path = root / unicodedata.normalize("NFD", image)
        target = Path(os.path.realpath(path))  # Path.resolve raises an error where links go in circles
        if not target.is_relative_to(root.resolve()):
            raise UnusableImage("outside_root", f"leads to {target}")
        encoded = path.read_bytes()
    except FileNotFoundError:
        raise UnusableImage("missing", "no such file") from None
    except OSError as error:
        raise UnusableImage("unreadable", error.strerror or str(error)) from None
    except ValueError as error:  # a name with a NUL
        raise UnusableImage("unreadable", str(error)) from None
    if not encoded:
        raise UnusableImage("empty", "0 bytes")
    return encoded


def open_image(encoded: bytes, *, max_pixels: int) -> Image.Image:
    """Read an image's header, and refuse what is no image or has too many pixels before any are decoded.

    Raises
    ------
    UnusableImage
        not_an_image, too_large or decode_error.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns from its own, lower limit on; ours is checked below, and its error limit stays in force.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(encoded))
    except UnidentifiedImageError:
        raise UnusableImage("not_an_image", _looks_like(encoded)) from None
    except Image.DecompressionBombError as error:
        raise UnusableImage("too_large", str(error)) from None
    except Exception as error:  # a decoder may raise anything at a hostile header
        raise UnusableImage("decode_error", f"{type(error).__name__}: {error}") from None
    width, height = image.size
    if width * height > max_pixels:
        raise UnusableImage("too_large", f"{width} x {height} pixels, more than {max_pixels}")
    return image


def load_pixels(image: Image.Image) -> Image.Image:
    """Decode the pixels in full.

    Raises
    ------
    UnusableImage
        truncated or decode_error.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.load()
    except Exception as error:  # a decoder may raise anything at hostile data
        reason = "truncated" if "truncated" in str(error).lower() else "decode_error"
        raise UnusableImage(reason, f"{type(error).__name__}: {error}") from None
    return image


def to_rgb(image: Image.Image) -> Image.Image:
    """Turn a decoded image of any mode upright (EXIF) and into RGB.

    Transparency is laid over white, 16-bit grey is scaled to 8 bits, CMYK is converted by Pillow (which undoes
    Adobe's inversion while decoding). Embedded colour profiles are left unapplied.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or image.mode == "I":
        # Pillow clips instead of scaling; 16-bit greys come as "I" from some formats and versions.
        return image.convert("I").point(lambda value: value / 256).convert("L").convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def _looks_like(encoded: bytes) -> str:
    start = encoded[:64].lstrip().lower()
    for signature, name in SIGNATURES.items():
        if start.startswith(signature):
            return f"looks like {name}"
    if encoded[:512].isascii():
        return "looks like a text file"
    return "no known image format"
