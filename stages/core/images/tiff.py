"""Decode TIFFs of hundreds of megapixels at a reduced scale: in bands, or from a smaller copy that they hold.

In: a TIFF. Out: a Pillow image of its largest page, which reads as many strips or rows of tiles at a time as
`reduced.BAND_PIXELS` allow for. Each band is decoded by Pillow and libtiff, as the whole would be. Limits are left to
`files`.
"""

import io
import math
from typing import IO, Any

import numpy as np
from PIL import Image, ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from stages.core.images import reduced
from stages.core.images.large_file import Encoded, as_file
from stages.core.images.rgb import LARGEST_VALUE, SMALLEST_VALUE, declared_range, is_unsigned, likely_range
from stages.core.images.tiff_layout import (
    MOST_PAGES,
    NEW_SUBFILE_TYPE,
    PHOTOMETRIC,
    Directory,
    Layout,
    cut_bands,
    layout_of,
    read_directories,
    read_sub_directories,
)

DOUBLE = 12
# Of `info` of an opened TIFF: the number of its pages.
PAGES = "pages"
Page = tuple[Directory, Layout]


def open_largest_page(image: ImageFile.ImageFile, encoded: Encoded) -> ImageFile.ImageFile:
    """Go to the largest page of an opened TIFF that is no reduced copy; a large one is opened to be decoded in bands.

    Parameters
    ----------
    image
        As Pillow opens it, at its first page.
    encoded
        What it was opened from.
    """
    # On an opened image apart: one that stopped at a damaged page is no longer as it was.
    page, pages = _largest_page(Image.open(as_file(encoded), formats=["TIFF"]))
    if page > 0:
        image.seek(page)
    if reduced.is_large(image.size):
        image = open_large(as_file(encoded), page) or image
    image.info[PAGES] = pages
    return image


def page_of(image: Image.Image) -> str:
    """Which page of a TIFF was opened, of how many: `2 of 5`; empty if there is one."""
    pages = image.info.get(PAGES, 1)
    return f"{image.tell() + 1} of {pages}" if pages > 1 else ""


def _largest_page(image: Image.Image) -> tuple[int, int]:
    """Find the page with the most pixels that is no reduced copy, the first of several; and the number of pages."""
    best, most, page = 0, 0, 0
    for page in range(MOST_PAGES):
        pixels = image.width * image.height
        if pixels > most and not _is_reduced(image):
            best, most = page, pixels
        try:
            image.seek(page + 1)
        except Exception:  # there is no other page, or it is damaged or of a kind that is not decoded
            break
    return best, page + 1


def _is_reduced(image: Image.Image) -> bool:
    """Whether a TIFF's page says that it is a smaller copy (bit 0 of NewSubfileType), or a mask (bit 2)."""
    kind = getattr(image, "tag_v2", {}).get(NEW_SUBFILE_TYPE, 0)
    return isinstance(kind, int) and bool(kind & 0b101)


class LargeTiff(TiffImageFile):
    """A TIFF whose page is decoded in bands.

    Attributes
    ----------
    decoded_in_bands
        Marks pictures for which a decoding process needs no room for all pixels.
    """

    decoded_in_bands = True
    _pages: tuple[Page, ...] = ()
    _wanted: tuple[int, int] | None = None

    def draft(self, mode: str | None, size: tuple[int, int] | None) -> tuple[str, tuple[int, int, float, float]] | None:
        """Ask for the smallest scale that still covers a size; the mode stays."""
        self._wanted = size
        return None

    def load(self) -> Any:
        """Decode in bands, at a reduced scale."""
        if self.tile and self._pages:
            assert self.fp is not None
            _check_whole(self.fp, self._pages[0][1])
            on_side = self.size != self._pages[0][1].size
            wanted = self._wanted[::-1] if self._wanted and on_side else self._wanted
            bands = _Bands(self.fp, self._pages, wanted, self)
            pixels = reduced.reduce_bands(bands, bands.layout.size, bands.factor)
            bands.declare_range()
            reduced.replace_pixels(self, pixels)
            self.tile = []
            self.load_end()  # turns it upright
        return super().load()


