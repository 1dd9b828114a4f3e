"""Open untrusted image files within limits, and name in one word what is wrong with those that fail.

In: a path relative to an image folder. Out: bytes or a Pillow image, or an `UnusableImage` with one of a fixed set of
reasons. What is done with the pixels is left to the stages.
"""

import contextlib
import errno
import os
import re
import stat
import unicodedata
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Literal

from PIL import Image, ImageFile, UnidentifiedImageError

from stages.core.images import reduced
from stages.core.images.damage import find_damage
from stages.core.images.formats import TIFF_START, describe_refused, pillow_formats
from stages.core.images.large_file import Encoded, LargeFile, as_file, digest_of, head_of, read_patiently
from stages.core.images.metadata import drop_metadata, drop_png_metadata, keep_profile
from stages.core.images.tiff import open_largest_page
from stages.core.images.watched_decoding import watched
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

# Where no other limit is given: twice what Pillow warns of, from which on it refuses.
PILLOW_MAX_PIXELS = 2 * 89_478_485
# The most that `clean.max_pixels` may be.
LARGEST_PIXELS = 2**31 - 1
MIB = 1024 * 1024
# Room for metadata, and for pixels of 16 bits in four channels that are not compressed.
METADATA_BYTES, STORED_BYTES_PER_PIXEL = 64 * MIB, 8
# Python and its libraries.
PROCESS_BYTES = 1024 * MIB
# TIFFs of more bytes are read in pieces; other files are held in memory.
LARGE_FILE_BYTES = 64 * MIB
# What a path can lead to where a file is meant.
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
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
    """What is refused before or while it is decoded.

    Attributes
    ----------
    max_pixels
        Largest width times height; Pillow's own guard is set to it.
    timeout_s
        Longest time that reading and decoding one file may take, in seconds.
    """

    max_pixels: int = PILLOW_MAX_PIXELS
    timeout_s: float = 60.0

    @property
    def max_file_bytes(self) -> int:
        """Largest file that is read: 8 bytes per allowed pixel, and 64 MiB of metadata."""
        return METADATA_BYTES + STORED_BYTES_PER_PIXEL * self.max_pixels

    @property
    def memory_bytes(self) -> int:
        """Largest address space of a decoding process: larger pictures are decoded at a reduced scale."""
        held = min(self.max_pixels, reduced.WHOLE_PIXELS)
        return PROCESS_BYTES + METADATA_BYTES + reduced.BYTES_PER_PIXEL * held


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

    def read(self, image: str, *, sha256: str | None = None) -> Encoded:
        """Read a file that lies under the root, following no link out of it; a large TIFF is opened, and read later.

        Parameters
        ----------
        image
            Path relative to the root, POSIX.
        sha256
            Digest that the bytes must have, hexadecimal; None takes any.

        Raises
        ------
        UnusableImage
            missing, empty, outside_root, changed, too_large, or unreadable (a folder, a FIFO, no permission, a failing
            disk).
        """
        encoded = _read_under(self.root, image, self.limits.max_file_bytes)
        if not encoded:
            raise UnusableImage("empty", "0 bytes")
        if sha256 is not None and digest(encoded) != sha256:
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


def digest_file(images: ImageFolder, image: str) -> bytes:
    """Read a file, which may lie on a disk that does not answer, and give its SHA-256 in hexadecimal, as ASCII.

    Raises
    ------
    UnusableImage
        As `ImageFolder.read` does.
    """
    return digest(images.read(image)).encode("ascii")


def digest(encoded: Encoded) -> str:
    """SHA-256 of a file's content, hexadecimal.

    Raises
    ------
    UnusableImage
        unreadable, if a large file is on a disk that fails.
    """
    try:
        return digest_of(encoded)
    except OSError as error:
        raise UnusableImage("unreadable", error.strerror or str(error)) from None


def find_file(root: Path, image: str) -> Path:
    """Find the file that a table's name means: in whatever Unicode form, or bytes, the disk keeps it.

    Returns
    -------
    Path
        The path as given if it exists or nothing fits.
    """
    for name in disk_names(image):
        if (path := root / name).exists():
            return path
    return next(_spellings(root, Path(image).parts), root / image)


