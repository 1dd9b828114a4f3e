"""Measure how bright, colourful and sharp a picture is.

In: image files. Out: four numbers per image, kept by the file's SHA-256 in a database outside DVC's outputs, so that
every picture is decoded once for all targets. How they relate to mistakes is left to `traits`.
"""

import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from PIL import Image, ImageStat
from scipy.ndimage import laplace

from stages.core.images.files import ImageFolder, UnusableImage, load_pixels
from stages.core.images.rgb import to_rgb
from stages.core.keyed_memory import KeyedMemory
from stages.core.progress import Progress

# Increased when a measure changes: images kept under another number are measured again.
FORMAT_VERSION = 1
MEASURES = ["brightness", "saturation", "chroma", "sharpness"]
MADE_WITH = f"measures {FORMAT_VERSION}: {', '.join(MEASURES)}"
# About the size that a network sees; JPEG files are decoded at the smallest scale that is no smaller.
SIDE_PX = 256
# A high percentile, not the maximum: a scan's tint and JPEG's rounding give few pixels of a greyscale picture colour.
CHROMA_PERCENTILE = 99
BATCH_SIZE = 32

log = logging.getLogger(__name__)


def measure_images(table: pd.DataFrame, images: ImageFolder, *, kept: Path | None = None) -> pd.DataFrame:
    """Measure every picture that no earlier run has measured.

    Parameters
    ----------
    table
        With the columns `image` and `sha256`.
    images
        The image root.
    kept
        The database of earlier measures; without it, all pictures are measured.

    Returns
    -------
    DataFrame
        A row per row of the table, columns `MEASURES` as in `measure`; NaN where the file cannot be read.
    """
    with contextlib.ExitStack() as stack:
        memory = stack.enter_context(KeyedMemory(kept, MADE_WITH)) if kept else None
        found = _known(memory, table["sha256"]) if memory else {}
        waiting = table[~table["sha256"].isin(found)].drop_duplicates("sha256")
        problems = []
        for measured, problem in _measure_all(waiting, images):
            found |= measured
            problems += problem
            if memory:
                memory.remember((key, json.dumps(values)) for key, values in measured.items())
    if problems:
        message = "%d of %d images cannot be measured (brightness, colour, sharpness), the first is %r: %s"
        log.warning(message, len(problems), len(table), *problems[0])
    nothing = (np.nan,) * len(MEASURES)
    rows = [found.get(key, nothing) for key in table["sha256"]]
    return pd.DataFrame(np.array(rows, dtype=float).reshape(len(table), -1), columns=MEASURES, index=table.index)


def measure(image: Image.Image) -> tuple[float, ...]:
    """Measure a decoded picture, scaled down to `SIDE_PX` on its longer side.

    Returns
    -------
    tuple
        brightness: mean luma, 0 to 1; saturation: mean S of HSV, 0 to 1; chroma: 99th percentile
        over pixels of the largest minus the smallest of red, green and blue, 0 to 255; sharpness:
        variance of the Laplacian of the luma, in squared grey levels (Pech-Pacheco et al., "Diatom autofocusing in
        brightfield microscopy: a comparative study", 2000).
    """
    small = to_rgb(image)
    small.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR)
    luma = small.convert("L")
    pixels = np.asarray(small)
    red, green, blue = np.moveaxis(pixels, 2, 0)  # a maximum over the short last axis takes forty times as long
    chroma = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    return (
        ImageStat.Stat(luma).mean[0] / 255,
        ImageStat.Stat(small.convert("HSV")).mean[1] / 255,
        float(np.percentile(chroma, CHROMA_PERCENTILE)),
        float(laplace(np.asarray(luma, dtype=np.float32)).var()),
    )


Measured = dict[str, tuple[float, ...]]
Problems = list[tuple[str, str]]


def _measure_all(waiting: pd.DataFrame, images: ImageFolder) -> Iterator[tuple[Measured, Problems]]:
    """Batch by batch: measures by SHA-256, and the images that have none, with the reason."""
    rows = list(zip(waiting["image"], waiting["sha256"], strict=True))
    batches = [rows[start : start + BATCH_SIZE] for start in range(0, len(rows), BATCH_SIZE)]
    results = joblib.Parallel(return_as="generator")(joblib.delayed(_measure_batch)(images, batch) for batch in batches)
    with Progress(len(rows), "Measuring") as progress:
        for batch, result in zip(batches, results, strict=True):
            yield result
            progress.advance(len(batch))


def _measure_batch(images: ImageFolder, batch: list[tuple[str, str]]) -> tuple[Measured, Problems]:
    measured, problems = {}, []
    for image, key in batch:
        try:
            measured[key] = _measure_file(images, image, key)
        except UnusableImage as problem:
            problems.append((image, str(problem)))
    return measured, problems


def _measure_file(images: ImageFolder, image: str, key: str) -> tuple[float, ...]:
    opened = images.open(image, sha256=key)
    opened.draft("RGB", (SIDE_PX, SIDE_PX))
    loaded = load_pixels(opened)
    try:
        return measure(loaded)
    except Exception as error:  # damaged EXIF, a mode that cannot be converted
        raise UnusableImage("decode_error", f"{type(error).__name__}: {error}") from None


def _known(memory: KeyedMemory, keys: pd.Series) -> Measured:
    """The measures that earlier runs kept."""
    return {key: tuple(json.loads(text)) for key, text in memory.known(list(dict.fromkeys(keys))).items()}
