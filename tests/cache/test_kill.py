"""An extraction that is killed or interrupted at any moment resumes where it stopped.

CACHE_KILLS=2000 uv run pytest tests/cache/test_kill.py    kills more often than the default 200
"""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cache import CacheError, FeatureCache, publish
from tests.cache.extraction import extract, features_of, keys_of, name_of, noted, same_bits, store_at

KILLS = int(os.environ.get("CACHE_KILLS", "200"))
REPOSITORY = Path(__file__).parents[2]
# Many small shards: every one is a chance to be killed between opening a file and flushing its folder.
KEYS = keys_of(400)
BATCH, ROW_BYTES = 4, 96  # as in extraction.py
processes = multiprocessing.get_context("fork")


def published_bytes(root: Path) -> bytes:
    path = publish(store_at(root), KEYS, [name_of(key) for key in KEYS], root / "features")
    with FeatureCache(path) as cache:
        assert same_bits(cache.get(KEYS), features_of(KEYS))
    return path.read_bytes()


def partial_files(root: Path) -> list[Path]:
    return list(root.rglob("*.partial"))


def run_to_the_end(root: Path) -> None:
    child = processes.Process(target=extract, args=(root, KEYS))
    child.start()
    child.join(60)
    assert child.exitcode == 0


def kill_once(root: Path, report: Path, delay_s: float, options: dict[str, float]) -> bool:
    """Extract in a separate process until SIGKILL; False if it finished before."""
    child = processes.Process(target=extract, args=(root, KEYS), kwargs={"report": report} | options)
    child.start()
    child.join(delay_s)
    child.kill()
    child.join(60)
    assert child.exitcode in (0, -signal.SIGKILL)  # never an error, and never an interpreter that crashed
    return child.exitcode != 0


# Rows that `append` has taken and a kill may cost: none after it has waited for the disk, else the shard in flight.
MAY_BE_LOST = [({"flush_every_s": 0}, 0), ({"shard_mib": BATCH * ROW_BYTES / 2**20}, BATCH)]


@pytest.mark.parametrize(("options", "may_be_lost"), MAY_BE_LOST, ids=["waiting for the disk", "written by the thread"])
def test_resume_after_kill_gives_the_same_bytes(tmp_path, options, may_be_lost):
    run_to_the_end(tmp_path / "uninterrupted")
    expected = published_bytes(tmp_path / "uninterrupted")
    moments = random.Random(0)
    kills = rounds = 0
    while kills < KILLS // 2:  # one round: from an empty store, killed again and again, to the end
        rounds += 1
        root, report = tmp_path / f"round-{rounds}", tmp_path / f"report-{rounds}"
        while kills < KILLS // 2 and kill_once(root, report, moments.uniform(0.005, 0.1), options):
            kills += 1
            assert len(noted(report) - store_at(root).keys()) <= may_be_lost
            report.unlink(missing_ok=True)
        run_to_the_end(root)
        assert partial_files(root) == []
        assert not (store_at(root).folder / "set-aside").exists()
        assert published_bytes(root) == expected


def test_a_kill_between_writing_and_renaming_leaves_nothing_behind(tmp_path):
    """The moment that chance seldom meets: stop at the rename, and kill there."""
    child = processes.Process(target=extract_until_rename, args=(tmp_path,))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    assert len(partial_files(tmp_path)) == 1
    assert store_at(tmp_path).keys() == set(KEYS[:4])
    run_to_the_end(tmp_path)
    assert partial_files(tmp_path) == []
    assert store_at(tmp_path).keys() == set(KEYS)


def extract_until_rename(root: Path) -> None:
    extract(root, KEYS[:4])
    os.replace = lambda source, target: os.kill(os.getpid(), signal.SIGKILL) if ".h5" in str(target) else None
    extract(root, KEYS)


INTERRUPTED = """
import sys, time
from pathlib import Path
from tests.cache.extraction import features_of, keys_of, store_at
try:
    with store_at(Path(sys.argv[1])).writer() as writer:
        for key in keys_of(400):
            writer.append([key], features_of([key]))
            print(key, flush=True)
            time.sleep(0.001)
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_ctrl_c_keeps_every_appended_row(tmp_path):
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        appended = [process.stdout.readline().strip() for _ in range(50)]
        process.send_signal(signal.SIGINT)
        appended += process.stdout.read().split()
    assert process.returncode == 130
    assert set(appended) <= store_at(tmp_path).keys()
    assert len(store_at(tmp_path).keys()) <= len(appended) + 1  # the row in hand may be in, or not
    assert partial_files(tmp_path) == []


def hold_the_lock(root: Path, ready) -> None:
    with store_at(root).writer():
        ready.set()
        time.sleep(600)


def test_a_second_writer_is_told_who_writes_and_a_dead_one_holds_nothing(tmp_path):
    ready = processes.Event()
    holder = processes.Process(target=hold_the_lock, args=(tmp_path, ready))
    holder.start()
    assert ready.wait(60)
    try:
        with pytest.raises(CacheError, match=f"process {holder.pid} on .+ since 20"), store_at(tmp_path).writer():
            pytest.fail("two writers at once")
    finally:
        holder.kill()
        holder.join(60)
    extract(tmp_path, KEYS[:3])
    assert store_at(tmp_path).keys() == set(KEYS[:3])


def test_two_writers_of_one_process_exclude_each_other(tmp_path):
    with (
        store_at(tmp_path).writer(),
        pytest.raises(CacheError, match=f"process {os.getpid()} "),
        store_at(tmp_path).writer(),
    ):
        pytest.fail("two writers at once")


def test_readers_see_whole_shards_while_a_writer_appends(tmp_path):
    report = tmp_path / "report"
    child = processes.Process(target=extract, args=(tmp_path, KEYS), kwargs={"report": report, "flush_every_s": 0})
    child.start()
    seen: set[str] = set()
    looks_while_growing = 0
    while child.is_alive():
        promised = noted(report)
        keys = store_at(tmp_path).keys()
        assert seen | promised <= keys
        looks_while_growing += len(seen) < len(keys)
        seen = keys
    child.join(60)
    assert child.exitcode == 0
    assert store_at(tmp_path).keys() == set(KEYS)
    assert looks_while_growing > 1
    assert not np.any([path.name == "set-aside" for path in store_at(tmp_path).folder.iterdir()])
