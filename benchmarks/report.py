"""Measure the report at a collection's size: time per page and for the map's coordinates, and the size of the pages.

In: nothing; images, features and results are synthetic. Out: a table of wall and processor
seconds per page and per 1,000 images; with --browser, how long a frame of the map takes in headless Chromium.

    python benchmarks/report.py --images 10000 81446 100000 --browser
"""

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from cache import FeatureStore, publish
from stages.core.features.artefact import FEATURES
from stages.core.images.files import ImageFolder
from stages.core.records.outputs import adopt
from stages.core.tables.csv_files import write_table
from stages.report.coordinates import write_coordinates
from stages.report.data_page import write_data_page
from stages.report.index_page import write_index
from stages.report.inputs import ReportInputs
from stages.report.map_page import write_map
from stages.report.settings import ReportSettings
from stages.report.target_page import write_target_page

TARGETS = {"style": 27, "genre": 10, "artist": 23}
KINDS = ("suspect_label", "low_confidence", "out_of_distribution")
CHANNELS, BLOCK = 2048, 4096
PICTURES = 200  # distinct files; the others are links to them
SPLITS = np.array(["train", "train", "train", "val", "test"])


def main() -> None:
    """Make the collections, write their reports, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[10_000, 81_446, 100_000])
    parser.add_argument("--side", type=int, default=400, help="longer side of the made-up JPEGs (default 400 pixels)")
    parser.add_argument("--n-jobs", type=int, default=-1)
    parser.add_argument("--browser", action="store_true", help="measure the map in headless Chromium, too")
    options = parser.parse_args()
    print(f"{'images':>8}  {'page':<14}{'seconds':>9}{'CPU s':>9}{'ms/image':>10}{'MB':>8}")
    for count in options.images:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            make_collection(root, count, options.side)
            write_all(root, count, options.n_jobs)
            if options.browser:
                times = frame_times(root / "reports/map.html")
                print(f"{count:>8}  {'map, a frame':<14}{statistics.median(times):>9.1f} ms median of {len(times)}, "
                      f"95 % within {np.percentile(times, 95):.1f} ms", flush=True)  # fmt: skip


def write_all(root: Path, count: int, n_jobs: int) -> None:
    """Write every page as `pipeline report` does, and print the time of each."""
    reports, data = root / "reports", root / "data"
    inputs = ReportInputs(
        images=ImageFolder(root / "images"),
        manifest=data / "manifest.csv",
        ingest_problems=data / "ingest_problems.csv",
        rejected=data / "rejected.csv",
        conflicts=data / "conflicts.csv",
        splits=data / "splits.csv",
        split_report=data / "split_report.json",
        backbone=root / "models/backbone.json",
        features=data / "features",
        heads=root / "models/heads",
        results=reports,
        coordinates=reports / "coordinates.csv",
        answer_key=None,
    )
    shared = {"settings": ReportSettings(), "inputs": inputs, "destination": reports, "n_jobs": n_jobs}
    targets = list(TARGETS)
    place = partial(write_coordinates, random_state=0, features=inputs.features, destination=inputs.coordinates)
    steps: dict[str, tuple[Callable[[], object], Path]] = {"coordinates": (place, inputs.coordinates)}
    for target in TARGETS:
        steps[target] = partial(write_target_page, target=target, **shared), reports / f"pages/{target}.html"
    steps["data"] = partial(write_data_page, targets=targets, **shared), reports / "data.html"
    steps["map"] = partial(write_map, targets=targets, **shared), reports / "map.html"
    steps["index"] = partial(write_index, targets=targets, **shared), reports / "index.html"
    wall, cpu = time.perf_counter(), time.process_time()
    for name, (step, page) in steps.items():
        start, busy = time.perf_counter(), time.process_time()
        step()
        line(count, name, time.perf_counter() - start, time.process_time() - busy, page.stat().st_size / 1e6)
    line(count, "all", time.perf_counter() - wall, time.process_time() - cpu, 0)


def line(count: int, name: str, seconds: float, cpu: float, megabytes: float) -> None:
    """Print one row."""
    print(f"{count:>8}  {name:<14}{seconds:>9.1f}{cpu:>9.1f}{1000 * cpu / count:>10.2f}{megabytes:>8.1f}", flush=True)


def make_collection(root: Path, count: int, side: int) -> None:
    """Write the other stages' files for `count` synthetic images."""
    rng = np.random.default_rng(0)
    images = [f"painter-{i % 997:03}/a-painting-with-a-title-{i:06}.jpg" for i in range(count)]
    link_pictures(root / "images", images, side, rng)
    labels = {target: rng.integers(0, classes, count) for target, classes in TARGETS.items()}
    names = {target: np.array([f"{target} {k:02}" for k in range(classes)]) for target, classes in TARGETS.items()}
    keys = [f"{i:064x}" for i in range(count)]
    table = pd.DataFrame({"image": images, **{target: names[target][labels[target]] for target in TARGETS}})
    splits = table.assign(
        sha256=keys, width=side, height=side, mode="RGB", group=keys, split=SPLITS[np.arange(count) % 5]
    )
    write_table(splits, root / "data/splits.csv")
    write_table(table, root / "data/manifest.csv")
    write_table(pd.DataFrame(columns=["image", "reason", "detail"]), root / "data/rejected.csv")
    card = {"arch": "made up", "weights": "random"}
    write_json(root / "models/backbone.json", card)
    make_features(root, images, keys, labels["genre"], rng)
    for target in TARGETS:
        make_results(root, splits, target, names[target], rng)


