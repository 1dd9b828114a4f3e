"""Cut an image into the square views that the backbone sees: the centre crop, then seeded random crops.

In: an opened image and its key. Out: uint8 pixels `(views, 3, crop_px, crop_px)`.
Normalisation is left to the network, so that what travels to the device is bytes.
"""

import hashlib
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from stages.core.images.colour import Conversion, conversion_of
from stages.core.images.decoding.pool import Decoders
from stages.core.images.files import ImageFolder, UnusableImage, load_pixels
from stages.core.images.rgb import is_plain_rgb, to_rgb
from stages.core.images.transform import Colour, Transform

# ImageNet's mean colour, so that padding is zero after normalisation.
PADDING_RGB = (124, 116, 104)
RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
# Raised when the code below changes any pixel: features cached under another number are not used.
TRANSFORM_VERSION = 2
CENTRE_VIEW = 0


class ViewsOfFile(NamedTuple):
    """Views to cut from one file.

    Attributes
    ----------
    image
        Path relative to the image root.
    key
        SHA-256 of the file's bytes, hexadecimal. A file with other bytes is refused.
    transform
        Sizes, number of views, seed and decoder.
    views
        Numbers of the views to cut; None cuts as many as the transform has, from 0 on.
    """

    image: str
    key: str
    transform: Transform
    views: tuple[int, ...] | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the pixels."""
        count = self.transform.views if self.views is None else len(self.views)
        return count, 3, self.transform.crop_px, self.transform.crop_px


def load_views_apart(
    decoders: Decoders, images: ImageFolder, wanted: Sequence[ViewsOfFile]
) -> list[np.ndarray | UnusableImage]:
    """Read image files and cut their views in a decoding process.

    Returns
    -------
    list
        Per file its pixels, `(views, 3, crop_px, crop_px)`, uint8, RGB, or why it cannot be used (any more).
    """
    answers = decoders.decode(_encode_views, images, wanted)
    return [
        answer if isinstance(answer, UnusableImage) else np.frombuffer(answer, np.uint8).reshape(file.shape)
        for file, answer in zip(wanted, answers, strict=True)
    ]


def _encode_views(images: ImageFolder, file: ViewsOfFile) -> bytes:
    return load_views(images, file.image, file.key, file.transform, views=file.views).tobytes()


def load_views(
    images: ImageFolder, image: str, key: str, transform: Transform, *, views: Sequence[int] | None = None
) -> np.ndarray:
    """Read one image file and cut its views.

    Parameters
    ----------
    images, image
        The image root and the file's path relative to it.
    key
        SHA-256 of the file's bytes, hexadecimal. A file with other bytes is refused.
    transform
        Sizes, number of views, seed and decoder.
    views
        Numbers of the views to cut; None cuts as many as the transform has, from 0 on.

    Returns
    -------
    ndarray
        Pixels, shape `(views, 3, crop_px, crop_px)`, uint8, RGB.

    Raises
    ------
    UnusableImage
        With the reason, if the file cannot be used (any more).
    """
    return cut_views(images.open(image, sha256=key), key, transform, views=views)


def cut_views(image: Image.Image, key: str, transform: Transform, *, views: Sequence[int] | None = None) -> np.ndarray:
    """Decode an opened image and cut its views; see `load_views`."""
    if transform.decoder == "fast":
        _decode_at_reduced_scale(image, transform.resize_px)
    image, convert = _in_rgb(load_pixels(image), transform.colour)
    views = range(transform.views) if views is None else views
    return np.stack([cut_view(image, key, view, transform, convert=convert) for view in views])


def _in_rgb(image: Image.Image, colour: Colour) -> tuple[Image.Image, Conversion | None]:
    """A decoded image upright and in RGB, and what converts its colours once they are fewer, if that is not done yet.

    A scan has a hundred times the pixels of its crop. Of RGB alone the crop can be cut first: other pixels change their
    number of channels with the conversion, or are laid over white after it.
    """
    convert = conversion_of(image) if colour == "srgb" and is_plain_rgb(image) else None
    return to_rgb(image, "as_stored" if convert else colour), convert


def _decode_at_reduced_scale(image: Image.Image, resize_px: int) -> None:
    """Let libjpeg decode at 1/2, 1/4 or 1/8 where the shorter side still covers `resize_px`."""
    ratio = min(image.size) / resize_px
    if ratio >= 2:
        width, height = image.size
        image.draft(image.mode, (math.ceil(width / ratio), math.ceil(height / ratio)))


def cut_view(
    image: Image.Image, key: str, view: int, transform: Transform, *, convert: Conversion | None = None
) -> np.ndarray:
    """Resize so that the shorter side is `resize_px`, pad if needed, and crop: only the crop's pixels are computed.

    With `convert` they are converted to sRGB by it.

    Returns
    -------
    ndarray
        Shape `(3, crop_px, crop_px)`, uint8.

    Examples
    --------
    The centre view of a wide picture is its middle:

    >>> picture = Image.new("RGB", (96, 32), "white")
    >>> picture.paste("black", (32, 0, 64, 32))
    >>> int(cut_view(picture, "", CENTRE_VIEW, Transform(resize_px=32, crop_px=32)).max())
    0
    """
    crop_px = transform.crop_px
    resized_width, resized_height = _resized(image.size, transform.resize_px)
    left_share, top_share = (None, None) if view == CENTRE_VIEW else _random_position(key, view, transform.random_state)
    left, width, pad_left = _span(resized_width, crop_px, left_share)
    top, height, pad_top = _span(resized_height, crop_px, top_share)
    across, down = image.width / resized_width, image.height / resized_height
    box = _clamped((left * across, top * down, (left + width) * across, (top + height) * down), image.size)
    crop = image.resize((width, height), RESAMPLING[transform.interpolation], box=box)
    if convert is not None:
        crop = convert(crop)
    if (width, height) != (crop_px, crop_px):
        padded = Image.new("RGB", (crop_px, crop_px), PADDING_RGB)
        padded.paste(crop, (pad_left, pad_top))
        crop = padded
    return np.asarray(crop).transpose(2, 0, 1)


def _random_position(key: str, view: int, random_state: int) -> tuple[float, float]:
    """Two shares in [0, 1) that depend on nothing but the image's bytes, the view and the seed."""
    digest = hashlib.sha256(f"{key} {view} {random_state}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48, int.from_bytes(digest[6:12], "big") / 2**48


def _resized(size: tuple[int, int], resize_px: int) -> tuple[int, int]:
    """Width and height after resizing, rounded as torchvision's `Resize` does it.

    A pixel's difference in where the crop begins is a cosine of 0.982 in EfficientNet-Lite0's features (mean of
    4,100 small paintings): more than bfloat16 costs.
    """
    width, height = size
    if width <= height:
        return resize_px, resize_px * height // width
    return resize_px * width // height, resize_px


def _span(available_px: int, crop_px: int, share: float | None) -> tuple[int, int, int]:
    """Place a crop along one side: where it starts, how much image it covers, how much padding precedes it.

    Without a share it lies in the middle, rounded as torchvision's `CenterCrop` does it.
    """
    if share is None and available_px > crop_px:
        return round((available_px - crop_px) / 2), crop_px, 0
    share = 0.5 if share is None else share
    if available_px <= crop_px:
        return 0, available_px, int(share * (crop_px - available_px))
    return int(share * (available_px - crop_px + 1)), crop_px, 0


def _clamped(box: tuple[float, float, float, float], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Undo the rounding of the resized size, which can reach a fraction of a pixel past the edge."""
    left, top, right, bottom = box
    return left, top, min(right, size[0]), min(bottom, size[1])
