"""Good images in every format, the ways in which their bytes are damaged, and whether what was decoded is the picture.

In: a number. Out: the bytes of a damaged file, the same for the same number. What a command makes of them is left to
`test_mutated_images`.
"""

import importlib
import io
import random
import struct
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

from stages.core.images.files import ImageLimits, load_pixels, open_image
from stages.core.images.formats import pillow_formats
from stages.core.images.rgb import to_rgb

SIZE_PX = (176, 144)
# Levels of 255, mean over the picture: no person sees a difference of this size.
SAME_WITHIN = 3.0


@dataclass(frozen=True)
class Sample:
    """A good image: how Pillow writes it, or a function that does."""

    suffix: str
    write: Callable[[Image.Image], bytes]
    package: str = ""


@dataclass(frozen=True)
class Mutant:
    """A damaged image: its format, the kind of damage and its bytes."""

    sample: str
    kind: str
    encoded: bytes


def painted(seed: int) -> Image.Image:
    """A picture with large shapes and fine grain, so that every format stores it in many bytes."""
    chance = np.random.default_rng(seed)
    coarse = Image.fromarray(chance.integers(0, 256, (6, 7, 3), dtype=np.uint8)).resize(
        SIZE_PX, Image.Resampling.BICUBIC
    )
    grain = np.repeat(np.repeat(chance.normal(0, 14, (SIZE_PX[1] // 2, SIZE_PX[0] // 2, 1)), 2, 0), 2, 1)
    return Image.fromarray(np.clip(np.asarray(coarse) + grain, 0, 255).astype(np.uint8))


def saved(pillow: str, mode: str = "RGB", **options: object) -> Callable[[Image.Image], bytes]:
    """How Pillow writes a picture in a format."""

    def write(image: Image.Image) -> bytes:
        buffer = io.BytesIO()
        (image.quantize(64) if mode == "P" else image.convert(mode)).save(buffer, pillow, **options)
        return buffer.getvalue()

    return write


def photoshop(image: Image.Image, *, packed: bool) -> bytes:
    """A Photoshop file without layers; a row that is packed is one run of literal bytes after another."""
    planes = np.asarray(image).transpose(2, 0, 1)
    header = b"8BPS" + struct.pack(">H6xHLLHH", 1, 3, image.height, image.width, 8, 3) + bytes(12)
    if not packed:
        return header + b"\0\0" + planes.tobytes()
    rows = [_pack(row.tobytes()) for plane in planes for row in plane]
    return header + b"\0\1" + b"".join(struct.pack(">H", len(row)) for row in rows) + b"".join(rows)


def _pack(row: bytes) -> bytes:
    """PackBits with runs of equal bytes, and of literal ones up to 128."""
    packed, start = bytearray(), 0
    while start < len(row):
        end = start + 1
        while end < len(row) and end - start < 128 and row[end] == row[start]:
            end += 1
        if end - start > 1:
            packed += bytes([257 - (end - start), row[start]])
        else:
            while end < len(row) and end - start < 128 and row[end : end + 1] != row[end + 1 : end + 2]:
                end += 1
            packed += bytes([end - start - 1]) + row[start:end]
        start = end
    return bytes(packed)


SAMPLES: Mapping[str, Sample] = {
    "JPEG": Sample(".jpg", saved("JPEG", quality=88)),
    "JPEG, restarts": Sample(".jpg", saved("JPEG", quality=88, subsampling=0, restart_marker_rows=1)),
    "JPEG, progressive": Sample(".jpg", saved("JPEG", quality=88, progressive=True)),
    "JPEG, grey": Sample(".jpg", saved("JPEG", "L", quality=88)),
    "PNG": Sample(".png", saved("PNG")),
    "PNG, palette": Sample(".png", saved("PNG", "P")),
    "WebP": Sample(".webp", saved("WEBP", quality=85)),
    "WebP, lossless": Sample(".webp", saved("WEBP", lossless=True)),
    "GIF": Sample(".gif", saved("GIF", "P")),
    "TIFF": Sample(".tif", saved("TIFF")),
    "TIFF, LZW": Sample(".tif", saved("TIFF", compression="tiff_lzw")),
    "TIFF, deflate": Sample(".tif", saved("TIFF", compression="tiff_adobe_deflate")),
    "TIFF, PackBits": Sample(".tif", saved("TIFF", compression="packbits")),
    "TIFF, JPEG": Sample(".tif", saved("TIFF", compression="jpeg", quality=88)),
    "BMP": Sample(".bmp", saved("BMP")),
    "BMP, palette": Sample(".bmp", saved("BMP", "P")),
    "JPEG 2000": Sample(".jp2", saved("JPEG2000", quality_mode="dB", quality_layers=[40])),
    "JPEG 2000, lossless": Sample(".j2k", saved("JPEG2000", no_jp2=True)),
    "AVIF": Sample(".avif", saved("AVIF", quality=80)),
    "Photoshop": Sample(".psd", lambda image: photoshop(image, packed=False)),
    "Photoshop, PackBits": Sample(".psd", lambda image: photoshop(image, packed=True)),
    "HEIC": Sample(".heic", saved("HEIF", quality=80), "pillow_heif"),
    "JPEG XL": Sample(".jxl", saved("JXL", quality=85), "pillow_jxl"),
}


@lru_cache
def good_images() -> dict[str, bytes]:
    """The good file of every format whose encoder is installed, each of another picture."""
    found = {}
    for seed, (name, sample) in enumerate(SAMPLES.items()):
        if not sample.package or _registered(sample.package):
            found[name] = sample.write(painted(seed))
    return found


def _registered(package: str) -> bool:
    try:
        module = importlib.import_module(package)
    except ImportError:
        return False
    if package == "pillow_heif":
        module.register_heif_opener()
    return True


def flip_bits(content: bytearray, chance: random.Random, other: bytes) -> None:
    """Flip one to four bits."""
    for _ in range(chance.randint(1, 4)):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def change_header(content: bytearray, chance: random.Random, other: bytes) -> None:
    """Give one or two of the first 64 bytes, where sizes stand, another value."""
    for _ in range(chance.randint(1, 2)):
        content[chance.randrange(min(64, len(content)))] = chance.randrange(256)


def zero_run(content: bytearray, chance: random.Random, other: bytes) -> None:
    """Fill a run with zeros, as a disk gives a sector that it lost."""
    start, end = _run(content, chance)
    content[start:end] = bytes(end - start)


def randomise_run(content: bytearray, chance: random.Random, other: bytes) -> None:
    """Fill a run with random bytes."""
    start, end = _run(content, chance)
    content[start:end] = chance.randbytes(end - start)


def cut(content: bytearray, chance: random.Random, other: bytes) -> None:
    """End the file early, as an interrupted download does."""
    del content[chance.randrange(1, len(content)) :]


def remove_block(content: bytearray, chance: random.Random, other: bytes) -> None:
    """Leave a run out."""
    start, end = _run(content, chance)
    del content[start:end]


def repeat_block(content: bytearray, chance: random.Random, other: bytes) -> None:
    """Write a run twice."""
    start, end = _run(content, chance)
    content[end:end] = content[start:end]


def splice(content: bytearray, chance: random.Random, other: bytes) -> None:
    """Continue as another file does from the same place on."""
    place = chance.randrange(1, len(content))
    content[place:] = other[place:]


def append_file(content: bytearray, chance: random.Random, other: bytes) -> None:
    """Write another file behind the whole one."""
    content += other


def _run(content: bytearray, chance: random.Random) -> tuple[int, int]:
    length = min(chance.choice([1, 4, 16, 128, 512, 4096]), len(content) // 2)
    start = chance.randrange(len(content) - length)
    return start, start + length


KINDS: Mapping[str, Callable[[bytearray, random.Random, bytes], None]] = {
    "flipped bits": flip_bits,
    "header": change_header,
    "zeros": zero_run,
    "random bytes": randomise_run,
    "cut": cut,
    "removed block": remove_block,
    "repeated block": repeat_block,
    "spliced": splice,
    "appended file": append_file,
}


def mutant(number: int) -> Mutant:
    """The damaged file of a number: formats first, then kinds of damage, so that every run of numbers holds all."""
    good = good_images()
    names, kinds = list(good), list(KINDS)
    name, kind = names[number % len(names)], kinds[number // len(names) % len(kinds)]
    chance = random.Random(number)
    content = bytearray(good[name])
    while content == good[name]:  # zeros over zeros
        KINDS[kind](content, chance, good[names[chance.randrange(len(names))]])
    return Mutant(name, kind, bytes(content))


def decoded(encoded: bytes) -> np.ndarray:
    """The upright picture in RGB.

    Raises
    ------
    UnusableImage
        If it cannot be used.
    """
    return np.asarray(to_rgb(load_pixels(open_image(encoded, ImageLimits()))))


def decoded_by_pillow(encoded: bytes) -> np.ndarray | None:
    """What Pillow makes of a file without this project's checks; None if it refuses it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(encoded), formats=pillow_formats(encoded))
            image.load()
            return np.asarray(to_rgb(image))
    except Exception:  # it may raise anything at damaged data
        return None


@lru_cache
def original(name: str) -> np.ndarray:
    """The picture of a format's good file."""
    return decoded(good_images()[name])


def difference(shown: np.ndarray, original: np.ndarray) -> float:
    """Mean absolute difference of levels; 255 for another size."""
    if shown.shape != original.shape:
        return 255.0
    return float(np.abs(shown.astype(int) - original.astype(int)).mean())


def is_same(shown: np.ndarray, original: np.ndarray) -> bool:
    """Whether what was decoded is the picture."""
    return difference(shown, original) <= SAME_WITHIN
