"""Turn a decoded image of any mode upright and into RGB of 8 bits.

In: a Pillow image whose pixels are decoded. Out: an RGB image. Colour profiles are left to `colour`.
"""

import numpy as np
from PIL import Image

from stages.core.images.colour import Conversion, conversion_of
from stages.core.images.metadata import orientation_of, turn
from stages.core.images.transform import Colour

# TIFF's tags of the smallest and the largest value of a sample, and of its format.
SMALLEST_VALUE, LARGEST_VALUE, SAMPLE_FORMAT = 340, 341, 339
UNSIGNED = 1
# What white is in pictures of 32-bit numbers: of 0 to 1, of 8 bits and of 16 bits.
WHITES = (1.0, 255.0, 65535.0)
# Values above white by less than this factor are highlights; beyond it the picture has another white.
HIGHLIGHTS = 2.0


def to_rgb(image: Image.Image, colour: Colour = "srgb") -> Image.Image:
    """Turn a decoded image of any mode upright (EXIF) and into RGB.

    Transparency is laid over white, 16-bit grey is scaled to 8 bits, 32-bit grey as `scale_grey` says. CMYK without a
    profile is converted by Pillow (which undoes Adobe's inversion while decoding).

    Parameters
    ----------
    image
        Its `info` holds the embedded profile.
    colour
        srgb: colours are converted from the embedded profile to sRGB, before transparency is laid over white.
        as_stored: profiles are ignored.

    Examples
    --------
    >>> to_rgb(Image.new("RGBA", (1, 1), (0, 0, 0, 0))).getpixel((0, 0))
    (255, 255, 255)
    """
    rgb = _flatten(image, conversion_of(image) if colour == "srgb" else None)
    if colour == "srgb":
        rgb.info.pop("icc_profile", None)  # it describes other pixels, and Pillow would save it with these
    return rgb


def _flatten(image: Image.Image, convert: Conversion | None) -> Image.Image:
    if image.mode in ("I", "F"):
        return _convert(turn(scale_grey(image), orientation_of(image)), convert)
    image = turn(image, orientation_of(image))
    if image.mode.startswith("I;16"):
        # Pillow clips instead of scaling.
        return _convert(image.convert("I").point(lambda value: value / 256).convert("L"), convert)
    if _has_transparency(image):
        rgba = image.convert("RGBA")
        rgba = rgba if convert is None else convert(rgba)
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return _convert(image, convert)


def is_plain_rgb(image: Image.Image) -> bool:
    """Whether a decoded image has no other channels than red, green and blue."""
    return image.mode == "RGB" and not _has_transparency(image)


def _has_transparency(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def _convert(image: Image.Image, convert: Conversion | None) -> Image.Image:
    return image.convert("RGB") if convert is None else convert(image)


def scale_grey(image: Image.Image) -> Image.Image:
    """Scale grey levels of 32 bits, whole numbers or floats, to 8 bits.

    Black and white are the range that a TIFF declares (SMinSampleValue, SMaxSampleValue). Without it black is 0 and
    white the smallest of 1 (floats alone), 255, 65535 and all 32 bits that the values fit in. Floats with negative
    values, or of another range, run from their smallest value to their largest. No number is black.

    Examples
    --------
    >>> np.asarray(scale_grey(Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32)))).tolist()
    [[0, 127, 255]]
    """
    values = np.asarray(image)
    if image.mode == "I" and is_unsigned(image):
        values = values.view(np.uint32)
    finite = values[np.isfinite(values)]
    lowest, highest = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    black, white = declared_range(image) or likely_range(lowest, highest, values.dtype)
    # 16 bits become 8 by dropping the lower eight, as everywhere else.
    levels = (values.astype(np.float64) - black) * ((256 if white == 65535 else 255) / (white - black))
    levels = np.nan_to_num(levels, nan=0.0, posinf=255.0, neginf=0.0)
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))


def is_unsigned(image: Image.Image) -> bool:
    tags = getattr(image, "tag_v2", {})
    return bool(tags) and tags.get(SAMPLE_FORMAT, (UNSIGNED,))[0] == UNSIGNED


def declared_range(image: Image.Image) -> tuple[float, float] | None:
    tags = getattr(image, "tag_v2", {})
    try:
        smallest, largest = (float(np.ravel(tags[tag])[0]) for tag in (SMALLEST_VALUE, LARGEST_VALUE))
    except Exception:  # not declared, or a damaged tag, at which Pillow raises anything
        return None
    return (smallest, largest) if np.isfinite([smallest, largest]).all() and largest > smallest else None


def likely_range(lowest: float, highest: float, dtype: np.dtype) -> tuple[float, float]:
    """Black and white of a picture whose file declares neither."""
    if dtype.kind in "iu":
        all_bits = float(np.iinfo(dtype).max)
        whites = (*WHITES[1:], all_bits)
        return min(lowest, 0.0), next(white for white in whites if highest <= white)
    if lowest < 0 or highest > HIGHLIGHTS * WHITES[-1]:
        return lowest, max(highest, lowest + 1e-9)
    return 0.0, next(white for white in WHITES if highest <= HIGHLIGHTS * white)
