"""Open untrusted image files within limits, and name in one word what is wrong with those that fail.

In: a path relative to an image folder. Out: bytes or a Pillow image, or an `UnusableImage` with one of a fixed set of
reasons. What is done with the pixels is left to the stages.
"""

import hashlib
import io
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image, ImageOps, UnidentifiedImageError

from stages.core.tables.file_names import disk_names

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

# Pillow refuses larger images by itself.
PILLOW_MAX_PIXELS = 2 * 89_478_485
# First bytes of files that are not images, to name what they are.
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


@dataclass(frozen=True)
class ImageLimits:
    """What is refused before it is decoded.

    Attributes
    ----------
    max_pixels
        Largest width times height; at most Pillow's own limit.
    """

    max_pixels: int = PILLOW_MAX_PIXELS


@dataclass(frozen=True)
class ImageFolder:
    """The image root: the only way in which stages read image files.

    Attributes
    ----------
    root
        The folder that names of images are relative to.
    limits
        What is refused before it is decoded.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as root:
    ...     Image.new("RGB", (40, 30)).save(f"{root}/small.png")
    ...     ImageFolder(Path(root)).open("small.png").size
    (40, 30)
    >>> ImageFolder(Path(root)).read("gone.png")
    Traceback (most recent call last):
        ...
    stages.core.images.files.UnusableImage: missing (no such file)
    """

    root: Path
    limits: ImageLimits = ImageLimits()

    def read(self, image: str, *, sha256: str | None = None) -> bytes:
        """Read a file that lies under the root, following no link out of it.

        Parameters
        ----------
        image
            Path relative to the root, POSIX.
        sha256
            Digest that the bytes must have, hexadecimal; None takes any.

        Raises
        ------
        UnusableImage
            missing, empty, outside_root, changed, or unreadable (a folder, no permission, a failing disk).
        """
        encoded = _read_under(self.root, image)
        if not encoded:
            raise UnusableImage("empty", "0 bytes")
        if sha256 is not None and hashlib.sha256(encoded).hexdigest() != sha256:
            raise UnusableImage("changed", "its bytes have changed since `pipeline clean` read them: run it again")
        return encoded

    def open(self, image: str, *, sha256: str | None = None) -> Image.Image:
        """Read a file as `read` does and its header as `open_image` does; no pixel is decoded yet.

        Raises
        ------
        UnusableImage
            With any of the reasons of the two.
        """
        return open_image(self.read(image, sha256=sha256), self.limits)


def _read_under(root: Path, image: str) -> bytes:
    try:
        paths = [root / name for name in disk_names(image)]
        path = next((path for path in paths if path.exists()), paths[-1])
        target = Path(os.path.realpath(path))  # Path.resolve raises an error where links form a circle
        if not target.is_relative_to(root.resolve()):
            raise UnusableImage("outside_root", f"leads to {target}")
        return path.read_bytes()
    except FileNotFoundError:
        raise UnusableImage("missing", "no such file") from None
    except OSError as error:
        raise UnusableImage("unreadable", error.strerror or str(error)) from None
    except ValueError as error:  # a name with a NUL
        raise UnusableImage("unreadable", str(error)) from None


def open_image(encoded: bytes, limits: ImageLimits) -> Image.Image:
    """Read an image's header; refuse what is not an image or has too many pixels before any are decoded.

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
    if width * height > limits.max_pixels:
        raise UnusableImage("too_large", f"{width} x {height} pixels, more than {limits.max_pixels}")
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
        reason: Reason = "truncated" if "truncated" in str(error).lower() else "decode_error"
        raise UnusableImage(reason, f"{type(error).__name__}: {error}") from None
    return image


def to_rgb(image: Image.Image) -> Image.Image:
    """Turn a decoded image of any mode upright (EXIF) and into RGB.

    Transparency is laid over white, 16-bit grey is scaled to 8 bits, CMYK is converted by Pillow (which undoes
    Adobe's inversion while decoding). Embedded colour profiles are not applied.

    Examples
    --------
    >>> to_rgb(Image.new("RGBA", (1, 1), (0, 0, 0, 0))).getpixel((0, 0))
    (255, 255, 255)
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
