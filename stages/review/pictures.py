"""Pictures for the browser: scaled down and encoded again, never the file itself.

In: an image of the list and a size. Out: WebP, or a placeholder with the reason why there is no picture.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from markupsafe import escape

from stages.core.images.decoding.pool import Decoders, read_in_decoder
from stages.core.images.files import ImageFolder, digest_file
from stages.core.pages.thumbnails import make_thumbnail
from stages.core.parallel import thread_count
from stages.review.settings import ReviewSettings

# Pictures kept in memory.
KEPT = 1000
PLACEHOLDER = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 160 120" width="160" height="120">'
    '<rect x="1" y="1" width="158" height="118" fill="none" stroke="#888" stroke-dasharray="6 4"/>'
    '<text x="80" y="64" text-anchor="middle" font-family="sans-serif" font-size="13" fill="#888">{}</text></svg>'
)


class Pictures:
    """The pictures of a list of images; the most recently used are kept in memory.

    Parameters
    ----------
    folder
        The image root.
    images
        Paths relative to it.
    settings
        Sizes of the pictures.
    digests
        SHA-256 by image path: a file that has changed since is not shown.
    """

    def __init__(
        self, folder: ImageFolder, images: Sequence[str], settings: ReviewSettings, digests: Mapping[str, str]
    ) -> None:
        self._folder, self._images, self._digests = folder, images, digests
        # They end with the server.
        self._decoders = Decoders(at_most=thread_count(-1))
        self._px = {
            "tiny": settings.thumbnail_px // 2,
            "card": settings.thumbnail_px,
            "large": settings.large_px,
        }
        self._small = lru_cache(KEPT)(self._make)

    @property
    def sizes(self) -> tuple[str, ...]:
        """The names of the sizes."""
        return tuple(self._px)

    def digest(self, image: str) -> str:
        """Compute the SHA-256 of the file of an image, hexadecimal, in a process that may wait for its disk.

        Raises
        ------
        UnusableImage
            If the file cannot be read.
        StageError
            If the disk does not answer.
        """
        return read_in_decoder(self._decoders, digest_file, self._folder, image).decode("ascii")

    def get(self, number: int, size: str) -> tuple[bytes, str]:
        """Get the content of a picture and its media type.

        Raises
        ------
        LookupError
            If there is no image of that number, or no such size.
        """
        if not 0 <= number < len(self._images):
            raise LookupError(f"no image {number}")
        px = self._px[size]
        return (self._make if size == "large" else self._small)(number, px)

    def _make(self, number: int, px: int) -> tuple[bytes, str]:
        image = self._images[number]
        made = make_thumbnail(self._decoders, self._folder, image, px, self._digests.get(image) or None)
        if made.webp:
            return made.webp, "image/webp"
        return PLACEHOLDER.format(escape(made.problem)).encode("utf-8"), "image/svg+xml"
