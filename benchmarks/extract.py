"""Compare `pipeline extract-features` with the network alone and with other programs.

    uv run --group benchmarks python benchmarks/extract.py [--images FOLDER] [--device cuda]

Without a folder, the script writes JPEG files. End to end means: read, decode, transform, forward, write to the disk.
Contenders run in turns after a warm-up; a figure is the median of the rounds, a ratio the median of the rounds' ratios.
The second table shows where the pipeline's time goes. Weights are random, which does not change the speed; their
batch-norm statistics are those of the images, so nothing overflows. Use `--count 50000` on a GPU.

The usual script and thingsvision run in separate processes. The networks alone share the pipeline's process, in which
glibc keeps freed memory; this makes the eager ones faster, too.
"""

import argparse
import hashlib
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from extract_networks import Rate
from extract_networks import contenders as networks
from extract_profile import print_profile
from PIL import Image

from stages.backbone.prepare_backbone import prepare_backbone
from stages.backbone.settings import BackboneSettings
from stages.core.device import choose_device, choose_precision
from stages.core.extraction.settings import FeatureSettings
from stages.core.images.files import ImageFolder
from stages.core.records.outputs import adopt
from stages.core.tables.columns import SPLIT_IMAGES
from stages.extract.extract_features import extract_features

PIPELINE = "pipeline extract-features"
SETTINGS = FeatureSettings(views=1, tokens=1)
FEW = 32  # images of the warm-up


def main() -> None:
    """Run the contenders and print the tables."""
    arguments = parse_arguments()
    device = choose_device()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = gather(arguments, folder / "images")
        contenders = {
            title: make()
            for title, make in {**networks(device), **end_to_end(folder, paths, device)}.items()
            if not any(word in title for word in arguments.skip)
        }
        rates = measure(contenders, len(paths), arguments.rounds)
        print(f"\n{describe(device, paths)}\n")
        report(rates)
        cores = os.cpu_count() if device.type == "cpu" else 1  # with a GPU, processes decode: they are not watched
        print_profile(lambda: contenders[PIPELINE](len(paths)), len(paths), cores)


