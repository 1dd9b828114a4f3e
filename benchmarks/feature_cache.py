"""How fast the feature cache reads, writes and opens, compared with other ways to keep the same features.

    uv run --group benchmarks python benchmarks/feature_cache.py

All contenders hold the same float16 features on the same disk and read the same shuffled batches, in turns within one
run, after a warm-up. A figure is the median of the rounds; a ratio is the median of the ratios in each round. What each
contender reads is compared once with what was written.
"""

import argparse
import hashlib
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import lmdb
import numpy as np

from cache import FeatureCache, FeatureStore, publish

BATCH = 256
PASSES = 10  # over all rows, as epochs of training
SHAPES = {"40,000 x 2,048": (40_000, 1, 1, 2048), "4,000 x 49 x 2,048": (4_000, 1, 49, 2048)}
Read = Callable[[np.ndarray], np.ndarray]


def main() -> None:
    """Run all three parts and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="measurements of every contender (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one measurement (default: %(default)s)")
    parser.add_argument("--only", choices=("read", "write", "open"), help="one part only")
    parser.add_argument("--folder", type=Path, help="where to write, on the disk to be measured (default: temporary)")
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores; batches of {BATCH} rows in random order; {arguments.rounds} rounds")
    parts = [arguments.only] if arguments.only else ["read", "write", "open"]
    for name, shape in SHAPES.items():
        features = np.random.default_rng(0).standard_normal(shape, np.float32).astype(np.float16)
        if "read" in parts:
            with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
                compare_reading(name, features, Path(folder), arguments.rounds, arguments.seconds)
                compare_first_passes(name, features, Path(folder), arguments.rounds)
        if "write" in parts:
            with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
                compare_writing(name, features, Path(folder), arguments.rounds)
    if "open" in parts:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            measure_opening(1_000_000, Path(folder), arguments.rounds)


# Reading


def compare_reading(name: str, features: np.ndarray, folder: Path, rounds: int, seconds: float) -> None:
    """Print rows per second of every contender, and each one's ratio to the raw map in the same round."""
    contenders = {title: make(features, folder) for title, make in CONTENDERS.items()}
    rng = np.random.default_rng(1)
    for title, read in contenders.items():  # the warm-up, and a check that all read the same
        rows = rng.permutation(len(features))[:BATCH]
        assert np.array_equal(read(rows), features[rows]), title
    speeds: dict[str, list[float]] = {title: [] for title in contenders}
    for _ in range(rounds):
        for title, read in contenders.items():
            speeds[title].append(rows_per_second(read, len(features), rng, seconds))
    print(f"\nReading {name} float16                rows/s   of np.memmap   ours is x times as fast")
    ours, raw = speeds["this cache"], speeds["np.memmap"]
    for title, values in speeds.items():
        print(
            f"  {title:<32}{statistics.median(values):>12,.0f}{ratio(values, raw):>14.3f}{ratio(ours, values):>18.1f}"
        )


def compare_first_passes(name: str, features: np.ndarray, folder: Path, rounds: int) -> None:
    """Print the rate of a newly opened cache, which checks every row when first read, compared with a new raw map."""
    passes: dict[str, list[np.ndarray]] = {"ours": [], "raw": []}
    for number in range(rounds):
        rng = np.random.default_rng(number)
        orders = [rng.permutation(len(features)) for _ in range(PASSES)]
        openers = {"ours": lambda: FeatureCache(folder / "features").take, "raw": lambda: raw_map(features, folder)}
        for title in sorted(openers, reverse=bool(number % 2)):
            read = openers[title]()
            passes[title].append(np.cumsum([seconds_for(read, order) for order in orders]))
    ratios = np.array(passes["raw"]) / np.array(passes["ours"])
    print(f"\nFirst reading of {name} float16, every row checked    of np.memmap, newly mapped")
    for count in (1, 2, 4, PASSES):
        print(f"  {f'{count} passes over all rows' if count > 1 else 'the first pass':<32}"
              f"{np.median(ratios[:, count - 1]):>14.3f}")  # fmt: skip
    later = np.diff(passes["raw"], axis=1).sum(1) / np.diff(passes["ours"], axis=1).sum(1)
    print(f"  {'every pass after the first':<32}{np.median(later):>14.3f}")
    seconds = [timed(FeatureCache, folder / "features", "opening") for _ in range(rounds)]
    print(f"  all checked on opening: {features.nbytes / statistics.median(seconds) / 1e9:.1f} GB/s")


