"""Cut an image into the square views that the backbone sees: the centre crop, then seeded random crops.

In: an opened image and its key. Out: uint8 pixels `(views, 3, crop_px, crop_px)`.
Normalisation is left to the network, so that what travels to the device is bytes.
"""

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from stages.core.extraction.settings import FeatureSettings
from stages.core.images.files import UnusableImage, load_pixels, open_image, read_image_bytes, to_rgb

# ImageNet's mean colour, so that padding is zero after normalisation.
PADDING_RGB = (124, 116, 104)
RESAMPLING = {
    "auto": Image.Resampling.BILINEAR,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
# Raised when the code below changes any pixel: the feature cache then starts anew.
TRANSFORM_VERSION = 2


def load_views(
    root: Path,
    image: str,
    key: str,
    *,
    settings: FeatureSettings,
    max_pixels: int,
    views: Sequence[int] | None = None,
) -> np.ndarray:
    """Read one image file and cut its views.

    Parameters
    ----------
    root, image
        The image root and the file's path relative to it.
    key
        SHA-256 of the file's bytes, hexadecimal. A file whose bytes are no longer those is refused.
    settings
        Sizes, number of views, seed and decoder.
    max_pixels
        Larger images are refused before they are decoded.
    views
        Numbers of the views to cut; None cuts as many as the settings say, from 0 on.

    Returns
    -------
    ndarray
        Pixels, shape `(views, 3, crop_px, crop_px)`, uint8, RGB.

    Raises
    ------
    UnusableImage
        With the reason, if the file cannot be used (any more).
    """
    encoded = read_image_bytes(root, image)
    if hashlib.sha256(encoded).hexdigest() != key:
        raise UnusableImage("changed", "its bytes are not those that `pipeline clean` saw: run it again")
    return views_of(encoded, key, settings=settings, max_pixels=max_pixels, views=views)


def views_of(
    encoded: bytes, key: str, *, settings: FeatureSettings, max_pixels: int, views: Sequence[int] | None = None
) -> np.ndarray:
    """Decode an image file's bytes and cut its views; see `load_views`."""
    image = open_image(encoded, max_pixels=max_pixels)
    if settings.decoder == "fast":
        _decode_at_reduced_scale(image, settings.resize_px)
    image = to_rgb(load_pixels(image))
    views = range(settings.views) if views is None else views
    return np.stack([cut_view(image, key, view, settings) for view in views])


def _decode_at_reduced_scale(image: Image.Image, resize_px: int) -> None:
    """Let libjpeg decode at 1/2, 1/4 or 1/8 where the shorter side still covers `resize_px`."""
    ratio = min(image.size) / resize_px
    if ratio >= 2:
        image.draft(image.mode, tuple(math.ceil(side / ratio) for side in image.size))


def cut_view(image: Image.Image, key: str, view: int, settings: FeatureSettings) -> np.ndarray:
    """Resize so that the shorter side is `resize_px`, pad if needed, and crop: only the crop's pixels are computed.

    Returns
    -------
    ndarray
        Shape `(3, crop_px, crop_px)`, uint8.
    """
    resized_width, resized_height = _resized(image.size, settings.resize_px)
    left_share, top_share = (None, None) if view == 0 else _random_position(key, view, settings.random_state)
    left, width, pad_left = _span(resized_width, settings.crop_px, left_share)
    top, height, pad_top = _span(resized_height, settings.crop_px, top_share)
    across, down = image.width / resized_width, image.height / resized_height
    box = _clamped((left * across, top * down, (left + width) * across, (top + height) * down), image.size)
    crop = image.resize((width, height), RESAMPLING[settings.interpolation], box=box)
    if (width, height) != (settings.crop_px, settings.crop_px):
        padded = Image.new("RGB", (settings.crop_px, settings.crop_px), PADDING_RGB)
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
