"""Measure whether the memory of `pipeline extract-features` grows with the number of images.

    python benchmarks/memory.py [--images 100000] [--folder FOLDER]

The whole stage runs (read, check, decode, transform, forward, store, publish) on distinct tiny images. A function that
rearranges pixels replaces the backbone, so that a hundred thousand images take minutes. Out: the process's memory over
the run, resident and not mapped from a file, in MiB. The part that grows is the writer's set of known keys.
"""

import argparse
import hashlib
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
from torch import nn

from stages.backbone.prepare_backbone import prepare_backbone
from stages.backbone.settings import BackboneSettings
from stages.core.extraction.settings import FeatureSettings
from stages.core.images.files import ImageFolder
from stages.core.records.outputs import adopt
from stages.core.tables.columns import SPLIT_IMAGES
from stages.extract import extract_features as run

SIDE = 32
PARTS = 10


class StandIn(nn.PixelUnshuffle):
    """Blocks of 8 x 8 pixels become 192 channels."""

    crop_px = resize_px = SIDE

    def forward_features(self, inputs):
        return self(inputs)


def stand_in() -> nn.Module:
    return StandIn(8)


def main() -> None:
    """Write the images, extract them, and print the peak memory of each tenth of the run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000, help="default: %(default)s")
    parser.add_argument("--folder", type=Path, help="where temporary files go (default: the system's)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        paint(arguments.images, folder)
        features = FeatureSettings(views=1, tokens=1, precision="fp32", shard_mib=4)
        shared = {"splits": folder / "splits.csv", "images": ImageFolder(folder / "images")}
        weights = folder / "backbone.safetensors"
        # This file's folder is where Python looks for modules, so it can name itself.
        prepare_backbone(
            settings=BackboneSettings(arch="memory:stand_in"), features=features, weights=weights, **shared
        )
        with Watch() as watch:
            publish = run.publish
            run.publish = lambda *arguments: watch.mark() or publish(*arguments)
            summary = run.extract_features(
                settings=features,
                arch="memory:stand_in",
                backbone=weights,
                store=folder / "store",
                destination=folder / "features",
                **shared,
            )
    print(f"{summary.partition(':')[0]}, in {watch.seconds[-1]:.0f} s\n")
    report(watch, arguments.images)


def report(watch: "Watch", count: int) -> None:
    end = watch.marked
    print(f"{'part of the run':<24}{'most memory, MiB':>18}")
    for part in range(PARTS):
        most = watch.most(end * part / PARTS, end * (part + 1) / PARTS)
        print(f"{f'{100 * part // PARTS} to {100 * (part + 1) // PARTS} %':<24}{most / 2**20:>18.0f}")
    print(f"{'publishing':<24}{watch.most(end, watch.seconds[-1]) / 2**20:>18.0f}")
    growth = watch.most(0.9 * end, end) - watch.most(0.1 * end, 0.2 * end)
    print(f"\nfrom the second tenth to the last: {growth / 2**20:+.0f} MiB, {growth / count:+.0f} bytes per image")


def paint(count: int, folder: Path) -> None:
    """Write `count` distinct images, 1,000 to a folder, and the table of split."""
    rows, generator = ["image,sha256,split"], np.random.default_rng(0)
    for number in range(count):
        name = f"{number // 1000:03d}/{number:06d}.ppm"
        encoded = b"P6 %d %d 255\n" % (SIDE, SIDE) + generator.bytes(3 * SIDE * SIDE)
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded)
        rows.append(f"{name},{hashlib.sha256(encoded).hexdigest()},train")
    (folder / "splits.csv").write_text("\n".join(rows) + "\n")
    adopt(folder / "splits.csv", SPLIT_IMAGES)


class Watch:
    """Records this process's memory fifty times a second for the duration of a block."""

    def __init__(self) -> None:
        self.marked = 0.0
        self.seconds: list[float] = []
        self.bytes: list[int] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> "Watch":
        self._started = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        process = psutil.Process()
        while not self._done.wait(0.02):
            memory = process.memory_info()
            self.bytes.append(memory.rss - getattr(memory, "shared", 0))
            self.seconds.append(time.monotonic() - self._started)

    def mark(self) -> None:
        """Mark this moment."""
        self.marked = time.monotonic() - self._started

    def most(self, start: float, end: float) -> int:
        """Peak memory between two moments, in bytes."""
        return max(b for b, second in zip(self.bytes, self.seconds, strict=True) if start <= second <= end)


if __name__ == "__main__":
    main()
