"""Compare the rate of clean with decoding alone: the same files through a plain Pillow loop and the whole stage.

In: a folder of images. Out: images per second of wall clock and per second of processor time, and the ratios, several
times in turns, because other work on the machine disturbs the clock. The stage keeps no findings between runs.

    python benchmarks/clean_rate.py IMAGE_ROOT --n-jobs 2 --repeats 5
"""

import argparse
import io
import statistics
import tempfile
import time
from pathlib import Path

import joblib
import pandas as pd
import psutil
from PIL import Image

from stages.clean.clean_images import clean_images
from stages.clean.settings import CleanSettings
from stages.core.records.outputs import adopt
from stages.core.tables.columns import MANIFEST


def processor_s() -> float:
    """Processor time of this process and all below it, so far."""
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in family)


def decode_alone(root: Path, names: list[str]) -> tuple[float, float]:
    """Images per second that one core reads and decodes in full, by the clock and by processor time."""
    started, used = time.perf_counter(), processor_s()
    for name in names:
        with Image.open(io.BytesIO((root / name).read_bytes())) as image:
            image.load()
    return len(names) / (time.perf_counter() - started), len(names) / (processor_s() - used)


def whole_stage(root: Path, names: list[str], n_jobs: int) -> tuple[float, float]:
    """The same rates for clean, which decodes, digests, hashes, groups and writes."""
    with tempfile.TemporaryDirectory() as folder, joblib.parallel_config(backend="loky", n_jobs=n_jobs):
        pd.DataFrame({"image": names, "style": "x"}).to_csv(f"{folder}/manifest.csv", index=False)
        adopt(Path(folder) / "manifest.csv", MANIFEST)
        tables = {name: Path(folder) / f"{name}.csv" for name in ("manifest", "clean", "rejected", "conflicts")}
        started, used = time.perf_counter(), processor_s()
        clean_images(settings=CleanSettings(), images=root, **tables)
        return len(names) / (time.perf_counter() - started), len(names) / (processor_s() - used)


def main() -> None:
    """Measure in turns and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, metavar="IMAGE_ROOT")
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    names = sorted(path.relative_to(arguments.root).as_posix() for path in arguments.root.rglob("*.jpg"))
    whole_stage(arguments.root, names[:64], arguments.n_jobs)  # workers start once
    ratios = []
    for _ in range(arguments.repeats):
        alone, stage = decode_alone(arguments.root, names), whole_stage(arguments.root, names, arguments.n_jobs)
        ratios.append((stage[0] / alone[0] / arguments.n_jobs, stage[1] / alone[1]))
        print(
            f"by the clock: decoding alone {alone[0]:.1f} images/s, clean {stage[0]:.1f} on {arguments.n_jobs},"
            f" per core {ratios[-1][0]:.3f}; by processor time: {alone[1]:.1f}, {stage[1]:.1f}, {ratios[-1][1]:.3f}",
            flush=True,
        )
    clock, processor = (statistics.median(column) for column in zip(*ratios, strict=True))
    print(f"{len(names)} images, median ratio per core {clock:.3f} by the clock, {processor:.3f} by processor time")


if __name__ == "__main__":
    main()
