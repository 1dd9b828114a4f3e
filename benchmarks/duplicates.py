"""Measure how well clean finds duplicates: variants planted among a folder's images, over a sweep of thresholds.

In: a folder of images. Out: a table of recall per kind of variant, of precision among the pairs found, and of the
folder's own pairs. Then the own pairs nearest to the threshold; --sheet draws them, to be judged by eye.

    python benchmarks/duplicates.py IMAGE_ROOT --originals 800 --sheet nearest.png
"""

import argparse
import io
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import joblib
import numpy as np
from PIL import Image, ImageDraw, ImageOps

from stages.clean.hashes import BYTES_PER_VIEW, WORDS_PER_VIEW, hash_picture
from stages.clean.near import PictureHashes, fine_distance, near_pairs
from stages.clean.settings import CleanSettings

COARSE = (0, 2, 4, 6, 8, 10)
FINE = (24, 32, 40, 48, 56, 64, 72, 80)
CELL_PX = 150


def main() -> None:
    """Plant, hash, sweep, print."""
    arguments = parse()
    paths = sorted(path for path in arguments.root.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    rng = random.Random(arguments.seed)
    chosen = sorted(rng.sample(range(len(paths)), min(arguments.originals, len(paths))))
    tasks = [(path, f"{arguments.seed}-{row}" if row in set(chosen) else None) for row, path in enumerate(paths)]
    found = joblib.Parallel(n_jobs=arguments.n_jobs)(joblib.delayed(hash_with_variants)(*task) for task in tasks)
    images = [(row, "", hashes["original"]) for row, hashes in enumerate(found)]
    images += [(row, kind, hashes[kind]) for row, hashes in enumerate(found) for kind in hashes if kind != "original"]
    hashes = as_hashes([one for _, _, one in images])
    print(f"{len(paths)} images, {len(chosen)} of them with {len(PLANTED)} variants each, seed {arguments.seed}")
    print_sweep(hashes, [(row, kind) for row, kind, _ in images], len(paths), len(chosen))
    pairs = nearest_pairs(hashes, len(paths))
    print_nearest(pairs, paths)
    if arguments.sheet:
        draw_nearest(pairs, paths, arguments.sheet)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, metavar="IMAGE_ROOT")
    parser.add_argument("--originals", type=int, default=800, help="images that get variants")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--sheet", type=Path, help="write a picture of the own pairs nearest to the threshold")
    return parser.parse_args()


