"""Paint the demo collection: image files, their labels, and the key to the planted faults.

In: `DemoSettings`. Out: `images/`, `labels.csv` and `answer_key.csv` under a root folder.
The same settings give the same bytes, on however many workers, as long as the libraries are the same.
"""

import shutil
from collections import Counter
from pathlib import Path

import joblib
import numpy as np
import pandas as pd

from stages.core.progress import Progress
from stages.core.records import producers
from stages.core.records.outputs import write_outputs
from stages.core.tables.csv_files import write_table
from stages.demo.encode import save_encoded, save_near_duplicate
from stages.demo.faults.broken import BREAKS
from stages.demo.faults.strangers import STRANGERS
from stages.demo.painter.paint import paint
from stages.demo.plan import CLASSES, PlannedFile, answer_key, plan_collection
from stages.demo.settings import DemoSettings

# A worker's start costs more than a picture.
LABELS, ANSWER_KEY = "labels.csv", "answer_key.csv"
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
    recorded = settings.model_dump(mode="json")
    with write_outputs(producers.DEMO, root, settings=recorded, inputs={}) as outputs:
        return _paint(settings, root, n_jobs, labels=outputs.path(root / LABELS), key=outputs.path(root / ANSWER_KEY))


def _paint(settings: DemoSettings, root: Path, n_jobs: int, *, labels: Path, key: Path) -> str:
    plan = plan_collection(_generator(settings, 0), settings)
    images = root / "images"
    if images.exists():
        shutil.rmtree(images)
    for folder in {Path(file.image).parent for file in plan}:
        (images / folder).mkdir(parents=True, exist_ok=True)
    with Progress(len(plan), "Painting") as progress:
        for copies in (False, True):
            jobs = (
                joblib.delayed(_write)(_generator(settings, index), images, file)
                for index, file in enumerate(plan, 1)
                if (file.kind in COPIES) == copies
            )
            for _ in joblib.Parallel(n_jobs, batch_size=BATCH_SIZE, return_as="generator")(jobs):
                progress.advance(1)
    rows = [{"image": file.image, **file.labels} for file in plan]
    label_table = pd.DataFrame(rows, columns=["image", *CLASSES])
    key_table = pd.DataFrame(answer_key(plan), columns=["image", "fault", "attribute", "truth", "detail"])
    write_table(label_table.sort_values("image"), labels)
    write_table(key_table.sort_values(["fault", "attribute", "image"]), key)
    counts = Counter(file.kind for file in plan)
    return f"{root}: {len(plan)} files, " + ", ".join(f"{n} of kind {kind}" for kind, n in counts.items())


def _generator(settings: DemoSettings, index: int) -> np.random.Generator:
    """Randomness of one file, or of the plan (index 0): independent of all others and of the order of work."""
    return np.random.default_rng([settings.random_state, index])


def _write(rng: np.random.Generator, images: Path, file: PlannedFile) -> None:
    """Write one file, or none where one is planted as missing."""
    target = images / file.image
    if file.kind == "painting":
        save_encoded(rng, paint(rng, **file.truth), target, file.detail)
    elif file.kind == "broken":
        if (contents := BREAKS[file.detail].contents) is not None:
            target.write_bytes(contents(rng, lambda: paint(rng, **file.labels)))
    elif file.kind == "stranger":
        save_encoded(rng, STRANGERS[file.detail](rng), target, "jpeg")
    elif file.kind == "exact_duplicate":
        shutil.copyfile(images / file.original, target)
    else:
        save_near_duplicate(rng, images / file.original, target, file.detail)
