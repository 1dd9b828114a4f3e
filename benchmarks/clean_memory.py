"""Measure the memory of clean by number of rows, and whether its workers' memory grows while they decode.

In: nothing. The script paints small pictures and makes one hard link per row. As in a second run, the scan already
knows most rows, with synthetic hashes; the others are decoded. Out: peak memory of the stage's process and of its
workers, per number of rows. Each size runs in a separate process.

    python benchmarks/clean_memory.py 250000 1000000 --decoded 20000
"""

import argparse
import multiprocessing
import os
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import psutil
from duplicates_index import synthetic_hashes
from PIL import Image

from stages.clean.check_image import CheckedImage
from stages.clean.clean_images import clean_images
from stages.clean.scan_memory import ScanMemory, file_state
from stages.clean.settings import CleanSettings
from stages.core.records.outputs import adopt
from stages.core.tables.columns import MANIFEST

PER_FOLDER = 1000
LONG_AGO_S = 1_000_000_000
MIB = 2**20


def main() -> None:
    """Measure every size given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", type=int, nargs="+")
    parser.add_argument("--decoded", type=int, default=20_000, help="rows that are decoded, the others are known")
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where the files are made and removed again")
    arguments = parser.parse_args()
    processes = multiprocessing.get_context("spawn")
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            names = make_collection(Path(folder), rows, min(arguments.decoded, rows))
            pd.DataFrame({"image": names, "style": "x"}).to_csv(f"{folder}/manifest.csv", index=False)
            adopt(Path(folder) / "manifest.csv", MANIFEST)
            del names
            process = processes.Process(target=measure, args=(folder, rows, arguments.n_jobs))
            process.start()
            process.join()


def make_collection(folder: Path, rows: int, decoded: int) -> list[str]:
    """Write the files, and record all but the first `decoded` in the scan."""
    names = [f"{row // PER_FOLDER:05d}/{row:08d}.jpg" for row in range(rows)]
    for start in range(0, rows, PER_FOLDER):
        (folder / names[start]).parent.mkdir()
        original = folder / f"{start}.jpg"
        coarse = np.random.default_rng(start).integers(0, 256, (5, 6, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((96, 80), Image.Resampling.BICUBIC).save(original)
        os.utime(original, (LONG_AGO_S, LONG_AGO_S))
        for name in names[start : start + PER_FOLDER]:
            os.link(original, folder / name)
    with ScanMemory(folder / "scan.sqlite", folder, CleanSettings()) as cache:
        for start in range(decoded, rows, PER_FOLDER):
            part = names[start : start + PER_FOLDER]
            states = [file_state(folder, name) for name in part]
            cache.remember(zip(part, states, made_up_answers(start, len(part)), strict=True))
    return names


def made_up_answers(start: int, count: int) -> Iterator[str]:
    """Synthetic findings of `count` files, each with bars or without."""
    hashes = synthetic_hashes(count, seed=start)
    words = np.concatenate([hashes.coarse[..., None], hashes.fine], axis=-1).reshape(len(hashes.owner), -1)
    for row in range(count):
        views = words[np.searchsorted(hashes.owner, row) : np.searchsorted(hashes.owner, row, side="right")]
        yield CheckedImage(f"{start + row:064x}", 96, 80, "RGB", views.tobytes().hex()).to_json()


def measure(folder: str, rows: int, n_jobs: int) -> None:
    """Run the stage, and print its peak memory and that of its workers."""
    workers: list[tuple[float, float]] = []
    done = threading.Event()
    watcher = threading.Thread(target=watch_workers, args=(workers, done))
    before = peak_mib()
    watcher.start()
    started = time.perf_counter()
    tables = {name: Path(folder) / f"{name}.csv" for name in ("manifest", "clean", "rejected", "conflicts")}
    with joblib.parallel_config(backend="loky", n_jobs=n_jobs):
        summary = clean_images(
            settings=CleanSettings(), images=Path(folder), scan=Path(folder) / "scan.sqlite", **tables
        )
    elapsed = time.perf_counter() - started
    done.set()
    watcher.join()
    third = max(1, len(workers) // 3)
    early, late = (max(sum(held) for held in part) for part in (workers[third : 2 * third], workers[-third:]))
    print(
        f"{rows} rows: {elapsed:.0f} s, peak of the stage {peak_mib():.0f} MiB ({before:.0f} before it began);"
        f" workers and decoders together {early:.0f} MiB in the second third of the decoding, {late:.0f} in the last;"
        f" {summary.splitlines()[0]}",
        flush=True,
    )


def watch_workers(held: list[tuple[float, float]], done: threading.Event) -> None:
    """Record the memory of workers and decoders every half second while they run."""
    while not done.wait(0.5):
        resident = []
        for child in psutil.Process().children(recursive=True):
            try:
                resident.append(child.memory_info().rss / MIB)
            except psutil.NoSuchProcess:
                continue
        if resident:
            held.append(tuple(resident))


def peak_mib() -> float:
    """Peak memory of this process in MiB."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


if __name__ == "__main__":
    main()
