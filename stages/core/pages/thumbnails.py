"""Thumbnails of the images, each embedded once in a page however often it is shown.

In: image paths and the longest side of each. Out: a style sheet with one class per image, which holds it as a data URI.
A CSS background needs neither JavaScript nor a second copy. An image that cannot be read becomes a placeholder.
"""

import base64
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import joblib
from markupsafe import Markup
from PIL import Image

from stages.core.images.files import ImageFolder, UnusableImage, load_pixels
from stages.core.images.rgb import to_rgb

WEBP_QUALITY = 74


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


def make_thumbnails(images: ImageFolder, sizes: Mapping[str, int], *, n_jobs: int = -1) -> dict[str, Thumbnail]:
    """Make the thumbnails of a page.

    Parameters
    ----------
    images
        The image root.
    sizes
        Longest side in pixels by image path.
    n_jobs
        Threads; Pillow decodes without holding Python's lock.

    Returns
    -------
    dict
        A thumbnail by image path, for every path given.
    """
    jobs = (
        joblib.delayed(make_thumbnail)(images, image, px, f"t{number}")
        for number, (image, px) in enumerate(sizes.items())
    )
    made = joblib.Parallel(n_jobs=n_jobs, backend="threading", batch_size=8)(jobs)
    return dict(zip(sizes, made, strict=True))


def make_thumbnail(images: ImageFolder, image: str, px: int, css_class: str) -> Thumbnail:
    """Decode one image at a reduced scale, upright, in RGB, and encode it small."""
    try:
        opened = images.open(image)
        opened.draft("RGB", (px, px))  # JPEG only: decodes at 1/2, 1/4 or 1/8 of the size
        picture = to_rgb(load_pixels(opened))
        picture.thumbnail((px, px), Image.Resampling.LANCZOS, reducing_gap=2.0)
        encoded = io.BytesIO()
        picture.save(encoded, "WEBP", quality=WEBP_QUALITY, method=4)
    except UnusableImage as error:
        return Thumbnail(css_class, px, px, b"", problem=error.reason.replace("_", " "))
    except (OSError, ValueError, SyntaxError, MemoryError) as error:  # a page must not fail for one picture
        return Thumbnail(css_class, px, px, b"", problem=type(error).__name__)
    return Thumbnail(css_class, picture.width, picture.height, encoded.getvalue())


def style_rules(thumbnails: Iterable[Thumbnail]) -> Markup:
    """Join the style rules of all thumbnails with a picture."""
    return Markup("\n".join(thumbnail.rule for thumbnail in thumbnails if thumbnail.webp))