def as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    """Encode as JPEG and decode again."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue()))


def cropped(image: Image.Image, rng: random.Random, most: float) -> Image.Image:
    """Cut a different share, up to `most`, off every edge, and encode again."""
    width, height = image.size
    left, top, right, bottom = (rng.uniform(0, most) for _ in range(4))
    box = (left * width, top * height, width * (1 - right), height * (1 - bottom))
    return as_jpeg(image.crop(tuple(map(round, box))), rng.randint(60, 92))


def one_edge_cropped(image: Image.Image, rng: random.Random, share: float) -> Image.Image:
    """Cut `share` off one edge, as one removes a signature or a watermark."""
    width, height = image.size
    box = [0, 0, width, height]
    edge = rng.randrange(4)
    box[edge] += round((width, height)[edge % 2] * share) * (1 if edge < 2 else -1)
    return as_jpeg(image.crop(tuple(box)), rng.randint(60, 92))


def letterboxed(image: Image.Image, rng: random.Random) -> Image.Image:
    """Add bars on two sides or a frame, 3 to 20 % of the side wide, in black, white or dark grey."""
    width, height = image.size
    bar = [rng.uniform(0.03, 0.2) * side for side in (width, height)]
    shape = rng.randrange(3)
    border = (round(bar[0]) if shape != 0 else 0, round(bar[1]) if shape != 1 else 0)
    return as_jpeg(ImageOps.expand(image, border, rng.choice(["black", "white", "#181818"])), rng.randint(60, 92))


def resized(image: Image.Image, rng: random.Random) -> Image.Image:
    """Resize to between a third and twice the size."""
    scale = rng.uniform(0.35, 2)
    size = [max(40, round(side * scale)) for side in image.size]
    return as_jpeg(image.resize(size, Image.Resampling.BICUBIC), 85)


PLANTED: dict[str, Callable[[Image.Image, random.Random], Image.Image]] = {
    "re-encoded": lambda image, rng: as_jpeg(image, rng.randint(25, 85)),
    "resized": resized,
    "cropped to 2 %": lambda image, rng: cropped(image, rng, 0.02),
    "cropped to 4 %": lambda image, rng: cropped(image, rng, 0.04),
    "cropped to 8 %": lambda image, rng: cropped(image, rng, 0.08),
    "one edge less 4 %": lambda image, rng: one_edge_cropped(image, rng, 0.04),
    "letterboxed": letterboxed,
}


def hash_with_variants(path: Path, seed: str | None) -> dict[str, bytes]:
    """Hash an image and, given a seed, every variant of it."""
    with Image.open(path) as image:
        image.load()
        hashes = {"original": hash_picture(image)}
        if seed is not None:
            rgb = image.convert("RGB")
            hashes |= {kind: hash_picture(make(rgb, random.Random(f"{seed}-{kind}"))) for kind, make in PLANTED.items()}
    return hashes


def as_hashes(found: list[bytes]) -> PictureHashes:
    """Build the arrays that the index takes."""
    owner = np.repeat(np.arange(len(found)), [len(one) // BYTES_PER_VIEW for one in found])
    return PictureHashes.from_words(owner, np.frombuffer(b"".join(found), np.uint64).reshape(-1, WORDS_PER_VIEW))


def print_sweep(hashes: PictureHashes, images: list[tuple[int, str]], originals: int, planted: int) -> None:
    """Print recall per kind of variant, and the precision of the pairs found.

    Pairs of two originals are the folder's own, true or not. Pairs that only variants link are wrong.
    """
    sources = np.array([row for row, _ in images])
    heads = "".join(f"{kind:>18}" for kind in (*PLANTED, "planted in all"))
    print(f"{'bits':>5}{'confirm':>9}{heads}{'wrong':>7}{'precision':>11}{'own pairs':>11}")
    for coarse, fine in sweep():
        first, second = near_pairs(hashes, max_bits=coarse, confirm_bits=fine)
        same = sources[first] == sources[second]
        hits = {kind: 0 for kind in PLANTED}
        for a, b in zip(first[same], second[same], strict=True):
            if a < originals:
                hits[images[b][1]] += images[b][1] != ""
        own = int((~same & (second < originals)).sum())
        pairs = {tuple(sorted(pair)) for pair in zip(sources[first[~same]], sources[second[~same]], strict=True)}
        wrong = len(pairs) - own
        right = sum(hits.values())
        shares = [count / planted for count in hits.values()] + [right / planted / len(PLANTED)]
        recall = "".join(f"{share:>18.3f}" for share in shares)
        print(f"{coarse:>5}{fine:>9}{recall}{wrong:>7}{right / max(1, right + wrong):>11.4f}{own:>11}")


def sweep() -> Iterator[tuple[int, int]]:
    """Vary each threshold while the other keeps its default."""
    default = CleanSettings()
    yield from ((coarse, default.confirm_bits) for coarse in COARSE)
    yield from ((default.near_duplicate_bits, fine) for fine in FINE)


def nearest_pairs(hashes: PictureHashes, originals: int, count: int = 24) -> list[tuple[int, int, int, bool]]:
    """Own pairs around the threshold, ascending: bits of the fine hash, the two rows, whether the pair is found."""
    default = CleanSettings()
    limits = {"max_bits": default.near_duplicate_bits, "confirm_bits": default.confirm_bits}
    found = set(zip(*map(np.ndarray.tolist, near_pairs(hashes, **limits)), strict=True))
    first, second = near_pairs(hashes, max_bits=11, confirm_bits=default.confirm_bits + 40)
    rows = [
        (int(fine_distance(hashes, a, np.array([b]))[0]), int(a), int(b), (int(a), int(b)) in found)
        for a, b in zip(first, second, strict=True)
        if b < originals
    ]
    inside = sorted((row for row in rows if row[3]), reverse=True)[: count // 2]
    return sorted(inside + sorted(row for row in rows if not row[3])[: count // 2])


def print_nearest(pairs: list[tuple[int, int, int, bool]], paths: list[Path]) -> None:
    """Print the pairs without their names."""
    print("\nown pairs nearest to the threshold, of 256 bits of the finer hash")
    for bits, a, b, found in pairs:
        folders = "one folder" if paths[a].parent == paths[b].parent else "two folders"
        equal = "equal bytes" if paths[a].read_bytes() == paths[b].read_bytes() else "other bytes"
        print(f"{bits:>4}  {'one picture' if found else 'two pictures':<14}{equal:<13}{folders}")


def draw_nearest(pairs: list[tuple[int, int, int, bool]], paths: list[Path], sheet: Path) -> None:
    """Draw the pairs, each next to its distance."""
    canvas = Image.new("RGB", (4 * (2 * CELL_PX + 20), -(-len(pairs) // 4) * (CELL_PX + 20)), "white")
    for place, (bits, a, b, found) in enumerate(pairs):
        x, y = place % 4 * (2 * CELL_PX + 20), place // 4 * (CELL_PX + 20)
        caption = f"{bits} of 256 bits, {'one picture' if found else 'two pictures'}"
        ImageDraw.Draw(canvas).text((x + 4, y + 2), caption, fill="black")
        for shift, row in ((0, a), (CELL_PX, b)):
            with Image.open(paths[row]) as image:
                canvas.paste(ImageOps.contain(image.convert("RGB"), (CELL_PX - 6, CELL_PX - 6)), (x + shift, y + 16))
    canvas.save(sheet)


if __name__ == "__main__":
    main()