def parse_arguments() -> argparse.Namespace:
    """Read the command line; `--device cpu` hides a GPU from everything that follows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, help="folder of JPEG files (default: painted ones)")
    parser.add_argument("--count", type=int, default=256, help="images per round (default: %(default)s)")
    parser.add_argument("--side", type=int, default=256, help="shorter side of painted images (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: the GPU where there is one")
    parser.add_argument("--skip", nargs="*", default=[], help="contenders to leave out, by a word of their name")
    arguments = parser.parse_args()
    if arguments.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    elif arguments.device == "cuda" and choose_device().type != "cuda":
        parser.error("torch sees no GPU here")
    return arguments


def gather(arguments: argparse.Namespace, folder: Path) -> list[Path]:
    """Collect the images in one folder, which every contender reads."""
    folder.mkdir()
    if arguments.images:
        found = itertools.islice(sorted(arguments.images.rglob("*.jpg")), arguments.count)
        for number, path in enumerate(found):
            (folder / f"{number:05d}.jpg").write_bytes(path.read_bytes())
    else:
        for number in range(arguments.count):
            coarse = np.random.default_rng(number).integers(0, 256, (24, 32, 3), dtype=np.uint8)
            size = (arguments.side * 4 // 3, arguments.side)
            Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(
                folder / f"{number:05d}.jpg", quality=90
            )
    return sorted(folder.iterdir())


def describe(device: torch.device, paths: list[Path]) -> str:
    side = statistics.median(min(Image.open(path).size) for path in paths)
    where = torch.cuda.get_device_name() if device.type == "cuda" else "no GPU used"
    precision = choose_precision("auto", device)
    about = f"{len(paths)} JPEG files, median shorter side {side:.0f} px; {os.cpu_count()} cores, {where}"
    return f"{about}; auto is {precision}"


def measure(contenders: dict[str, Rate], count: int, rounds: int) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {title: [] for title in contenders}
    for run in contenders.values():
        run(min(FEW, count))
    for _ in range(rounds):
        for title, run in contenders.items():
            rates[title].append(run(count))
    return rates


def report(rates: dict[str, list[float]]) -> None:
    alone = {title: values for title, values in rates.items() if title.startswith("network")}
    fastest = max(alone, key=lambda title: statistics.median(alone[title]))
    print(f"{'':<60}{'images/s':>10}{'of the fastest network':>24}{'pipeline is x times':>21}")
    for title, values in rates.items():
        of_fastest = statistics.median(a / b for a, b in zip(values, rates[fastest], strict=True))
        times = statistics.median(a / b for a, b in zip(rates[PIPELINE], values, strict=True))
        print(f"{title:<60}{statistics.median(values):>10.1f}{of_fastest:>24.2f}{times:>21.2f}")
    print(f"\nfastest network alone: {fastest}")


# End to end: from the files to features on the disk


def end_to_end(folder: Path, paths: list[Path], device: torch.device) -> dict[str, Callable[[], Rate]]:
    return {
        PIPELINE: lambda: our_pipeline(folder, paths, "auto"),
        f"{PIPELINE}, fp32": lambda: our_pipeline(folder, paths, "fp32"),
        "usual script (DataLoader, PIL, fp32, h5py)": lambda: usual_script(folder, paths, device),
        "thingsvision 2.7.3": lambda: thingsvision(folder, paths, device),
    }


def our_pipeline(folder: Path, paths: list[Path], precision: str) -> Rate:
    """Run the stage as the command does, into an empty store every time."""
    weights, number = folder / "backbone.safetensors", itertools.count()
    rows = [f"{path.name},{hashlib.sha256(path.read_bytes()).hexdigest()},train" for path in paths]
    shared = {"images": ImageFolder(paths[0].parent)}

    def listed(count: int) -> Path:
        splits = folder / f"splits-{count}.csv"
        splits.write_text("\n".join(["image,sha256,split", *rows[:count]]) + "\n")
        adopt(splits, SPLIT_IMAGES)
        return splits

    if not weights.exists():
        splits = listed(FEW)
        prepare_backbone(
            settings=BackboneSettings(weights="random"), features=SETTINGS, splits=splits, weights=weights, **shared
        )

    def run(count: int) -> float:
        root, splits = folder / f"ours-{precision}-{next(number)}", listed(count)
        started = time.perf_counter()
        extract_features(
            settings=SETTINGS.model_copy(update={"precision": precision}),
            arch="resnet101",
            splits=splits,
            backbone=weights,
            store=root / "store",
            destination=root / "features",
            **shared,
        )
        return len(rows[:count]) / (time.perf_counter() - started)

    return run


def usual_script(folder: Path, paths: list[Path], device: torch.device) -> Rate:
    """Run in a separate process; its clock starts before the network is built, as the pipeline's does."""
    script = Path(__file__).with_name("usual_extract.py")

    def run(count: int) -> float:
        arguments = [str(script), str(paths[0].parent), str(folder / "usual.h5"), device.type, str(count)]
        return rate_of([sys.executable, *arguments], os.environ, "the usual script failed")

    return run


def thingsvision(folder: Path, paths: list[Path], device: torch.device) -> Rate:
    """Run in a separate environment; its clock starts when the network is built."""
    command = ["uv", "run", "--no-project", "--python", "3.11", "--with", "thingsvision==2.7.3", "python"]
    script = Path(__file__).with_name("thingsvision_extract.py")

    def run(count: int) -> float:
        images = folder / f"images-{count}"
        images.mkdir(exist_ok=True)
        for path in paths[:count]:
            if not (images / path.name).exists():
                os.link(path, images / path.name)
        arguments = [*command, str(script), str(images), str(folder / "thingsvision"), device.type]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return rate_of(arguments, environment, "thingsvision failed, leave it out with --skip thingsvision")

    return run


def rate_of(command: list[str], environment: Mapping[str, str], failed: str) -> float:
    """Read the images per second, the last word of a script's output."""
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if answer.returncode:
        sys.exit(f"{failed}:\n{answer.stderr[-2000:]}")
    return float(answer.stdout.split()[-1])


if __name__ == "__main__":
    main()
