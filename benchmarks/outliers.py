"""Measure the time of each part of find-outliers, and its peak memory, at several collection sizes.

In: nothing; images, labels and pooled features are synthetic, at the sizes asked for. Out: a table of wall seconds and
milliseconds per image of each part, and the peak memory of the process and its children together. The code timed is the
pipeline's `find_outliers`, in a separate process per size.

    python benchmarks/outliers.py --images 10000 81446 100000
"""

import argparse
import hashlib
import io
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
from PIL import Image

from cache import FeatureStore, publish
from stages.core.features.artefact import FEATURES
from stages.core.features.labelled import load_labelled_features
from stages.core.head.files import save_head
from stages.core.head.recipe import Recipe
from stages.core.head.registry import build_head
from stages.core.images.files import ImageFolder
from stages.core.parallel import ParallelSettings, parallel_backend
from stages.core.records.artefacts import HEAD_CARD, HEAD_WEIGHTS
from stages.core.records.outputs import adopt
from stages.core.tables.columns import SPLIT_IMAGES
from stages.core.tables.csv_files import write_table
from stages.outliers import find_outliers as run
from stages.outliers.image_measures import measure_images
from stages.outliers.settings import OutlierSettings

CLASSES = {"style": 27, "genre": 10, "artist": 23}
TARGET = "style"
LOOKS = "looks.sqlite"
CHANNELS, VIEWS, LATENT, BLOCK = 2048, 2, 64, 4096
PICTURES = 200  # distinct pictures; a file is one of them with its own number behind the end of the image
SPLITS = np.array(["train", "train", "train", "val", "test"])
# What a class's middle is away from the others': heads get about two images of three right, as on WikiArt's genres.
SPREAD = 0.32
# The parts of find_outliers as its module names them, and what the table calls them.
PARTS = {
    "load_labelled_features": "read the tables",
    "out_of_sample_probabilities": "folds",
    "standardised": "standardise",
    "nearest_neighbours": "neighbours",
    "list_outliers": "kinds of outlier",
    "measure_images": "how pictures look",
    "find_clusters": "clusters",
    "find_traits": "traits",
    "write_table": "write the tables",
}


def main() -> None:
    """Measure each size in a process of its own; the collections are made before any clock runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[10_000, 81_446, 100_000])
    parser.add_argument("--epochs", type=int, default=10, help="that the target's head took (default 10)")
    parser.add_argument("--side", type=int, default=256, help="longer side of the made-up JPEGs (default 256 pixels)")
    parser.add_argument("--folder", type=Path, help="where collections are made and kept (default: none is kept)")
    parser.add_argument("--later", action="store_true", help="as for a later target: pictures have been looked at")
    parser.add_argument("--make-only", action="store_true", help="make the collections, measure nothing")
    parser.add_argument("--n-jobs", type=int, default=-1)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure, options.n_jobs, later=options.later)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        for count in options.images:
            root = folder / f"{count}-{options.epochs}-{options.side}"
            if not (root / "done").exists():
                make_collection(root, count, options.side, options.epochs)
                (root / "done").touch()
            if options.later:
                look(root, options.n_jobs)
        if options.make_only:
            return
        print(f"{'images':>8}  {'part':<34}{'seconds':>9}{'ms/image':>10}")
        for count in options.images:
            root = folder / f"{count}-{options.epochs}-{options.side}"
            command = [sys.executable, __file__, "--measure", str(root), "--n-jobs", str(options.n_jobs)]
            subprocess.run(command + ["--later"] * options.later, check=True)


def look(root: Path, n_jobs: int) -> None:
    """Measure how the pictures look, as the run for an earlier target has."""
    table = pd.read_csv(root / "splits.csv", dtype=str, keep_default_na=False)
    with parallel_backend(ParallelSettings(n_jobs=n_jobs)):
        measure_images(table, ImageFolder(root / "images"), kept=root / LOOKS)


def measure(root: Path, n_jobs: int, *, later: bool) -> None:
    """Run find_outliers for a collection's first target, or for a later one."""
    seconds: dict[str, float] = defaultdict(float)
    if not later:
        (root / LOOKS).unlink(missing_ok=True)
    with parallel_backend(ParallelSettings(n_jobs=n_jobs)), timed_parts(seconds), peak_memory() as peak:
        started = time.perf_counter()
        summary = run.find_outliers(
            target=TARGET, settings=OutlierSettings(), features=root / "features", splits=root / "splits.csv",
            head=root / "head", destination=root / "reports", n_jobs=n_jobs,
            images=run.ImagesToMeasure(ImageFolder(root / "images"), root / LOOKS),
        )  # fmt: skip
        total = time.perf_counter() - started
    for name in PARTS.values():
        line(root, name, seconds[name])
    line(root, "all else", total - sum(seconds.values()))
    if not later:
        line(root, "all, for the first target", total)
    line(root, "all, for a later target", total - seconds[PARTS["measure_images"]])
    print(f"{count_of(root):>8}  peak memory, children included: {max(peak) / 2**30:.2f} GiB")
    everyone = pd.read_csv(root / "reports" / "out_of_sample.csv", keep_default_na=False)
    right = (everyone["y_true"] == everyone["y_pred"]).mean()
    print(f"{'':>8}  {right:.0%} right out of sample; {summary.splitlines()[0]}\n", flush=True)


def line(root: Path, name: str, seconds: float) -> None:
    """Print one row."""
    print(f"{count_of(root):>8}  {name:<34}{seconds:>9.1f}{1000 * seconds / count_of(root):>10.2f}", flush=True)


def count_of(root: Path) -> int:
    """The number of images is the first part of a collection's folder."""
    return int(root.name.partition("-")[0])


