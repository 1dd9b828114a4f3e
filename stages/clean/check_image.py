"""Decode one file in full and describe it, or give the reason why it cannot be used.

In: a path under the image root. Out: a `CheckedImage`. That a decoder may crash or hang is left to `decoder`.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

from stages.clean.hashes import ENOUGH_PX, describe_picture
from stages.clean.settings import CleanSettings
from stages.core.images.colour import conversion_of
from stages.core.images.files import ImageFolder, ImageLimits, UnusableImage, digest, load_pixels, open_image
from stages.core.images.large_file import Encoded
from stages.core.images.metadata import lies_on_its_side
from stages.core.images.rgb import to_rgb
from stages.core.images.tiff import page_of

DECODED_PX = 4 * ENOUGH_PX


@dataclass(frozen=True)
class CheckedImage:
    """What was found in one file.

    Attributes
    ----------
    sha256
        Of the file's bytes, hexadecimal.
    width, height
        In pixels, as a person sees it (upright).
    mode
        Pillow's name of the pixel format.
    hashes
        Perceptual hashes of `hashes.describe_picture`, hexadecimal.
    colours
        Of a picture with few shapes, likewise.
    reason, detail
        Why the image cannot be used; empty when it can.
    page
        Which page of a TIFF it is, `2 of 5`; empty if there is one.
    """

    sha256: str = ""
    width: int = 0
    height: int = 0
    mode: str = ""
    hashes: str = ""
    colours: str = ""
    reason: str = ""
    detail: str = ""
    page: str = ""

    def to_json(self) -> str:
        """One line of ASCII."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> "CheckedImage":
        """Read what `to_json` wrote."""
        return cls(**json.loads(line))


def check_image(root: Path, name: str, settings: CleanSettings) -> CheckedImage:
    """Decode one file in full and describe it, or give the reason why it cannot be used."""
    return check_in_folder(ImageFolder(root, ImageLimits(max_pixels=settings.max_pixels)), name, settings)


def check_in_folder(images: ImageFolder, name: str, settings: CleanSettings) -> CheckedImage:
    """Do what `check_image` does, within the limits of an image folder."""
    try:
        encoded = images.read(name)
        image = open_image(encoded, images.limits)
        width, height = image.size
        if min(image.size) < settings.min_side_px:
            raise UnusableImage("too_small", f"{width} x {height} pixels, shorter than {settings.min_side_px}")
        mode, page = image.mode, page_of(image)
        # All of a JPEG's data is read and checked, but only what is hashed is transformed: one of its three planes, at
        # the smallest scale that leaves enough to average. Colours to convert need all three.
        image.draft("L" if conversion_of(image) is None else "RGB", (DECODED_PX, DECODED_PX))
        load_pixels(image)
        if lies_on_its_side(image):
            width, height = height, width
        hashes, colours = _describe(image, lambda: _in_colour(image, encoded, images.limits))
        sha256 = digest(encoded)
    except UnusableImage as problem:
        return CheckedImage(reason=problem.reason, detail=problem.detail)
    return CheckedImage(
        sha256=sha256,
        width=width,
        height=height,
        mode=mode,
        page=page,
        hashes=hashes.hex(),
        colours=colours.hex(),
    )


def _describe(image: Image.Image, in_colour: Callable[[], Image.Image]) -> tuple[bytes, bytes]:
    try:
        return describe_picture(image, in_colour)
    except UnusableImage:
        raise
    except Exception as error:  # a mode that cannot be converted: later stages could not use it either
        raise UnusableImage("decode_error", f"{type(error).__name__}: {error}") from None


def _in_colour(image: Image.Image, encoded: Encoded, limits: ImageLimits) -> Image.Image:
    """The upright picture in RGB; of a JPEG only the grey was decoded."""
    if image.format not in ("JPEG", "MPO"):
        return to_rgb(image)
    again = open_image(encoded, limits)
    again.draft("RGB", (ENOUGH_PX, ENOUGH_PX))
    return to_rgb(load_pixels(again))
