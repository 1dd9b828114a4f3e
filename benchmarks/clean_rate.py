"""How fast clean is, against decoding alone: the same files, once with Pillow in a plain loop, once by the whole stage.

In: a folder of images. Out: images a second of both and their ratio, several times in turn, since other work on the
machine disturbs single runs. No file is remembered between runs of the stage.

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
from PIL import Image

from stages.clean.run import clean_images
from stages.clean.settings import CleanSettings


def decode_alone(root: Path, names: list[str]) -> float:
    """Images a second that one core reads and decodes in full."""
    started = time.perf_counter()
    for name in names:
        with Image.open(io.BytesIO((root / name).read_bytes())) as image:
            image.load()
    return len(names) / (time.perf_counter() - started)


def whole_stage(root: Path, names: list[str], n_jobs: int) -> float:
    """Images a second that clean decodes, digests, hashes, groups and writes."""
    with tempfile.TemporaryDirectory() as folder, joblib.parallel_config(backend="loky", n_jobs=n_jobs):
        pd.DataFrame({"image": names, "style": "x"}).to_csv(f"{folder}/manifest.csv", index=False)
        tables = {name: Path(folder) / f"{name}.csv" for name in ("manifest", "clean", "rejected", "conflicts")}
        started = time.perf_counter()
        clean_images(settings=CleanSettings(), images=root, **tables)
        return len(names) / (time.perf_counter() - started)


def main() -> None:
    """Measure in turn and print."""
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
        ratios.append(stage / alone / arguments.n_jobs)
        print(f"decoding alone {alone:.1f} images/s, clean {stage:.1f} on {arguments.n_jobs}: ratio {ratios[-1]:.3f}")
    print(f"{len(names)} images, median ratio per core {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    main()