def _spellings(folder: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    """The existing paths whose parts, in composed form, are those given: two folders may differ in their form alone."""
    if not parts:
        yield folder
        return
    wanted, exact = unicodedata.normalize("NFC", parts[0]), folder / parts[0]
    here = [exact] if exact.exists() else []
    here += [folder / name for name in _names_by_nfc(folder).get(wanted, []) if name != parts[0]]
    for path in here:
        yield from _spellings(path, parts[1:])


def _names_by_nfc(folder: Path) -> dict[str, list[str]]:
    """The names in a folder by their composed form."""
    try:
        return _names_by_nfc_at(folder, os.stat(folder).st_mtime_ns)
    except OSError:
        return {}


@lru_cache(256)
def _names_by_nfc_at(folder: Path, mtime_ns: int) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for name in sorted(os.listdir(folder)):
        names.setdefault(unicodedata.normalize("NFC", name), []).append(name)
    return names


def _read_under(root: Path, image: str, max_bytes: int) -> Encoded:
    try:
        path = find_file(root, image)
        target = Path(os.path.realpath(path))  # Path.resolve raises an error where links form a circle
        if not target.is_relative_to(root.resolve()):
            raise UnusableImage("outside_root", f"leads to {target}")
        _check_regular(os.stat(path), max_bytes)
        # Between the two looks a FIFO may take the file's place: it is not waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            _check_regular(found, max_bytes)
            if found.st_size > LARGE_FILE_BYTES and re.match(TIFF_START, os.pread(descriptor, 4, 0)):
                return LargeFile(descriptor)
            return read_patiently(lambda: _from_start(file, found.st_size + 1))  # at once room for so many bytes
    except FileNotFoundError:
        raise UnusableImage("missing", "no such file") from None
    except OSError as error:
        raise UnusableImage("unreadable", error.strerror or str(error)) from None
    except ValueError as error:  # a name with a NUL
        raise UnusableImage("unreadable", str(error)) from None


def _from_start(file: BinaryIO, most_bytes: int) -> bytes:
    file.seek(0)
    return file.read(most_bytes)


def _check_regular(found: os.stat_result, max_bytes: int) -> None:
    """Refuse what is no file, or a file too large to read."""
    if not stat.S_ISREG(found.st_mode):
        raise UnusableImage("unreadable", f"{KINDS.get(stat.S_IFMT(found.st_mode), 'something else')}, not a file")
    if found.st_size > max_bytes:
        raise UnusableImage("too_large", f"{found.st_size} bytes, more than {max_bytes} (from clean.max_pixels)")


def open_image(encoded: Encoded, limits: ImageLimits) -> Image.Image:
    """Read an image's header; refuse what is not an image or has too many pixels before any are decoded.

    Only the formats of `stages.core.images.formats` are tried, by content. Of a TIFF with several pages the largest is
    opened that is no reduced copy of another (`tiff.page_of` tells which). Metadata that cannot be read is left out; a
    colour profile is kept.

    Raises
    ------
    UnusableImage
        not_an_image, too_large, truncated or decode_error.
    """
    stored = encoded
    if isinstance(encoded, bytes):
        encoded = drop_png_metadata(encoded)
    with _guarded(limits.max_pixels):
        try:
            image = _open(encoded)
        except UnusableImage as problem:
            stripped = encoded if isinstance(encoded, LargeFile) else drop_metadata(encoded)
            if problem.reason == "too_large" or stripped == encoded:
                raise
            image = _open(stripped)
    width, height = image.size
    if width * height > limits.max_pixels:
        raise UnusableImage("too_large", f"{width} x {height} pixels, more than {limits.max_pixels}")
    if problem_of_memory := reduced.memory_problem(image, encoded):
        raise UnusableImage("too_large", problem_of_memory)
    if damage := find_damage(image, encoded):
        raise UnusableImage(*damage)
    keep_profile(image, stored)
    return image


@contextlib.contextmanager
def _guarded(max_pixels: int) -> Iterator[None]:
    """Set Pillow's own guard to a number of pixels; its other warnings are about metadata."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _open(encoded: Encoded) -> ImageFile.ImageFile:
    try:
        formats = pillow_formats(head_of(encoded))
        image = Image.open(as_file(encoded), formats=formats)
        return open_largest_page(image, encoded) if image.format == "TIFF" else image
    except UnidentifiedImageError:
        known = head_of(encoded) if isinstance(encoded, LargeFile) else encoded
        raise UnusableImage("not_an_image", describe_refused(known)) from None
    except Image.DecompressionBombError as error:
        raise UnusableImage("too_large", str(error).partition(",")[0]) from None
    except Exception as error:  # a decoder may raise anything at a hostile header
        raise UnusableImage("decode_error", f"{type(error).__name__}: {error}") from None


def load_pixels(image: Image.Image) -> Image.Image:
    """Decode the pixels in full; of a picture of more than `reduced.WHOLE_PIXELS`, at a reduced scale.

    Raises
    ------
    UnusableImage
        truncated or decode_error.
    """
    try:
        with _guarded(image.width * image.height):  # no decoder makes more pixels than the header declares
            reduced.ask_reduced(image)
            with watched(image):
                image.load()
            reduced.reduce_decoded(image)
    except MemoryError:
        raise UnusableImage("too_large", f"a decoding process has no memory for it: {reduced.ADVICE}") from None
    except Image.DecompressionBombError as error:
        raise UnusableImage("too_large", str(error).partition(",")[0]) from None
    except Exception as error:  # a decoder may raise anything at hostile data
        if getattr(error, "errno", None) == errno.EIO:
            raise UnusableImage("unreadable", os.strerror(errno.EIO)) from None
        reason: Reason = "truncated" if "truncated" in str(error).lower() else "decode_error"
        raise UnusableImage(reason, f"{type(error).__name__}: {error}") from None
    return image
