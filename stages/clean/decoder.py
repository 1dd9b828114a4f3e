"""Check a batch of files in a decoding process, so that a decoder that crashes or hangs costs one image.

In: a batch of paths. Out: a line of JSON per image. The processes and their limits are left to
`stages.core.images.decoding`, which files to check to `clean_images`.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from stages.clean.check_image import CheckedImage, check_in_folder
from stages.clean.settings import CleanSettings
from stages.core.images.decoding.pool import worker_decoders
from stages.core.images.files import ImageFolder, ImageLimits, UnusableImage


def check_batch(root: Path, names: Sequence[str], settings: CleanSettings) -> list[str]:
    """Check files in a decoding process of this worker.

    Returns
    -------
    list of str
        `CheckedImage.to_json` of every file, in order.

    Raises
    ------
    StageError
        If no decoding process can be started.
    """
    images = ImageFolder(root, limits_of(settings))
    answers = worker_decoders().decode(partial(_check_as_json, settings), images, names)
    return [
        CheckedImage(reason=answer.reason, detail=answer.detail).to_json()
        if isinstance(answer, UnusableImage)
        else answer.decode("ascii")
        for answer in answers
    ]


def limits_of(settings: CleanSettings) -> ImageLimits:
    """What clean refuses before or while it decodes."""
    return ImageLimits(max_pixels=settings.max_pixels, timeout_s=settings.timeout_s)


def _check_as_json(settings: CleanSettings, images: ImageFolder, name: str) -> bytes:
    return check_in_folder(images, name, settings).to_json().encode("ascii")
