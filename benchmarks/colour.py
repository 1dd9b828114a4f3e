"""Measure what `features.colour` changes on scans in a wide gamut, in pixels and in features, and what it costs.

    python benchmarks/colour.py                     scans made of painted pictures
    python benchmarks/colour.py --images FOLDER     scans made of your pictures, which are read as sRGB
    python benchmarks/colour.py --scans FOLDER      your scans with their own profiles

A made scan holds the colours of an sRGB picture in a wider space, with the profile that says so: `srgb` gives the
picture back, `as_stored` reads other colours. Networks: the trained EfficientNet-Lite0 of docs/own_backbone.py, and
ResNet-101 with seeded random weights whose batch norms are calibrated on the pictures. Costs are processor time on one
core; contenders run in turns after a warm-up, and a figure is the median of the rounds.
"""

import argparse
import io
import itertools
import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from icc_profiles import ADOBE_RGB, DISPLAY_P3, PROPHOTO, SRGB, Space, between_spaces, rgb_profile
from PIL import Image

from stages.backbone.calibrate import batch_norms, calibrate_batch_norm
from stages.backbone.weights import get_backbone
from stages.core.images.colour import conversion_of
from stages.core.images.files import ImageFolder, ImageLimits, UnusableImage, open_image
from stages.core.images.formats import IMAGE_SUFFIXES
from stages.core.images.rgb import to_rgb
from stages.core.images.transform import Colour, Decoder, Transform
from stages.core.images.views import cut_views
from stages.core.networks.feature_extractor import FeatureExtractor
from stages.demo.painter.artists import ARTISTS, GENRES
from stages.demo.painter.paint import paint
from stages.demo.plan import STYLES

REPOSITORY = Path(__file__).parents[1]
SPACES = {"Display P3": DISPLAY_P3, "Adobe RGB": ADOBE_RGB, "ProPhoto RGB": PROPHOTO}
NETWORKS = {
    "EfficientNet-Lite0, trained": ("docs.own_backbone:efficientnet_lite0", "auto"),
    "ResNet-101, random": ("resnet101", "random"),
}
TRANSFORM = Transform(resize_px=256, crop_px=224)
LONG_SIDE_PX, QUALITY = 1400, 90
CALIBRATION_IMAGES = 32
TIMED = 16
Scans = list[bytes]


