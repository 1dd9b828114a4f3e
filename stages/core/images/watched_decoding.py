"""Watch libjpeg at work: whether the last row of the picture comes with the last of the data, neither before nor never.

In: an opened image, before it is decoded. Out: an error where data are left over or lacking: Pillow stops without a
word, or fills up in grey. One changed bit of a Huffman code shifts those behind it, which seldom keeps their number.
"""

import io
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image, ImageFile

from stages.core.images.jpeg_scans import SingleScan, progression_problem, restart_problem, single_scan

# What pixels of the last row are given before it is decoded.
MARKS = tuple(random.Random(0).randbytes(4) for _ in range(16))
# Without the last two bytes of the data a pixel is missing for sure: up to 7 bits are padding.
HELD_BACK = 2
# libjpeg looks 8 bytes ahead. Ones are no code: each missing symbol takes 17 of them, less than two blocks in all.
LOOKED_AT_AHEAD = b"\xff\0" * 8
MODES = ("L", "RGB", "CMYK")


class DamagedData(Exception):
    """The data of the pixels do not make up the picture; the message tells how."""


class LastRow:
    """The last row of a picture's memory, and whether it has been decoded.

    Parameters
    ----------
    core
        The memory, before anything is decoded.
    """

    def __init__(self, core: Any) -> None:
        width, height = core.size
        bands = len(core.mode)
        self._core = core
        self._marks = [
            ((x, height - 1), tuple(mark[:bands]) if bands > 1 else mark[0]) for x, mark in enumerate(MARKS[:width])
        ]
        for place, level in self._marks:
            core.putpixel(place, level)

    def is_decoded(self) -> bool:
        """Whether any of its pixels has another value than it was given."""
        return any(self._core.getpixel(place) != level for place, level in self._marks)


class Watch:
    """Gives the decoder its data in parts, and looks at the last row in between.

    Parameters
    ----------
    image
        The image, before it is loaded.
    parts
        All data but the last of the scan; these, with what libjpeg looks ahead at; what follows the scan.
    """

    def __init__(self, image: ImageFile.ImageFile, parts: list[bytes]) -> None:
        self._image, self._parts, self._given = image, parts, 0
        self._row: LastRow | None = None
        self._prepare: Callable[[], None] = image.load_prepare
        image.load_prepare = self._mark  # type: ignore[method-assign]
        image.load_read = self._read  # type: ignore[attr-defined]

    def end(self) -> None:
        """Leave the image as it was."""
        del self._image.load_prepare, self._image.load_read  # type: ignore[attr-defined]

    def check(self) -> None:
        """Check that the last row is there, and that the decoder has asked for the last data.

        Raises
        ------
        DamagedData
            If pixels are lacking, or data are left over.
        """
        if self._row is not None and not self._row.is_decoded():
            raise DamagedData("the data are truncated: they end before the last row of the picture")
        if self._given < 2:
            raise DamagedData("data of pixels are left over behind the last row of the picture")

    def _mark(self) -> None:
        self._prepare()
        self._row = LastRow(self._image.im)

    def _read(self, size: int) -> bytes:
        """Give the next part."""
        if self._given == 2:
            self.check()
        part = self._parts[self._given] if self._given < len(self._parts) else b""
        self._given += 1
        return part


@contextmanager
def watched(image: Image.Image) -> Iterator[None]:
    """Watch the decoding of an image that is loaded within; of other formats than JPEG nothing is looked at.

    Raises
    ------
    DamagedData
        If pixels are lacking, data are left over, or scans or restart marks stand in another order than they must.
    """
    encoded = _jpeg_of(image)
    scan = single_scan(encoded)
    if problem := restart_problem(scan) if scan else progression_problem(encoded):
        raise DamagedData(problem)
    parts = _parts(encoded, scan) if scan and image.mode in MODES else []
    if not parts or not isinstance(image, ImageFile.ImageFile):
        yield
        return
    watch = Watch(image, parts)
    try:
        yield
    finally:
        watch.end()
    watch.check()


def _jpeg_of(image: Image.Image) -> bytes:
    """The bytes of a JPEG file that is about to be decoded; none of another image."""
    file, tiles = getattr(image, "fp", None), getattr(image, "tile", [])
    if image.format not in ("JPEG", "MPO") or not isinstance(file, io.BytesIO) or len(tiles) != 1 or tiles[0].offset:
        return b""
    return file.getvalue()


def _parts(encoded: bytes, scan: SingleScan) -> list[bytes]:
    """The data in the parts that `Watch` gives; none where a scan's end is not found."""
    end = scan.end
    while end > scan.start and encoded[end - 1] in (0, 0xFF):
        end -= 1
    held = end - HELD_BACK
    if held <= scan.start or scan.end == len(encoded):
        return []
    return [encoded[:held], encoded[held : scan.end] + LOOKED_AT_AHEAD, encoded[scan.end :]]
