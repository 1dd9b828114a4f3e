"""Paint the demo collection: image files, their labels, and the key to the planted faults.

In: `DemoSettings`. Out: `images/`, `labels.csv` and `answer_key.csv` under a root folder.
The same settings give the same bytes, on however many workers, as long as the libraries are the same.
"""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from stages.core.progress import Progress
from stages.core.tables.csv_files import write_table
from stages.demo.encode import save_encoded
from stages.demo.faults.broken import BREAKS
from stages.demo.faults.duplicates import save_near_duplicate
from stages.demo.faults.strangers import STRANGERS
from stages.demo.painter.paint import paint
from stages.demo.plan import CLASSES, PlannedFile, answer_key, plan_collection
from stages.demo.settings import DemoSettings

BATCH_SIZE = 12
COPIES = ("exact_duplicate", "near_duplicate")


def paint_collection(*, settings: DemoSettings, root: Path, n_jobs: int = -1) -> str:
    """Paint the collection into a folder, in place of an earlier one.

    Parameters
    ----------
    settings
        How many pictures and faults, and the seed.
    root
        The folder to write `images/`, `labels.csv` and `answer_key.csv` into. Whatever is in `images/` is removed.
    n_jobs
        Worker processes; -1 is one per core.

    Returns
    -------
    str
        How many files of each kind were written.

    Raises
    ------
    OSError
        If the folder cannot be written to, or `images` is a link.
    """
    plan = plan_collection(_generator(settings, 0), settings)
    images = root / "images"
    if images.exists():
        shutil.rmtree(images)
    for folder in {Path(file.image).parent for file in plan}:
        (images / folder).mkdir(parents=True, exist_ok=True)
    with Progress(len(plan), "Painting") as progress:
        for copies in (False, True):
            chosen = [i for i, file in enumerate(plan) if (file.kind in COPIES) == copies]
            _write_all(images, plan, chosen, settings, n_jobs, progress)
    rows = [{"image": file.image, **file.labels} for file in plan]
    labels = pd.DataFrame(rows, columns=["image", *CLASSES])
    key = pd.DataFrame(answer_key(plan), columns=["image", "fault", "attribute", "truth", "detail"])
    write_table(labels.sort_values("image"), root / "labels.csv")
    write_table(key.sort_values(["fault", "attribute", "image"]), root / "answer_key.csv")
    counts = Counter(file.kind for file in plan)
    return f"{root}: " + ", ".join(f"{count} {kind.replace('_', ' ')}s" for kind, count in counts.items())


def _generator(settings: DemoSettings, index: int) -> np.random.Generator:
    """Randomness of one file, or of the plan (index 0): independent of all others and of the order of work."""
    return np.random.default_rng([settings.random_state, index])


def _write_all(
    images: Path, plan: list[PlannedFile], chosen: list[int], settings: DemoSettings, n_jobs: int, progress: Progress
) -> None:
    """Write the chosen files, a batch at a time: a worker's start costs more than a picture."""
    batches = [chosen[start : start + BATCH_SIZE] for start in range(0, len(chosen), BATCH_SIZE)]
    jobs = (joblib.delayed(_write_batch)(images, [(i, plan[i]) for i in batch], settings) for batch in batches)
    for count in joblib.Parallel(n_jobs=n_jobs, return_as="generator")(jobs):
        progress.advance(count)


def _write_batch(images: Path, batch: list[tuple[int, PlannedFile]], settings: DemoSettings) -> int:
    for index, file in batch:
        WRITE[file.kind](_generator(settings, index + 1), images, file)
    return len(batch)


def _write_painting(rng: np.random.Generator, images: Path, file: PlannedFile) -> None:
    save_encoded(rng, paint(rng, **file.truth), images / file.image, file.detail)


def _write_broken(rng: np.random.Generator, images: Path, file: PlannedFile) -> None:
    contents = BREAKS[file.detail].contents
    if contents is not None:
        (images / file.image).write_bytes(contents(rng, lambda: paint(rng, **file.labels)))


def _write_stranger(rng: np.random.Generator, images: Path, file: PlannedFile) -> None:
    save_encoded(rng, STRANGERS[file.detail](rng), images / file.image, "jpeg")


def _write_exact_duplicate(rng: np.random.Generator, images: Path, file: PlannedFile) -> None:
    shutil.copyfile(images / file.original, images / file.image)


def _write_near_duplicate(rng: np.random.Generator, images: Path, file: PlannedFile) -> None:
    save_near_duplicate(rng, images / file.original, images / file.image, file.detail)


WRITE: dict[str, Callable[[np.random.Generator, Path, PlannedFile], None]] = {
    "painting": _write_painting,
    "broken": _write_broken,
    "stranger": _write_stranger,
    "exact_duplicate": _write_exact_duplicate,
    "near_duplicate": _write_near_duplicate,
}