def main() -> None:
    """Make or read the scans and print the two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, help="folder of pictures to make scans of (default: painted ones)")
    parser.add_argument("--scans", type=Path, help="folder of scans; those with a profile other than sRGB's are used")
    parser.add_argument("--count", type=int, default=64, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=9, help="default: %(default)s")
    arguments = parser.parse_args()
    sys.path.insert(0, str(REPOSITORY))  # for docs.own_backbone
    torch.set_num_threads(1)
    if arguments.scans:
        found, seen = read_scans(arguments.scans, arguments.count)
        print(f"{len(found)} of {seen} files have a profile other than sRGB's\n")
        sets, plain = {"scans": found}, {}
    else:
        pictures = gather(arguments.images, arguments.count)
        kind = f"of {arguments.images.name}" if arguments.images else "painted"
        print(f"{len(pictures)} pictures ({kind}), JPEG of {LONG_SIDE_PX} px\n")
        sets = {name: [scan_of(picture, space) for picture in pictures] for name, space in SPACES.items()}
        plain = {
            "no profile": [encode(picture, None) for picture in pictures],
            "sRGB": [scan_of(picture, SRGB) for picture in pictures],
        }
    if not any(sets.values()):
        return
    print_differences(sets)
    print_costs(plain | sets, arguments.rounds)


def gather(folder: Path | None, count: int) -> list[Image.Image]:
    """Pictures in sRGB, enlarged to one size."""
    if folder is None:
        pictures = [painted(number) for number in range(count)]
    else:
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
        chosen = paths[:: max(1, len(paths) // count)][:count]
        pictures = [to_rgb(Image.open(path)) for path in chosen]
    return [resized(picture) for picture in pictures]


def painted(number: int) -> Image.Image:
    rng = np.random.default_rng([0, number])
    artist, genre, style = (rng.choice(names) for names in ([one.name for one in ARTISTS], GENRES, list(STYLES)))
    return paint(rng, style=str(style), genre=str(genre), artist=str(artist))


def resized(picture: Image.Image) -> Image.Image:
    scale = LONG_SIDE_PX / max(picture.size)
    return picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC)


def scan_of(picture: Image.Image, space: Space) -> bytes:
    levels = between_spaces(np.asarray(picture), SRGB, space).round().astype(np.uint8)
    return encode(Image.fromarray(levels), rgb_profile(space))


def encode(picture: Image.Image, profile: bytes | None) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY, icc_profile=profile)
    return buffer.getvalue()


def read_scans(root: Path, count: int) -> tuple[Scans, int]:
    """Files whose profile changes their colours, and how many files were looked at."""
    folder, found, seen = ImageFolder(root), [], 0
    for path in sorted(path for path in root.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES):
        seen += 1
        try:
            if conversion_of(folder.open(str(path.relative_to(root)))) is not None:
                found.append(folder.read(str(path.relative_to(root))))
        except UnusableImage as problem:
            print(f"{path.name} is left out: {problem}")
        if len(found) == count:
            break
    return found, seen


def crop(scan: bytes, colour: Colour, decoder: Decoder = "fast") -> np.ndarray:
    return cut_views(open_image(scan, ImageLimits()), "", replace(TRANSFORM, colour=colour, decoder=decoder))[0]


def crops(scans: Scans, colour: Colour) -> np.ndarray:
    return np.stack([crop(scan, colour) for scan in scans])


def print_differences(sets: dict[str, Scans]) -> None:
    """What the setting changes, per set: in pixels, and per network in features."""
    pairs = {name: (crops(scans, "srgb"), crops(scans, "as_stored")) for name, scans in sets.items() if scans}
    print(f"{'srgb against as_stored':<34}{'mean difference':>16}{'of the worst picture':>22}")
    for name, (srgb, stored) in pairs.items():
        difference = np.abs(srgb.astype(float) - stored).mean(axis=(1, 2, 3))
        print(f"{'pixels: ' + name:<34}{difference.mean():>16.2f}{difference.max():>22.2f}")
    for title, (arch, weights) in NETWORKS.items():
        print(f"\n{'features':<44}{'cosine':>8}{'worst':>8}{'distance, of that of two pictures':>36}")
        extract = extractor(arch, weights, next(iter(pairs.values()))[0])
        for name, (srgb, stored) in pairs.items():
            a, b = extract(srgb), extract(stored)
            cosine = (a * b).sum(axis=1)
            others = (a @ a.T)[~np.eye(len(a), dtype=bool)]
            share = (1 - cosine).mean() / (1 - others).mean()
            print(f"{title + ': ' + name:<44}{cosine.mean():>8.4f}{cosine.min():>8.4f}{share:>36.3f}")
    print()


def extractor(arch: str, weights: str, pixels: np.ndarray):
    """A function from crops to pooled features of length 1."""
    backbone, _ = get_backbone(arch, weights, random_state=0, timeout_s=20)
    if weights == "random" and batch_norms(backbone.network):
        calibrate_batch_norm(backbone, [torch.from_numpy(pixels[:CALIBRATION_IMAGES])])
    network = FeatureExtractor(backbone, tokens=1)

    def extract(crops: np.ndarray) -> np.ndarray:
        parts = [network(part)[:, 0] for part in torch.from_numpy(crops).split(8)]
        features = torch.cat(parts).numpy().astype(np.float64)
        return features / np.linalg.norm(features, axis=1, keepdims=True)

    return extract


def print_costs(sets: dict[str, Scans], rounds: int) -> None:
    """Milliseconds from a file's bytes to its crop, with and without conversion."""
    for decoder in ("fast", "exact"):
        contenders = list(itertools.product(sets, ("as_stored", "srgb")))
        spent: dict[tuple[str, str], list[float]] = {contender: [] for contender in contenders}
        for number in range(rounds + 1):
            for name, colour in contenders if number % 2 else contenders[::-1]:
                scans = sets[name][:TIMED]
                started = time.process_time()
                for scan in scans:
                    crop(scan, colour, decoder)
                if number:  # the first is the warm-up
                    spent[name, colour].append(1000 * (time.process_time() - started) / len(scans))
        print(f"{'file to crop, decoder: ' + decoder:<34}{'as_stored, ms':>14}{'srgb, ms':>10}{'more, ms':>10}")
        for name in sets:
            stored, srgb = spent[name, "as_stored"], spent[name, "srgb"]
            more = statistics.median(a - b for a, b in zip(srgb, stored, strict=True))
            medians = f"{statistics.median(stored):>14.2f}{statistics.median(srgb):>10.2f}"
            print(f"{decoder + ', ' + name:<34}{medians}{more:>10.2f}")
        print()


if __name__ == "__main__":
    main()
