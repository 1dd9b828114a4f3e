"""Compare the ways to turn a JPEG file into the crop that the backbone sees, on one core.

    python benchmarks/decode.py [--images FOLDER] [--side 1400]

Without a folder, the script writes noise with the statistics of photographs (its spectrum falls with the frequency), in
files of WikiArt's size. Contenders run in turns after a warm-up; a figure is the median of the rounds. With a GPU,
nvJPEG through torchvision takes part; compare it with all the cores together, not with one.
"""

import argparse
import hashlib
import io
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from torchvision.transforms import v2

from stages.core.images.files import ImageFolder
from stages.core.images.transform import Decoder, Transform
from stages.core.images.views import load_views

COUNT = 48
# Gives 300 kB: the mean of WikiArt, 81,446 files in 25 GB.
QUALITY = 76
Contender = Callable[[list[Path]], None]
TRANSFORM = Transform(resize_px=256, crop_px=224)


def main() -> None:
    """Run the contenders in turns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, help="folder of JPEG files (default: painted ones)")
    parser.add_argument("--side", type=int, default=1400, help="longer side of painted images (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        paths = gather(arguments, Path(name))
        keys = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
        contenders = {
            "file to crop, decoder: fast": one_by_one(lambda path: crop(path, keys[path], "fast")),
            "file to crop, decoder: exact": one_by_one(lambda path: crop(path, keys[path], "exact")),
            "Pillow, decoding alone": one_by_one(lambda path: Image.open(path).convert("RGB")),
            "torchvision, decoding alone": one_by_one(decode_by_torchvision),
        }
        if torch.cuda.is_available():
            contenders["file to crop, nvJPEG on the GPU"] = crop_by_nvjpeg
        sizes = [path.stat().st_size / 1000 for path in paths]
        shape = Image.open(paths[0]).size
        print(f"{len(paths)} JPEG files, the first {shape[0]} x {shape[1]}, median {statistics.median(sizes):.0f} kB\n")
        rates = measure(contenders, paths, arguments.rounds)
    plain = rates["Pillow, decoding alone"]
    print(f"{'one core':<32}{'images/s':>10}{'of Pillow':>11}")
    for title, values in rates.items():
        ratio = statistics.median(a / b for a, b in zip(values, plain, strict=True))
        print(f"{title:<32}{statistics.median(values):>10.0f}{ratio:>11.2f}")


def gather(arguments: argparse.Namespace, folder: Path) -> list[Path]:
    if arguments.images:
        return list(itertools.islice(sorted(arguments.images.rglob("*.jpg")), COUNT))
    return [imitate(folder / f"{number}.jpg", arguments.side, number) for number in range(COUNT)]


def imitate(path: Path, side: int, seed: int) -> Path:
    """Noise with the amplitudes of paintings, about 1 / frequency (Graham and Field 2007), 3 to 4 in shape."""
    height, width = side * 3 // 4, side
    generator = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf
    channels = []
    for _ in range(3):
        phases = np.exp(2j * np.pi * generator.random(frequency.shape))
        values = np.fft.irfft2(phases / frequency**1.25, s=(height, width))
        channels.append(128 + 45 * values / values.std())
    luma, blue, red = channels
    ycbcr = np.stack([luma, 128 + (blue - 128) / 4, 128 + (red - 128) / 4], axis=-1).clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(ycbcr, "YCbCr").convert("RGB").save(buffer, "JPEG", quality=QUALITY)
    path.write_bytes(buffer.getvalue())
    return path


def crop(path: Path, key: str, decoder: Decoder) -> np.ndarray:
    return load_views(ImageFolder(path.parent), path.name, key, replace(TRANSFORM, decoder=decoder))


def decode_by_torchvision(path: Path) -> torch.Tensor:
    return torchvision.io.decode_jpeg(torchvision.io.read_file(str(path)))


def crop_by_nvjpeg(paths: list[Path]) -> None:
    """Decode all files in one nvJPEG call; the crops stay on the GPU."""
    images = torchvision.io.decode_jpeg([torchvision.io.read_file(str(path)) for path in paths], device="cuda")
    for image in images:
        v2.functional.center_crop(v2.functional.resize(image, [TRANSFORM.resize_px]), [TRANSFORM.crop_px])
    torch.cuda.synchronize()


def one_by_one(decode: Callable[[Path], object]) -> Contender:
    def run(paths: list[Path]) -> None:
        for path in paths:
            decode(path)

    return run


def measure(contenders: dict[str, Contender], paths: list[Path], rounds: int) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {title: [] for title in contenders}
    for number in range(rounds + 1):
        for title, decode in contenders.items():
            started = time.perf_counter()
            decode(paths)
            if number:  # the first is the warm-up
                rates[title].append(len(paths) / (time.perf_counter() - started))
    return rates


if __name__ == "__main__":
    main()
