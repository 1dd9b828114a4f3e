"""Convert the pixels of an image to sRGB by the colour profile that its file embeds.

In: a decoded image with the profile that `metadata.keep_profile` left in its `info`. Out: pixels in sRGB; unchanged
where the profile is absent, broken, sRGB's own, or of another kind of pixels. Orientation and modes are left to `rgb`.
"""

import io
from collections.abc import Callable
from functools import lru_cache, partial
from itertools import product

import numpy as np
from PIL import Image, ImageCms

Conversion = Callable[[Image.Image], Image.Image]

# Beyond this a profile is as absent. Those of printing presses, the largest in use, have about 2 MiB.
LARGEST_PROFILE_BYTES = 4 * 1024 * 1024
# Transforms kept in a process, each with its profile. A collection comes from few scanners and programs.
KEPT_TRANSFORMS = 16
HEADER_BYTES = 128
# Classes of profiles that describe an image's colours: of scanners, screens, printers, and colour spaces as such.
CLASSES = (b"scnr", b"mntr", b"prtr", b"spac")
GREY, RGB, CMYK = b"GRAY", b"RGB ", b"CMYK"
PILLOW_MODES = {GREY: "L", RGB: "RGB", CMYK: "CMYK"}
# A profile that moves no colour by more is sRGB: programs write its curve and primaries with different roundings.
SAME_LEVELS = 1
# A profile whose white is not lighter than its black by this many levels is broken.
LEAST_CONTRAST = 64
STEPS = range(0, 256, 15)


def in_srgb(image: Image.Image) -> Image.Image:
    """Convert an image to sRGB by its embedded profile, or give the same image if there is nothing to convert.

    Examples
    --------
    >>> image = Image.new("RGB", (1, 1), (200, 30, 30))
    >>> image.info["icc_profile"] = b"broken"
    >>> in_srgb(image) is image
    True
    """
    convert = conversion_of(image)
    return image if convert is None else convert(image)


def conversion_of(image: Image.Image) -> Conversion | None:
    """Find what turns an image's colours into sRGB.

    The intent is perceptual. A profile of another kind of pixels (RGB in a grey picture) is as absent.

    Returns
    -------
    callable or None
        It takes pixels of the image, converted to RGBA or not, and gives RGB, or RGBA for RGBA. None: the pixels are
        in sRGB as they are.
    """
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not HEADER_BYTES < len(profile) <= LARGEST_PROFILE_BYTES:
        return None
    if profile[12:16] not in CLASSES or profile[16:20] != _colour_space(image.mode):
        return None
    return _build(profile)


def _colour_space(mode: str) -> bytes | None:
    """The ICC's name of the colours of an image; Lab needs no profile."""
    if mode in ("1", "L", "LA", "La", "I", "F") or mode.startswith("I;16"):
        return GREY
    return CMYK if mode == "CMYK" else None if mode == "LAB" else RGB


@lru_cache(KEPT_TRANSFORMS)
def _build(profile: bytes) -> Conversion | None:
    try:
        return _conversion_by(profile, profile[16:20])
    except Exception:  # whatever Little CMS finds wrong in a profile: it is as absent
        return None


def _conversion_by(profile: bytes, space: bytes) -> Conversion | None:
    """Build a profile's transform; None if it changes nothing, or if what it does cannot be meant."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    mode = PILLOW_MODES[space]
    transform = ImageCms.ImageCmsTransform(source, srgb, mode, "RGB", ImageCms.Intent.PERCEPTUAL)
    probe = _probe(space)
    found = np.asarray(transform.apply(probe)).astype(int)[0]
    darkest, lightest = found[0], found[-1]
    if (lightest - darkest).mean() < LEAST_CONTRAST:
        return None
    if space != CMYK and np.abs(found - np.asarray(probe.convert("RGB"))[0]).max() <= SAME_LEVELS:
        return None
    return partial(_by_table, found[:, 1].tolist()) if space == GREY else partial(_by_transform, transform)


def _probe(space: bytes) -> Image.Image:
    """Colours to try a transform on, in one row from the darkest to the lightest: all greys, or a grid."""
    if space == GREY:
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    if space == CMYK:
        return Image.frombytes("CMYK", (2, 1), bytes([255] * 4 + [0] * 4))
    return Image.fromarray(np.array([list(product(STEPS, repeat=3))], np.uint8))


def _by_table(table: list[int], pixels: Image.Image) -> Image.Image:
    """Convert grey by what each level becomes: the result is grey again, which three rounded channels need not be."""
    if pixels.mode == "RGBA":
        return pixels.point(table * 3 + list(range(256)))
    return pixels.convert("L").point(table).convert("RGB")


def _by_transform(transform: ImageCms.ImageCmsTransform, pixels: Image.Image) -> Image.Image:
    if pixels.mode == "RGBA":
        rgb = _by_transform(transform, pixels.convert("RGB"))
        rgb.putalpha(pixels.getchannel("A"))
        return rgb
    if transform.input_mode == "CMYK":
        return transform.apply(pixels)
    return transform.apply_in_place(pixels.convert("RGB"))
