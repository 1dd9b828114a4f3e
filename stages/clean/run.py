"""The clean stage: decode every image in full once, keep what can be used, group what is the same picture.

In: `data/manifest.csv` and the image files. Out: `data/clean.csv` (the good rows with `sha256`, `width`, `height`,
`mode`, `group`) and `data/rejected.csv` (`image`, `reason`, `detail`).
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import imagehash
import joblib
import numpy as np
import pandas as pd

from stages.clean.duplicates import group_duplicates
from stages.clean.settings import CleanSettings
from stages.errors import StageError
from stages.images import UnusableImage, load_pixels, open_image, read_image_bytes, to_rgb
from stages.progress import tracked
from stages.tables import read_table, write_table

BATCH_SIZE = 16


@dataclass(frozen=True)
class CheckedImage:
    """What was found in one file; `reason` is empty when the image can be used."""

    sha256: str = ""
    width: int = 0
    height: int = 0
    mode: str = ""
    perceptual_hash: int = 0
    reason: str = ""
    detail: str = ""


def clean_images(*, settings: CleanSettings, manifest: Path, images: Path, clean: Path, rejected: Path) -> str:
    """Check every image of the manifest and write the good and the rejected ones.

    Parameters
    ----------
    settings
        Limits of size, and how alike duplicates are.
    manifest
        The table of ingest.
    images
        The image root.
    clean, rejected
        The tables to write.

    Returns
    -------
    str
        Counts by reason, and of duplicates.

    Raises
    ------
    StageError
        If the image root is missing or no image at all can be used.
    """
    table = read_table(manifest, required=["image"], made_by="pipeline ingest")
    if not images.is_dir():
        raise StageError(f"dataset.images is {images}, which is not a folder: set it to the folder of the image files")
    checked = _check_all(table["image"].tolist(), images, settings)
    good = np.array([not check.reason for check in checked], dtype=bool)
    rejections = pd.DataFrame(
        [(image, c.reason, c.detail) for image, c in zip(table["image"], checked, strict=True) if c.reason],
        columns=["image", "reason", "detail"],
    )
    if not good.any():
        counts = ", ".join(f"{n} {reason}" for reason, n in rejections["reason"].value_counts().items())
        raise StageError(f"none of the {len(table)} images in {manifest} can be used ({counts}): check dataset.images")
    kept = [check for check in checked if not check.reason]
    table = table[good].assign(
        sha256=[c.sha256 for c in kept],
        width=[c.width for c in kept],
        height=[c.height for c in kept],
        mode=[c.mode for c in kept],
        group=group_duplicates(
            [c.sha256 for c in kept],
            np.array([c.perceptual_hash for c in kept], dtype=np.uint64),
            max_bits=settings.near_duplicate_bits,
        ),
    )
    write_table(rejections, rejected)
    write_table(table, clean)
    return _summary(table, rejections)


def _check_all(names: list[str], images: Path, settings: CleanSettings) -> list[CheckedImage]:
    """Check files on all workers, in the order given."""
    batches = [names[start : start + BATCH_SIZE] for start in range(0, len(names), BATCH_SIZE)]
    results = joblib.Parallel(return_as="generator")(
        joblib.delayed(_check_batch)(images, batch, settings) for batch in batches
    )
    return [
        check
        for batch in tracked(results, len(batches), "Checking", f"batches of {BATCH_SIZE} images")
        for check in batch
    ]


def _check_batch(images: Path, batch: list[str], settings: CleanSettings) -> list[CheckedImage]:
    return [check_image(images, name, settings) for name in batch]


def check_image(root: Path, name: str, settings: CleanSettings) -> CheckedImage:
    """Decode one file in full and describe it, or say why it cannot be used."""
    try:
        encoded = read_image_bytes(root, name)
        image = open_image(encoded, max_pixels=settings.max_pixels)
        if min(image.size) < settings.min_side_px:
            width, height = image.size
            raise UnusableImage("too_small", f"{width} x {height} pixels, shorter than {settings.min_side_px}")
        load_pixels(image)
    except UnusableImage as problem:
        return CheckedImage(reason=problem.reason, detail=problem.detail)
    return CheckedImage(
        sha256=hashlib.sha256(encoded).hexdigest(),
        width=image.width,
        height=image.height,
        mode=image.mode,
        perceptual_hash=int(str(imagehash.phash(to_rgb(image))), 16),
    )


def _summary(table: pd.DataFrame, rejections: pd.DataFrame) -> str:
    lines = [f"{len(table)} images kept, {len(rejections)} rejected"]
    lines += [f"  {reason:<14}{count:>6}" for reason, count in rejections["reason"].value_counts().items()]
    sizes = table["group"].value_counts()
    lines.append(f"{(sizes > 1).sum()} groups of duplicates hold {sizes[sizes > 1].sum()} images")
    return "\n".join(lines)