def seconds_for(read: Read, order: np.ndarray) -> float:
    started = time.perf_counter()
    for start in range(0, len(order), BATCH):
        read(order[start : start + BATCH])
    return time.perf_counter() - started


def rows_per_second(read: Read, count: int, rng: np.random.Generator, seconds: float) -> float:
    """Read shuffled batches, epoch after epoch, until the time is up."""
    done, started = 0, time.perf_counter()
    while True:
        order = rng.permutation(count)
        for start in range(0, count - BATCH + 1, BATCH):
            read(order[start : start + BATCH])
            done += BATCH
            if (elapsed := time.perf_counter() - started) > seconds:
                return done / elapsed


def ratio(values: list[float], others: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(values, others, strict=True))


def our_cache(features: np.ndarray, folder: Path) -> Read:
    cache = FeatureCache(published(features, folder))
    return lambda rows: cache.take(rows)


def raw_memmap(features: np.ndarray, folder: Path) -> Read:
    features.tofile(folder / "raw")
    return raw_map(features, folder)


def raw_map(features: np.ndarray, folder: Path) -> Read:
    mapped = np.memmap(folder / "raw", np.float16, "r", shape=features.shape).view(np.ndarray)
    return lambda rows: mapped[rows]


def h5py_same_file(features: np.ndarray, folder: Path) -> Read:
    return through_h5py(folder / "features" / "features.h5")


def h5py_row_chunks(features: np.ndarray, folder: Path) -> Read:
    return through_h5py(chunked(features, folder / "row-chunks.h5"))


def h5py_gzip(features: np.ndarray, folder: Path) -> Read:
    return through_h5py(chunked(features, folder / "gzip.h5", compression="gzip"))


def chunked(features: np.ndarray, path: Path, **options: str) -> Path:
    with h5py.File(path, "w") as file:
        file.create_dataset("features", data=features, chunks=(1, *features.shape[1:]), **options)
    return path


def through_h5py(path: Path) -> Read:
    """The fastest single call for many rows: ascending, then put back into order."""
    dataset = h5py.File(path, "r")["features"]

    def read(rows: np.ndarray) -> np.ndarray:
        order = np.argsort(rows)
        batch = np.empty((len(rows), *dataset.shape[1:]), np.float16)
        batch[order] = dataset[rows[order]]
        return batch

    return read


def h5py_row_by_row(features: np.ndarray, folder: Path) -> Read:
    """Read as a Dataset does whose `__getitem__` reads one row of one-row chunks."""
    dataset = h5py.File(folder / "row-chunks.h5", "r")["features"]
    return lambda rows: np.stack([dataset[row] for row in rows])


def h5py_opened_for_each_row(features: np.ndarray, folder: Path) -> Read:
    """Open the file in `__getitem__`, as most scripts do, since an open file does not survive a DataLoader's fork."""

    def read_row(row: int) -> np.ndarray:
        with h5py.File(folder / "row-chunks.h5", "r") as file:
            return file["features"][row]

    return lambda rows: np.stack([read_row(row) for row in rows])


def lmdb_rows(features: np.ndarray, folder: Path) -> Read:
    environment = lmdb.open(str(folder / "lmdb"), map_size=2 * features.nbytes + 2**28, sync=False)
    with environment.begin(write=True) as transaction:
        for row, feature in enumerate(features):
            transaction.put(row.to_bytes(4, "big"), feature.tobytes())
    shape = features.shape[1:]

    def read(rows: np.ndarray) -> np.ndarray:
        batch = np.empty((len(rows), *shape), np.float16)
        with environment.begin(buffers=True) as transaction:
            for place, row in enumerate(rows.tolist()):
                batch[place] = np.frombuffer(transaction.get(row.to_bytes(4, "big")), np.float16).reshape(shape)
        return batch

    return read