@contextmanager
def timed_parts(seconds: dict[str, float]) -> Iterator[None]:
    """Add up what every call of a part takes."""
    before = {part: getattr(run, part) for part in PARTS}

    def timed(part: str) -> Callable:
        def call(*arguments: object, **named: object) -> object:
            started = time.perf_counter()
            try:
                return before[part](*arguments, **named)
            finally:
                seconds[PARTS[part]] += time.perf_counter() - started

        return call

    for part in PARTS:
        setattr(run, part, timed(part))
    try:
        yield
    finally:
        for part, function in before.items():
            setattr(run, part, function)


@contextmanager
def peak_memory(every_s: float = 0.2) -> Iterator[list[int]]:
    """Bytes of this process and its children, shared pages counted once (PSS), sampled."""
    found, ended, own = [0], threading.Event(), psutil.Process()

    def watch() -> None:
        while not ended.wait(every_s):
            total = 0
            for process in (own, *own.children(recursive=True)):
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:  # it has just ended
                    continue
            found.append(total)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield found
    finally:
        ended.set()
        watcher.join()


def make_collection(root: Path, count: int, side: int, epochs: int) -> None:
    """Write what the other stages would have written of `count` images."""
    rng = np.random.default_rng(0)
    images = [f"painter-{i % 997:03}/a-painting-with-a-title-{i:06}.jpg" for i in range(count)]
    keys = write_pictures(root / "images", images, side, rng)
    labels = {
        target: rng.choice(classes, count, p=np.linspace(3, 1, classes) / np.linspace(3, 1, classes).sum())
        for target, classes in CLASSES.items()
    }
    named = {target: [f"{target} {k:02}" for k in codes] for target, codes in labels.items()}
    table = pd.DataFrame({"image": images} | named)
    groups = [f"g{i:06}" for i in range(count)]
    groups[1::50] = groups[0::50][: len(groups[1::50])]  # one picture in fifty has a copy
    table = table.assign(
        year=rng.integers(1500, 1950, count).astype(str), sha256=keys, width=side, height=side * 3 // 4, mode="RGB",
        group=groups, split=SPLITS[np.arange(count) % 5],
    )  # fmt: skip
    table.loc[rng.random(count) < 0.3, "artist"] = ""
    write_table(table, root / "splits.csv")
    adopt(root / "splits.csv", SPLIT_IMAGES)
    make_features(root, images, keys, labels[TARGET], rng)
    make_head(root, epochs)


def write_pictures(root: Path, images: list[str], side: int, rng: np.random.Generator) -> list[str]:
    """Make the JPEGs, each of other bytes, as every file is looked at by its SHA-256; these, per image."""
    made = []
    for _ in range(PICTURES):
        coarse = rng.integers(0, 256, (side // 10, side // 8, 3), dtype=np.uint8)
        picture, encoded = Image.fromarray(coarse).resize((side, side * 3 // 4), Image.Resampling.BICUBIC), io.BytesIO()
        picture.save(encoded, "JPEG", quality=90)
        made.append(encoded.getvalue())
    for folder in {Path(image).parent for image in images}:
        (root / folder).mkdir(parents=True, exist_ok=True)
    keys = []
    for number, image in enumerate(images):
        content = made[number % PICTURES] + number.to_bytes(8, "little")
        (root / image).write_bytes(content)
        keys.append(hashlib.sha256(content).hexdigest())
    return keys


def make_features(root: Path, images: list[str], keys: list[str], labels: np.ndarray, rng: np.random.Generator) -> None:
    """Publish features as a ReLU network's, through the real cache: classes differ in a few dimensions, and overlap."""
    centres = SPREAD * rng.standard_normal((CLASSES[TARGET], LATENT)).astype(np.float32)
    mixing = rng.standard_normal((LATENT, CHANNELS)).astype(np.float32) / np.sqrt(LATENT)
    store = FeatureStore(root / "store", {"arch": "made up", "tokens": 1}, (VIEWS, 1, CHANNELS))
    with store.writer() as writer:
        for start in range(0, len(keys), BLOCK):
            part = centres[labels[start : start + BLOCK]]
            part = part + rng.standard_normal(part.shape, dtype=np.float32)
            views = part[:, None] + 0.3 * rng.standard_normal((len(part), VIEWS, LATENT), dtype=np.float32)
            values = np.maximum(views @ mixing + 0.3 * rng.standard_normal((len(part), VIEWS, CHANNELS)), 0)
            writer.append(keys[start : start + BLOCK], values[:, :, None].astype(np.float16))
    publish(store, keys, images, root / "features")
    adopt(root / "features" / "features.h5", FEATURES)
    for shard in store.folder.iterdir():
        if shard.is_file():
            shard.unlink()


def make_head(root: Path, epochs: int) -> None:
    """A head that has learned nothing: of it, find-outliers reads the settings and the number of epochs."""
    data = load_labelled_features(TARGET, features=root / "features", splits=root / "splits.csv")
    head = build_head(Recipe().head, channels=CHANNELS, classes=len(data.classes))
    card = {
        "target": TARGET, "classes": data.classes, "shape": list(data.features.shape[1:]),
        "fingerprint": data.fingerprint, "labels_sha256": data.digest("train", "val"), "temperature": 1.0,
        "epoch": epochs, "settings": Recipe().model_dump(),
    }  # fmt: skip
    save_head(root / "head", head.state_dict(), card)
    adopt(root / "head" / "head.json", HEAD_CARD, "head")
    adopt(root / "head" / "head.safetensors", HEAD_WEIGHTS, "head")


if __name__ == "__main__":
    main()
