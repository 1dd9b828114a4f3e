"""Measure memory and seconds of decoding masters of hundreds of megapixels: this project, plain Pillow, pyvips.

In: nothing; the script makes a picture of 500 megapixels in several formats in a temporary folder. Out: per file, the
peak memory and the seconds of each way, each in a separate process. This project's is a decoding process with its
limits, which cuts the centre view of 224 px; the others give 256 px on the shorter side, or the reason why not.

    python benchmarks/masters.py --megapixels 500 [--folder FOLDER] [--pyvips PYTHON]
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from stages.clean.check_image import check_in_folder
from stages.clean.settings import CleanSettings
from stages.core.images.decoding.pool import Decoders
from stages.core.images.files import ImageFolder, ImageLimits, UnusableImage
from stages.core.images.large_file import digest_of
from stages.core.images.transform import Transform
from stages.core.images.views import load_views

MIB = 1024 * 1024
TRANSFORM = Transform(resize_px=256, crop_px=224)
# Cells of smooth colour, with the grain of a scan.
CELL_PX, GRAIN = 500, 6
PILLOW = """
import sys, time
from PIL import Image
Image.MAX_IMAGE_PIXELS = None
started = time.perf_counter()
image = Image.open(sys.argv[1]).convert("RGB")
image.resize((256 * image.width // image.height, 256), Image.Resampling.BILINEAR)
"""
PYVIPS = """
import sys, time
import pyvips
pyvips.cache_set_max(0)
started = time.perf_counter()
pyvips.Image.thumbnail(sys.argv[1], 100_000, height=256).write_to_memory()
"""
REPORT = """
seconds = time.perf_counter() - started
[peak] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(seconds, int(peak) / 1024)
"""


def main() -> None:
    """Make the files one after another, and decode each in every way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megapixels", type=int, default=500)
    parser.add_argument("--folder", type=Path, help="where the files are made and removed again")
    parser.add_argument("--pyvips", default=sys.executable, help="a Python that has pyvips; this one by default")
    arguments = parser.parse_args()
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)  # decoding processes import this module
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        picture = painted(arguments.megapixels)
        print(f"{picture.width} x {picture.height} pixels; seconds and peak memory in MiB", flush=True)
        for name, write in WRITERS.items():
            path = Path(folder) / name
            write(picture, path)
            print(f"{name} ({path.stat().st_size >> 20} MiB):", flush=True)
            for way, measure in ways(arguments.pyvips, picture.size).items():
                print(f"  {name}, {way}: {measure(path)}", flush=True)
            path.unlink()


def painted(megapixels: int) -> Image.Image:
    """A picture of 5 : 4 with colours and grain, the same in every run."""
    height = round((megapixels * 1e6 / 1.25) ** 0.5 / CELL_PX) * CELL_PX
    rng = np.random.default_rng(0)
    grain = rng.normal(0, GRAIN, (CELL_PX, CELL_PX, 1))
    picture = Image.new("RGB", (height * 5 // 4, height))
    for top in range(0, picture.height, CELL_PX):
        for left in range(0, picture.width, CELL_PX):
            corners = Image.fromarray(rng.integers(0, 256, (2, 2, 3), dtype=np.uint8))
            smooth = np.asarray(corners.resize((CELL_PX, CELL_PX), Image.Resampling.BICUBIC))
            picture.paste(Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)), (left, top))
    return picture


def save(picture: Image.Image, path: Path, **options: object) -> None:
    """Save with a large picture's guard off: this one is our own."""
    picture.save(path, **options)


def save_tiled(picture: Image.Image, path: Path, *, levels: bool) -> None:
    """Write a BigTIFF in tiles of 256 px, with or without the halved copies of a pyramid."""
    import tifffile

    with tifffile.TiffWriter(path, bigtiff=True) as file:
        reduced = False
        while True:
            options = {"subfiletype": 1} if reduced else {}
            file.write(np.asarray(picture), tile=(256, 256), compression="zlib", photometric="rgb", **options)
            if not levels or min(picture.size) < 512:
                return
            picture, reduced = picture.reduce(2), True


WRITERS: dict[str, Callable[[Image.Image, Path], None]] = {
    "baseline.jpg": partial(save, quality=90),
    "progressive.jpg": partial(save, quality=90, progressive=True),
    "progressive-444.jpg": partial(save, quality=90, progressive=True, subsampling=0),
    "raw-strips.tif": save,
    "raw-one-strip.tif": partial(save, strip_size=1 << 40),
    "lzw-strips.tif": partial(save, compression="tiff_lzw"),
    "tiles.tif": partial(save_tiled, levels=False),
    "pyramid.tif": partial(save_tiled, levels=True),
    "whole.png": partial(save, compress_level=1),
}


def ways(pyvips: str, size: tuple[int, int]) -> dict[str, Callable[[Path], str]]:
    """How a file is decoded, each giving seconds and memory as text."""
    found = {
        "this project's clean": partial(in_decoder, check, size),
        "this project's views": partial(in_decoder, cut, size),
        "plain Pillow": partial(in_process, sys.executable, PILLOW),
    }
    if subprocess.run([pyvips, "-c", "import pyvips"], capture_output=True, check=False).returncode == 0:
        found["pyvips"] = partial(in_process, pyvips, PYVIPS)
    return found


def check(images: ImageFolder, name: str) -> bytes:
    """Runs in a decoding process: what clean does with a file."""
    settings = CleanSettings(max_pixels=images.limits.max_pixels)
    return measured(lambda: check_in_folder(images, name, settings).reason)


def cut(images: ImageFolder, name: str) -> bytes:
    """Runs in a decoding process: what extraction does with a file."""

    def views() -> str:
        load_views(images, name, digest_of(images.read(name)), TRANSFORM)
        return ""

    return measured(views)


def measured(work: Callable[[], str]) -> bytes:
    """Seconds, peak memory of this process in MiB, and the reason why there is no result."""
    started = time.perf_counter()
    reason = work()
    seconds = time.perf_counter() - started
    peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024
    return json.dumps([seconds, peak, reason]).encode()


def in_decoder(task: Callable[[ImageFolder, str], bytes], size: tuple[int, int], path: Path) -> str:
    """Seconds and memory of a new decoding process, with the limits that it has for pictures of the size."""
    limits = ImageLimits(max_pixels=size[0] * size[1], timeout_s=600)
    with Decoders() as decoders:
        [answer] = decoders.decode(task, ImageFolder(path.parent, limits), [path.name])
    if isinstance(answer, UnusableImage):
        return str(answer)
    seconds, peak, reason = json.loads(answer)
    return reason or f"{seconds:.1f} s, {peak:.0f} MiB (limit {limits.memory_bytes // MIB})"


def in_process(python: str, code: str, path: Path) -> str:
    """Seconds and memory of a Python that runs the code."""
    done = subprocess.run([python, "-c", code + REPORT, path], capture_output=True, text=True, check=False)
    if done.returncode:
        return f"exit code {done.returncode}: {done.stderr.strip().splitlines()[-1:]}"
    seconds, peak = map(float, done.stdout.split())
    return f"{seconds:.1f} s, {peak:.0f} MiB"


if __name__ == "__main__":
    import masters  # under the name by which decoding processes find its functions

    masters.main()