def link_pictures(root: Path, images: list[str], side: int, rng: np.random.Generator) -> None:
    """Write a few hundred JPEG files and link every image's name to one of them."""
    made = []
    for number in range(PICTURES):
        coarse = rng.integers(0, 256, (side // 10, side // 8, 3), dtype=np.uint8)
        path = root / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(coarse).resize((side, side * 3 // 4), Image.Resampling.BICUBIC).save(path, quality=90)
        made.append(path)
    for folder in {Path(image).parent for image in images}:
        (root / folder).mkdir()
    for number, image in enumerate(images):
        os.link(made[number % PICTURES], root / image)


def make_features(root: Path, images: list[str], keys: list[str], groups: np.ndarray, rng: np.random.Generator) -> None:
    """Publish features that cluster by genre through the real cache."""
    centres = rng.standard_normal((TARGETS["genre"], CHANNELS)).astype(np.float32)
    store = FeatureStore(root / "store", {"arch": "made up", "tokens": 1}, (1, 1, CHANNELS))
    with store.writer() as writer:
        for start in range(0, len(keys), BLOCK):
            part = centres[groups[start : start + BLOCK]]
            part = part + 2 * rng.standard_normal(part.shape, dtype=np.float32)
            writer.append(keys[start : start + BLOCK], part[:, None, None].astype(np.float16))
    publish(store, keys, images, root / "data/features")
    adopt(root / "data/features" / "features.h5", FEATURES)
    shutil.rmtree(root / "store")


def make_results(root: Path, splits: pd.DataFrame, target: str, names: np.ndarray, rng: np.random.Generator) -> None:
    """Write predictions of which two thirds are right, their confusions, and a tenth of all images per kind."""
    folder, count = root / "reports" / target, len(splits)
    other = names[rng.integers(0, len(names), count)]
    y_pred = np.where(rng.random(count) < 0.65, splits[target], other)
    predictions = splits[["image", "sha256", "split"]].assign(
        y_true=splits[target], y_pred=y_pred, confidence=rng.random(count)
    )
    write_table(predictions, folder / "predictions.csv")
    write_table(predictions.assign(p_true=rng.random(count), cluster=""), folder / "out_of_sample.csv")
    test = predictions[predictions["split"] == "test"]
    confusion = pd.crosstab(test["y_true"], test["y_pred"]).reindex(index=names, columns=names, fill_value=0)
    write_table(confusion.rename_axis("y_true").reset_index(), folder / "confusion.csv")
    per_class = {"class": names, "precision": 0.6, "recall": 0.6, "f1": 0.6, "support": 9, "train_n": 27}
    write_table(pd.DataFrame(per_class), folder / "per_class.csv")
    scores = {
        "accuracy": 0.6,
        "f1_macro": 0.6,
        "f1_weighted": 0.6,
        "top3_accuracy": 0.8,
        "log_loss": 1.0,
        "n": len(test),
    }
    write_json(folder / "metrics.json", {"test": scores, "val": scores, "baselines": {}})
    write_json(root / "models/heads" / target / "head.json", {"target": target, "classes": names.tolist(), "epoch": 3})
    tables = []
    for kind in KINDS:
        rows = predictions.iloc[rng.permutation(count)[: count // 10]]
        near = [json.dumps(splits["image"].iloc[rng.integers(0, count, 5)].tolist()) for _ in range(len(rows))]
        tables.append(rows.assign(kind=kind, rank=range(1, len(rows) + 1), score=0.5, suggested="", reason="made up",
                                  neighbours=near))  # fmt: skip
    columns = ["image", "kind", "rank", "score", "y_true", "y_pred", "confidence", "suggested", "reason", "neighbours"]
    write_table(pd.concat(tables)[columns], folder / "outliers.csv")


def write_json(path: Path, content: dict) -> None:
    """Write a small JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def frame_times(page: Path, frames: int = 120) -> list[float]:
    """Milliseconds between frames while keys move and zoom the whole map, one key per frame."""
    from playwright.sync_api import sync_playwright

    script = """frames => new Promise(done => {
      const canvas = document.querySelector("canvas"), times = [], keys = ["ArrowRight", "+", "ArrowLeft", "-"];
      let last = 0;
      const step = now => {
        if (last) times.push(now - last);
        last = now;
        if (times.length === frames) return done(times);
        canvas.dispatchEvent(new KeyboardEvent("keydown", { key: keys[times.length % 4] }));
        requestAnimationFrame(step);
      };
      requestAnimationFrame(step);
    })"""
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        opened = browser.new_page(viewport={"width": 1400, "height": 1000})
        start = time.perf_counter()
        opened.goto(page.as_uri())
        opened.locator("#nearest-list .card").first.wait_for()
        print(f"{'':>8}  opened in {time.perf_counter() - start:.1f} s")
        times = opened.evaluate(script, frames)
        browser.close()
    return times


if __name__ == "__main__":
    main()
