"""Thumbnails of the images, each embedded once in a page however often it is shown.

In: image paths and the longest side of each. Out: a style sheet with one class per image, which holds it as a data URI.
A CSS background needs neither JavaScript nor a second copy. An image that cannot be read becomes a placeholder.
"""

import base64
import io
import logging
import struct
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType

from markupsafe import Markup
from PIL import Image

from stages.core.images.decoding.pool import Decoders
from stages.core.images.decoding.process import Answer
from stages.core.images.files import ImageFolder, UnusableImage, load_pixels
from stages.core.images.rgb import to_rgb
from stages.core.parallel import in_order, thread_count

WEBP_QUALITY = 74
BATCH_SIZE = 8
# Width and height, before the encoded picture.
SIZE = struct.Struct("<LL")
NO_DIGESTS: Mapping[str, str] = MappingProxyType({})

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Thumbnail:
    """One image as a page shows it.

    Attributes
    ----------
    css_class
        The CSS class with this background.
    width, height
        Its size in pixels.
    webp
        The encoded picture; empty if the image cannot be read.
    problem
        Why the image cannot be read, or empty.
    """

    css_class: str
    width: int
    height: int
    webp: bytes
    problem: str = ""

    @property
    def rule(self) -> str:
        """The style rule: digits and base64 only, so nothing needs escaping."""
        uri = base64.b64encode(self.webp).decode("ascii")
        picture = f'background-image: url("data:image/webp;base64,{uri}")'
        return f".{self.css_class} {{ --w: {self.width}; --h: {self.height}; {picture}; }}"


def make_thumbnails(
    images: ImageFolder, sizes: Mapping[str, int], *, digests: Mapping[str, str] = NO_DIGESTS, n_jobs: int = -1
) -> dict[str, Thumbnail]:
    """Make the thumbnails of a page.

    Parameters
    ----------
    images
        The image root.
    sizes
        Longest side in pixels by image path.
    digests
        SHA-256 by image path, as clean found it: a file that has changed since is not shown.
    n_jobs
        Decoding processes; -1 for one per core.

    Returns
    -------
    dict
        A thumbnail by image path, for every path given.
    """
    wanted = [(image, px, digests.get(image) or None) for image, px in sizes.items()]
    batches = [wanted[start : start + BATCH_SIZE] for start in range(0, len(wanted), BATCH_SIZE)]

    def work(index: int) -> list[Answer]:
        return decoders.decode(_encode_thumbnail, images, batches[index])

    workers = thread_count(n_jobs)
    with ThreadPoolExecutor(workers) as pool, Decoders() as decoders:
        answers = [answer for batch in in_order(pool, work, len(batches), ahead=2 * workers) for answer in batch]
    _log_changed([image for (image, _, _), answer in zip(wanted, answers, strict=True) if _has_changed(answer)])
    return {
        image: _thumbnail_of(answer, px, f"t{number}")
        for number, ((image, px, _), answer) in enumerate(zip(wanted, answers, strict=True))
    }


def _has_changed(answer: Answer) -> bool:
    return isinstance(answer, UnusableImage) and answer.reason == "changed"


def _log_changed(images: list[str]) -> None:
    if images:
        message = "%d pictures have changed since `pipeline clean` and are not shown, the first is %s: run it again"
        log.warning(message, len(images), images[0])


def make_thumbnail(decoders: Decoders, images: ImageFolder, image: str, px: int, sha256: str | None) -> Thumbnail:
    """Make one thumbnail in a decoding process; of a file with another digest only a placeholder."""
    [answer] = decoders.decode(_encode_thumbnail, images, [(image, px, sha256)])
    return _thumbnail_of(answer, px, "")


def _encode_thumbnail(images: ImageFolder, wanted: tuple[str, int, str | None]) -> bytes:
    """Decode one image at a reduced scale, upright, in RGB, and encode it small, after its width and height."""
    image, px, sha256 = wanted
    opened = images.open(image, sha256=sha256)
    opened.draft("RGB", (px, px))  # JPEG only: decodes at 1/2, 1/4 or 1/8 of the size
    picture = to_rgb(load_pixels(opened))
    picture.thumbnail((px, px), Image.Resampling.LANCZOS, reducing_gap=2.0)
    encoded = io.BytesIO()
    picture.save(encoded, "WEBP", quality=WEBP_QUALITY, method=4)
    return SIZE.pack(*picture.size) + encoded.getvalue()


def _thumbnail_of(answer: Answer, px: int, css_class: str) -> Thumbnail:
    """A page does not fail for one picture: it shows the reason instead."""
    if isinstance(answer, UnusableImage):
        return Thumbnail(css_class, px, px, b"", problem=answer.reason.replace("_", " "))
    width, height = SIZE.unpack_from(answer)
    return Thumbnail(css_class, width, height, answer[SIZE.size :])


def style_rules(thumbnails: Iterable[Thumbnail]) -> Markup:
    """Join the style rules of all thumbnails with a picture."""
    return Markup("\n".join(thumbnail.rule for thumbnail in thumbnails if thumbnail.webp))
