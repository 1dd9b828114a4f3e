"""The image formats that are decoded, recognised by content: this list and no other.

In: the first bytes of a file, or a file's ending. Out: the names that Pillow knows the formats by, and what a person
calls what a file is. Decoding is left to `files`.
"""

import importlib
import re
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image


@dataclass(frozen=True)
class ImageFormat:
    """A format that is decoded.

    Attributes
    ----------
    name
        What a person calls it.
    pillow
        Pillow's name of the decoder.
    suffixes
        File endings by which a folder's image files are listed, lower-case.
    starts
        What the file's first bytes match.
    package
        The optional package that decodes it; empty if Pillow does.
    """

    name: str
    pillow: str
    suffixes: tuple[str, ...]
    starts: bytes
    package: str = ""


TIFF_START = rb"II[*+]\0|MM\0[*+]"
HEIC_BRANDS = rb"(?s).{4}ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1)"
FORMATS = (
    ImageFormat("JPEG", "JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), rb"\xff\xd8\xff"),
    ImageFormat("PNG", "PNG", (".png", ".apng"), rb"\x89PNG\r\n\x1a\n"),
    ImageFormat("WebP", "WEBP", (".webp",), rb"(?s)RIFF.{4}WEBP"),
    ImageFormat("GIF", "GIF", (".gif",), rb"GIF8[79]a"),
    ImageFormat("TIFF", "TIFF", (".tif", ".tiff"), TIFF_START),
    ImageFormat("BMP", "BMP", (".bmp", ".dib"), rb"BM"),
    ImageFormat(
        "JPEG 2000", "JPEG2000", (".jp2", ".j2k", ".jpx", ".j2c", ".jpf"), rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n"
    ),
    ImageFormat("AVIF", "AVIF", (".avif",), rb"(?s).{4}ftypavi[fs]"),
    ImageFormat("Photoshop", "PSD", (".psd",), rb"8BPS"),
    ImageFormat("HEIC", "HEIF", (".heic", ".heif"), HEIC_BRANDS, package="pillow_heif"),
    ImageFormat("JPEG XL", "JXL", (".jxl",), rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", package="pillow_jxl"),
)
IMAGE_SUFFIXES = frozenset(suffix for image_format in FORMATS for suffix in image_format.suffixes)
EXTRAS = {"pillow_heif": "pillow-heif", "pillow_jxl": "pillow-jxl-plugin"}
# First bytes of files that are refused, lower-case, to name what they are.
REFUSED = {
    b"<!doctype html": "an HTML page",
    b"<html": "an HTML page",
    b"<?xml": "an XML file",
    b"<svg": "an SVG drawing",
    b"%pdf": "a PDF file",
    b"%!ps": "a PostScript file",
    b"\xc5\xd0\xd3\xc6": "a PostScript file",
    b"pk\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"{": "a JSON file",
    b"\x89hdf": "an HDF5 file",
    b"version https://git-lfs": "a pointer of Git LFS: run `git lfs pull`",
}
# Marker of a JPEG frame, its length, and the bits of a sample.
JPEG_FRAME = re.compile(rb"(?s)\xff[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf]..(.)")


def pillow_formats(encoded: bytes) -> list[str]:
    """Pillow's names of the formats to try on a file: those of the list that this installation decodes.

    The decoders of optional packages are loaded only where a file starts as theirs do.
    """
    return [
        image_format.pillow
        for image_format in FORMATS
        if not image_format.package
        or (re.match(image_format.starts, encoded[:64]) and _registers(image_format.package, image_format.pillow))
    ]


@lru_cache
def _registers(package: str, pillow_name: str) -> bool:
    """Load an optional package's decoder; whether it is there."""
    try:
        module = importlib.import_module(package)
    except ImportError:
        return False
    if package == "pillow_heif":
        module.register_heif_opener()
    return pillow_name in Image.OPEN


def describe_refused(encoded: bytes) -> str:
    """Say what a file is that no decoder of the list takes.

    Examples
    --------
    >>> describe_refused(b"%!PS-Adobe-3.0 EPSF-3.0")
    'looks like a PostScript file'
    >>> describe_refused(b"GIF89a")
    'starts as GIF does and cannot be decoded'
    """
    start = encoded[:64].lstrip().lower()
    for signature, name in REFUSED.items():
        if start.startswith(signature):
            return f"looks like {name}"
    for image_format in FORMATS:
        if re.match(image_format.starts, encoded[:64]):
            return _describe_undecoded(image_format, encoded)
    if encoded[:512].isascii():
        return "looks like a text file"
    names = ", ".join(image_format.name for image_format in FORMATS)
    return f"no known image format (known: {names})"


def _describe_undecoded(image_format: ImageFormat, encoded: bytes) -> str:
    if image_format.package and not _registers(image_format.package, image_format.pillow):
        return f"is {image_format.name}, which needs a package: `uv pip install {EXTRAS[image_format.package]}`"
    frame = JPEG_FRAME.search(encoded) if image_format.pillow == "JPEG" else None
    if frame and frame[1][0] != 8:
        return f"is a JPEG of {frame[1][0]} bits a sample: only 8 are decoded"
    return f"starts as {image_format.name} does and cannot be decoded"