def open_large(file: IO[bytes], page: int) -> LargeTiff | None:
    """Open a page of a TIFF to be decoded in bands; None if its strips or tiles are too large for that."""
    directories = read_directories(file)
    if page >= len(directories):
        return None
    full = _page(directories[page])
    if full is None:
        return None
    file.seek(0)
    image = LargeTiff(file)
    image.seek(page)
    image._pages = (full, *_smaller_copies(file, directories, page))
    return image


def _check_whole(file: IO[bytes], layout: Layout) -> None:
    """Refuse a page whose file ends early, also where a smaller copy of it is whole."""
    size = file.seek(0, io.SEEK_END)
    last = max(start + count for start, count in zip(layout.starts, layout.counts, strict=True))
    if last > size:
        raise OSError(f"the image is truncated: its file has {size} of {last} bytes")


def _page(directory: Directory) -> Page | None:
    """A page whose rows of strips or tiles are small enough to be decoded together."""
    layout = layout_of(directory, reduced.BAND_PIXELS)
    if layout is None or layout.rows * layout.size[0] > reduced.WHOLE_PIXELS:
        return None
    return directory, layout


def _smaller_copies(file: IO[bytes], directories: list[Directory], page: int) -> list[Page]:
    """The levels of a pyramid: reduced pages behind the page, or within it, that show the same."""
    full, copies = directories[page], read_sub_directories(file, directories[page])
    for directory in directories[page + 1 :]:
        if not directory.is_reduced:
            break
        copies.append(directory)
    alike = [copy for copy in copies if copy.is_reduced and _shows_the_same(copy, full)]
    return [found for copy in alike if (found := _page(copy))]


def _shows_the_same(copy: Directory, full: Directory) -> bool:
    """Whether the sides have the same ratio but for rounding, and the colours the same meaning."""
    (width, height), (full_width, full_height) = copy.size, full.size
    if not (width and height) or copy.number(PHOTOMETRIC) != full.number(PHOTOMETRIC):
        return False
    ratio = full_width / width
    return abs(full_height / ratio - height) <= 1.5


class _Bands:
    """The bands of the smallest copy that covers a size, one after another, and the range of their values."""

    def __init__(
        self, file: IO[bytes], pages: tuple[Page, ...], wanted: tuple[int, int] | None, image: LargeTiff
    ) -> None:
        width, height = pages[0][1].size
        factor = reduced.factor_for((width, height), wanted)
        needed = wanted or (math.ceil(width / factor), math.ceil(height / factor))
        covering = [page for page in pages if page[1].size[0] >= needed[0] and page[1].size[1] >= needed[1]]
        self.directory, self.layout = min(covering, key=lambda page: page[1].size, default=pages[0])
        self.factor = max(1, reduced.factor_for(self.layout.size, needed))
        self._file, self._image = file, image
        self._lowest, self._highest = math.inf, -math.inf
        self._dtype = np.dtype(np.float32)

    def __iter__(self) -> "_Bands":
        self._tiffs = cut_bands(self._file, self.directory, self.layout, reduced.BAND_PIXELS)
        return self

    def __next__(self) -> Image.Image:
        band = Image.open(io.BytesIO(next(self._tiffs)), formats=["TIFF"])
        return self._as_floats(band) if band.mode in ("I", "F") else band

    def _as_floats(self, band: Image.Image) -> Image.Image:
        """Numbers of 32 bits, whose range decides what is black and white, and which whole numbers cannot average."""
        values = np.asarray(band)
        if band.mode == "I" and is_unsigned(self._image):
            values = values.view(np.uint32)
        self._dtype = values.dtype
        finite = values[np.isfinite(values)]
        if finite.size:
            self._lowest = min(self._lowest, float(finite.min()))
            self._highest = max(self._highest, float(finite.max()))
        return Image.fromarray(values.astype(np.float32))

    def declare_range(self) -> None:
        """Write black and white of all pixels into the tags: averages have another range."""
        if self._lowest <= self._highest and declared_range(self._image) is None:
            for tag, value in zip(
                (SMALLEST_VALUE, LARGEST_VALUE), likely_range(self._lowest, self._highest, self._dtype), strict=True
            ):
                self._image.tag_v2.tagtype[tag] = DOUBLE
                self._image.tag_v2[tag] = value
