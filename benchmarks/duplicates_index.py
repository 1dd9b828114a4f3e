"""Measure the time and memory of grouping duplicates after decoding, on synthetic hashes of a collection of any size.

The hashes are clustered as those of real pictures are. Each is one of a few thousand compositions with a quarter of its
bits flipped. One in fifty is a copy of another with a few bits flipped; one in ten has bars.

    python benchmarks/duplicates_index.py 81446 1000000
"""

import resource
import sys
import time

import numpy as np

from stages.clean.duplicates import group_duplicates
from stages.clean.hashes import CROPS, WORDS_PER_VIEW
from stages.clean.near import PictureHashes
from stages.clean.settings import CleanSettings

COMPOSITIONS = 4000
COPIES, BARRED = 0.02, 0.1
AT_ONCE = 20_000


def flips(rng: np.random.Generator, shape: tuple[int, ...], share: float) -> np.ndarray:
    """Random words in which about `share` of the bits are set; `share` is a power of 1/2."""
    words = rng.integers(0, 2**64, shape, dtype=np.uint64)
    for _ in range(round(-np.log2(share)) - 1):
        words &= rng.integers(0, 2**64, shape, dtype=np.uint64)
    return words


def synthetic_hashes(count: int, seed: int = 0) -> PictureHashes:
    """Hashes of `count` images; a tenth of them have a second view without bars."""
    rng = np.random.default_rng(seed)
    words_per_crop = WORDS_PER_VIEW // len(CROPS)
    compositions = rng.integers(0, 2**64, (COMPOSITIONS, 1, words_per_crop), dtype=np.uint64)
    barred = np.flatnonzero(rng.random(count) < BARRED)
    owner = np.sort(np.concatenate([np.arange(count), barred]))
    words = np.empty((len(owner), len(CROPS), words_per_crop), dtype=np.uint64)
    for start in range(0, len(owner), AT_ONCE):
        part = words[start : start + AT_ONCE]
        part[:] = compositions[rng.integers(0, COMPOSITIONS, len(part))]
        part ^= flips(rng, (len(part), 1, words_per_crop), 1 / 4)
        part[:, 1:] ^= flips(rng, part[:, 1:].shape, 1 / 16)
    copies = rng.choice(len(owner), round(COPIES * len(owner)), replace=False)
    words[copies] = words[rng.integers(0, len(owner), len(copies))]
    words[copies] ^= flips(rng, words[copies].shape, 1 / 64)
    return PictureHashes.from_words(owner, words.reshape(len(owner), -1))


def main() -> None:
    """Measure every size given."""
    settings = CleanSettings()
    for count in map(int, sys.argv[1:]):
        hashes = synthetic_hashes(count)
        digests = [f"{row:016x}" * 4 for row in range(count)]
        before = resource.getrusage(resource.RUSAGE_SELF)
        started = time.perf_counter()
        groups = group_duplicates(
            digests, hashes, max_bits=settings.near_duplicate_bits, confirm_bits=settings.confirm_bits
        )
        after = resource.getrusage(resource.RUSAGE_SELF)
        print(
            f"{count} images, {len(hashes.owner)} views: {time.perf_counter() - started:.1f} s"
            f" ({after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime:.1f} s of CPU),"
            f" {groups.near_pairs} near pairs, {count - len(set(groups.names))} images joined to others;"
            f" peak memory {after.ru_maxrss / 1024:.0f} MiB ({before.ru_maxrss / 1024:.0f} MiB before)",
            flush=True,
        )


if __name__ == "__main__":
    main()