CONTENDERS = {
    "this cache": our_cache,
    "np.memmap": raw_memmap,
    "h5py, the same file": h5py_same_file,
    "h5py, one chunk a row": h5py_row_chunks,
    "h5py, one chunk a row, row by row": h5py_row_by_row,
    "the same, file opened for each": h5py_opened_for_each_row,
    "h5py, one chunk a row, gzip": h5py_gzip,
    "LMDB": lmdb_rows,
}


# Writing


def compare_writing(name: str, features: np.ndarray, folder: Path, rounds: int) -> None:
    """Print MB per second of the store's writer and of `ndarray.tofile` + fsync, in turns."""
    keys = keys_of(len(features))
    ours, raw = [], []
    for number in range(rounds + 1):  # the first is the warm-up
        ours.append(features.nbytes / 1e6 / timed(append_all, features, keys, folder / f"store-{number}"))
        raw.append(features.nbytes / 1e6 / timed(tofile_and_fsync, features, folder / "raw"))
        (folder / "raw").unlink()
        shutil.rmtree(folder / f"store-{number}")
    print(f"\nWriting {name} float16                  MB/s   of tofile + fsync")
    for title, values in {"this cache, checksums included": ours, "ndarray.tofile + fsync": raw}.items():
        print(f"  {title:<32}{statistics.median(values[1:]):>12,.0f}{ratio(values[1:], raw[1:]):>14.2f}")


def timed(call: Callable[..., object], *arguments: object) -> float:
    os.sync()  # so that this contender does not wait for the writes of others
    started = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - started


def tofile_and_fsync(features: np.ndarray, path: Path) -> None:
    with path.open("wb") as file:
        features.tofile(file)
        file.flush()
        os.fsync(file.fileno())


def append_all(features: np.ndarray, keys: np.ndarray, root: Path) -> FeatureStore:
    """As extraction does: batch by batch, every shard flushed to the disk before it gets its name."""
    store = FeatureStore(root, {"benchmark": True}, features.shape[1:])
    with store.writer() as writer:
        for start in range(0, len(keys), BATCH):
            writer.append(keys[start : start + BATCH], features[start : start + BATCH])
    return store


# Opening

OPENING = """
import sys, time
from pathlib import Path
from cache import FeatureCache

def peak_kibibytes():  # of this program alone: getrusage's figure starts with the parent's
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])

before, started = peak_kibibytes(), time.perf_counter()
cache = FeatureCache(sys.argv[1])
cache.rows(cache.keys[[0, len(cache) // 2]])
print(len(cache), time.perf_counter() - started, peak_kibibytes() - before)
"""


def measure_opening(count: int, folder: Path, rounds: int) -> None:
    """Print how long a new process takes to open a cache of many keys and find one, and its memory."""
    path = published(np.zeros((count, 1, 1, 8), np.float16), folder)
    answers = [opened(path) for _ in range(rounds)]
    seconds, kibibytes = (statistics.median(answer[part] for answer in answers) for part in (1, 2))
    print(f"\nOpening {count:,} keys: {seconds:.2f} s, {kibibytes / 1024:.0f} MiB of memory")


def opened(path: Path) -> tuple[int, float, int]:
    answer = subprocess.run([sys.executable, "-c", OPENING, str(path)], capture_output=True, text=True, check=True)
    count, seconds, kibibytes = answer.stdout.split()
    return int(count), float(seconds), int(kibibytes)


# Shared by all parts


def keys_of(count: int) -> np.ndarray:
    """Ascending, so that row i of the published file is row i of the features."""
    return np.array(sorted(hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)), "S64")


def published(features: np.ndarray, folder: Path) -> Path:
    keys = keys_of(len(features))
    store = append_all(features, keys, folder / "store")
    return publish(store, keys, [f"images/{key[:16].decode()}.jpg" for key in keys], folder / "features")


if __name__ == "__main__":
    main()
    print(f"\nPeak memory of the benchmark: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB")
