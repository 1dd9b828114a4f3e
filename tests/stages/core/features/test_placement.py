"""Where features lie while a head trains changes the speed, and no result."""

import ctypes
import logging
import multiprocessing
import platform
import re
import resource
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import load_file

from cache import DamagedFileError, FeatureCache, publish
from stages.core.features.placement import CachedFeatures, available_bytes, blocks, mean_and_std, place, read_ahead
from stages.core.head.lstm_settings import LSTMSettings
from stages.core.head.recipe import Recipe
from stages.core.head.settings import TrainSettings
from stages.core.memory import keep_freed_memory
from stages.train.train_head import train_head
from tests.chain import adopt_features
from tests.stages.conftest import SHAPE, Project

CPU = torch.device("cpu")
CLASSES = ["dabs", "dots", "glaze"]


@pytest.fixture
def project(make_project) -> Project:
    return make_project(CLASSES * 30)


@pytest.fixture
def features(project: Project) -> CachedFeatures:
    return CachedFeatures(FeatureCache(project.features), project.table["sha256"].tolist())


def train(project: Project, placement: str) -> dict[str, torch.Tensor]:
    train_head(
        target="style",
        recipe=Recipe(
            head=LSTMSettings(hidden_size=16), train=TrainSettings(epochs=4, batch_size=16, placement=placement)
        ),
        features=project.features,
        splits=project.splits,
        destination=project.head,
        work=project.work,
    )
    return load_file(project.head / "head.safetensors")


def test_every_placement_trains_the_same_weights_bit_for_bit(project, caplog):
    with caplog.at_level(logging.INFO):
        in_memory, streamed = train(project, "ram"), train(project, "stream")
    assert all(torch.equal(in_memory[name], streamed[name]) for name in in_memory)
    assert "MiB of features in memory" in caplog.text
    assert "streamed from the cache's file" in caplog.text


@pytest.mark.parametrize("placement", ["ram", "stream"])
def test_training_on_a_damaged_row_ends_with_its_name(project, placement):
    """The damage is of one bit of an image of the train split, in the last view."""
    key = project.table.loc[project.table["split"] == "train", "sha256"].iloc[3]
    with FeatureCache(project.features) as cache:
        (row,) = cache.rows([key])
    with h5py.File(project.features / "features.h5", "r+") as file:
        bits = file["features"][row].view(np.uint16)
        bits[-1, 0, 0] ^= 1
        file["features"][row] = bits.view(np.float16)
    with pytest.raises(DamagedFileError, match=rf"features\.h5 is damaged: row {row} \(.+\) does not match"):
        train(project, placement)


def test_cached_features_answer_like_the_array(features, project):
    with FeatureCache(project.features) as cache:
        array = cache.get(project.table["sha256"].tolist())
    rows = np.array([5, 0, 5, 89])
    views = np.array([0, 1, 1, 0])
    assert features.shape == array.shape == (90, *SHAPE)
    assert features.nbytes == array.nbytes
    assert np.array_equal(features[rows], array[rows])
    assert np.array_equal(features[rows, views], array[rows, views])
    assert np.array_equal(features[rows, 0], array[rows, 0])
    assert np.array_equal(place(features, CPU, "ram"), array)
    assert place(features, CPU, "stream") is features


@pytest.mark.parametrize(("free", "in_memory"), [(10**9, True), (1000, False)])
def test_auto_takes_memory_where_there_is_room(features, monkeypatch, free, in_memory):
    monkeypatch.setattr("stages.core.features.placement.available_bytes", lambda: free)
    assert isinstance(place(features, CPU), np.ndarray) == in_memory


def test_available_memory_is_what_the_tightest_limit_leaves():
    process = multiprocessing.get_context("fork").Process(target=_look_under_a_limit)
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert 0 < available_bytes() <= psutil.virtual_memory().total


def _look_under_a_limit() -> None:
    taken = psutil.Process().memory_info().vms
    resource.setrlimit(resource.RLIMIT_AS, (taken + 2**28, resource.RLIM_INFINITY))
    assert 0 < available_bytes() <= 2**28


