"""Measure how bright, colourful and sharp the pictures of a collection are.

In: a table of images. Out: four numbers per image, kept by the file's SHA-256 in a database outside DVC's outputs, so
that every picture is decoded once for all targets. The measures are left to `measure_file`, how they relate to mistakes
to `traits`.
"""

import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from stages.core.images.decoding.pool import worker_decoders
from stages.core.images.files import ImageFolder, UnusableImage
from stages.core.keyed_memory import KeyedMemory
from stages.core.progress import Progress
from stages.outliers.measure_file import measure_file

# Increased when a measure changes: images kept under another number are measured again.
FORMAT_VERSION = 2
MEASURES = ["brightness", "saturation", "chroma", "sharpness"]
MADE_WITH = f"measures {FORMAT_VERSION}: {', '.join(MEASURES)}"
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
        A row per row of the table, columns `MEASURES` as in `measure_file.measure`; NaN where the file cannot be read.
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
    for (image, key), answer in zip(batch, worker_decoders().decode(measure_file, images, batch), strict=True):
        if isinstance(answer, UnusableImage):
            problems.append((image, str(answer)))
        else:
            measured[key] = tuple(json.loads(answer))
    return measured, problems


def _known(memory: KeyedMemory, keys: pd.Series) -> Measured:
    """The measures that earlier runs kept."""
    return {key: tuple(json.loads(text)) for key, text in memory.known(list(dict.fromkeys(keys))).items()}