def test_statistics_by_blocks_are_those_of_the_whole(features, monkeypatch):
    monkeypatch.setattr("stages.core.features.placement.BLOCK_BYTES", 4096)
    rows = np.arange(3, 80)
    assert len(list(blocks(features, rows))) > 3
    whole = np.asarray(features[rows]).reshape(-1, SHAPE[-1]).astype(np.float64)
    mean, std = mean_and_std(features, rows)
    assert mean.numpy() == pytest.approx(whole.mean(axis=0), abs=1e-6)
    assert std.numpy() == pytest.approx(whole.std(axis=0), abs=1e-6)


def _allocate_and_free() -> None:
    """48 MiB in 16 tensors, 12,288 pages."""
    tensors = [torch.ones(3 * 2**20, dtype=torch.uint8) for _ in range(16)]
    del tensors


def _print_faults_of_fifty_rounds() -> None:
    keep_freed_memory()
    _allocate_and_free()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        _allocate_and_free()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep what is freed")
def test_freed_memory_is_kept_for_the_next_allocation():
    code = "from tests.stages.core.features.test_placement import _print_faults_of_fifty_rounds as go; go()"
    faults = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert int(faults) < 2 * 12_288  # without it 612,000: every round fetches all pages anew


def test_without_glibc_memory_is_left_as_it_is(monkeypatch):
    asked = []

    class AnotherLibrary:
        def __getattr__(self, name):
            asked.append(name)
            raise AttributeError(name)

    monkeypatch.setattr(ctypes, "CDLL", lambda name: AnotherLibrary())
    keep_freed_memory()
    assert asked == ["mallopt"]


def test_reading_ahead_keeps_the_order_and_passes_errors_on():
    def failing():
        yield 1
        raise ValueError("from the thread")

    assert list(read_ahead(iter(range(50)))) == list(range(50))
    ahead = read_ahead(failing())
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="from the thread"):
        next(ahead)


HEADROOM = 384 * 2**20


def make_large(project: Project) -> int:
    """Publish a cache four times as large as the memory that training will be given; return its size."""
    channels, rows = 2048, len(project.table)
    views = -(-4 * HEADROOM // (rows * 9 * channels * 2))
    shape = (views, 9, channels)
    from cache import FeatureStore

    store = FeatureStore(project.store.folder.parent, {"large": True}, shape)
    rng = np.random.default_rng(0)
    directions = {name: rng.standard_normal(channels) for name in CLASSES}
    keys = project.table["sha256"].tolist()
    with store.writer(shard_mib=64) as writer:
        for key, label in zip(keys, project.table["style"], strict=True):
            writer.append([key], (directions[label] + rng.standard_normal((1, *shape))).astype(np.float16))
    path = publish(store, keys, project.table["image"].tolist(), project.features)
    adopt_features(project.features)
    return path.stat().st_size


def peak_bytes() -> int:
    """The most memory that this process has held; `ru_maxrss` begins with what its parent held."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


def _train_under_limit(project_paths: tuple[Path, ...], answers) -> None:
    features, splits, destination, work = project_paths
    torch.set_num_threads(1)
    torch.optim.AdamW([torch.zeros(1)])  # loads libraries, which are no data and shall not count
    recipe = Recipe(head=LSTMSettings(hidden_size=8), train=TrainSettings(epochs=3, batch_size=8, lr=0.01))
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + HEADROOM, resource.RLIM_INFINITY))
    logging.basicConfig(level=logging.INFO, filename=features.parent / "log.txt")
    train_head(
        target="style", recipe=recipe,
        features=features, splits=splits, destination=destination, work=work,
    )  # fmt: skip
    answers.put(peak_bytes())


def test_a_cache_of_four_times_the_memory_limit_trains(make_project, monkeypatch):
    # The limit counts address space, of which every thread's arena would reserve 128 MiB and use next to none.
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    project = make_project(CLASSES * 200)
    size = make_large(project)
    assert size >= 4 * HEADROOM
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    paths = (project.features, project.splits, project.head, project.work)
    child = context.Process(target=_train_under_limit, args=(paths, answers))
    child.start()
    child.join(300)
    log = (project.features.parent / "log.txt").read_text()
    assert child.exitcode == 0
    assert "cannot be memory-mapped" in log  # the address space is too small for the map: the file is read instead
    assert "streamed from the cache's file" in log
    assert answers.get(timeout=10) < size  # the peak of the whole process, its libraries included
    losses = (project.head / "log" / "plots" / "metrics" / "train" / "loss.tsv").read_text().split()[2:]
    assert float(losses[-1]) < float(losses[1])
