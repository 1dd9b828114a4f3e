"""One holder per lock: named to the others, gone with its process, and nothing left behind."""

import errno
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cache import CacheError, LockedError, hold_lock
from cache import lock as lock_module
from tests.cache.extraction import extract, keys_of, store_at

REPOSITORY = Path(__file__).parents[2]
processes = multiprocessing.get_context("spawn")
HOLD = """
import sys, time
from pathlib import Path
from cache import hold_lock
with hold_lock(Path(sys.argv[1]), "train-head --target genre"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(params=[None, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP], ids=["locks", "ENOLCK", "ENOSYS", "EOPN"])
def mount(request, monkeypatch):
    """A mount with locks, and mounts without. Child processes of a test read the number in their environment."""
    if request.param is not None:
        monkeypatch.setattr(lock_module, "fcntl", NoLocks(request.param))
    return request.param


class NoLocks:
    """`fcntl` on a mount whose `flock` fails."""

    LOCK_EX = LOCK_NB = 0

    def __init__(self, number: int) -> None:
        self.number = number

    def flock(self, descriptor: int, operation: int) -> None:
        raise OSError(self.number, os.strerror(self.number))


def start_holder(path: Path, without_locks: int | None = None) -> subprocess.Popen:
    setup = ""
    if without_locks is not None:
        setup = f"import tests.cache.test_lock as t, cache.lock as l; l.fcntl = t.NoLocks({without_locks})\n"
    process = subprocess.Popen(
        [sys.executable, "-c", setup + HOLD, str(path)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_is_told_who_holds_the_lock_and_what_it_does(tmp_path, mount):
    path = tmp_path / ".lock"
    holder = start_holder(path, mount)
    try:
        with (
            pytest.raises(LockedError, match=f"train-head --target genre, process {holder.pid} on .+ since 20.+; wait"),
            hold_lock(path, "evaluate"),
        ):
            pytest.fail("two holders")
    finally:
        holder.kill()
        holder.wait()


def test_a_killed_holder_hinders_nobody_and_its_file_goes_with_the_next_release(tmp_path, mount):
    path = tmp_path / ".lock"
    holder = start_holder(path, mount)
    holder.kill()
    holder.wait()
    assert path.exists()
    with hold_lock(path, "the next"):
        assert json.loads(path.read_text())["what"] == "the next"
    assert list(tmp_path.iterdir()) == []


def test_a_zombie_holds_nothing(tmp_path, mount):
    """A killed process that its parent has not waited for."""
    path = tmp_path / ".lock"
    holder = start_holder(path, mount)
    holder.kill()
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)
    with hold_lock(path, "the next"):
        assert json.loads(path.read_text())["what"] == "the next"
    holder.wait()


def test_nothing_is_left_behind_after_the_block_and_after_an_error_in_it(tmp_path, mount):
    for error in (None, KeyboardInterrupt):
        try:
            with hold_lock(tmp_path / ".lock", "a test"):
                assert [path.name for path in tmp_path.iterdir()] == [".lock"]
                if error is not None:
                    raise error
        except KeyboardInterrupt:
            pass
        assert list(tmp_path.iterdir()) == []


def test_a_second_holder_in_the_same_process_or_thread_is_refused(tmp_path, mount):
    path = tmp_path / ".lock"
    refused = []

    def try_to_hold() -> None:
        try:
            with hold_lock(path, "a thread"):
                pass
        except LockedError as error:
            refused.append(str(error))

    with hold_lock(path, "a test"):
        try_to_hold()
        thread = threading.Thread(target=try_to_hold)
        thread.start()
        thread.join()
    assert len(refused) == 2
    assert all(f"a test, process {os.getpid()}" in message for message in refused)


def test_of_another_machines_lock_file_it_is_said_how_to_remove_it(tmp_path, mount):
    path = tmp_path / ".lock"
    note = {"what": "extract-features", "pid": 7, "started": "1", "host": "museum", "place": "", "since": "2026-01-02"}
    path.write_text(json.dumps({**note, "os_lock": False}))
    with (
        pytest.raises(LockedError, match=f"process 7 on museum since 2026-01-02.+if it has ended.+remove {path}"),
        hold_lock(path, "a test"),
    ):
        pytest.fail("the other machine's process may be alive")
    assert path.exists()


def test_a_later_process_of_the_same_number_is_not_taken_for_the_holder(tmp_path, mount):
    path = tmp_path / ".lock"
    with hold_lock(path, "a test"):
        note = json.loads(path.read_text())
    path.write_text(json.dumps({**note, "started": "1"}))
    with hold_lock(path, "a test"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff" * 5000, b"[]", b'{"pid": 1}', b"[" * 4000])
def test_any_content_of_an_abandoned_file_is_replaced_where_the_mount_has_locks(tmp_path, content):
    path = tmp_path / ".lock"
    path.write_bytes(content)
    with hold_lock(path, "a test"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_file_without_a_note_on_a_mount_without_locks_is_refused_and_can_be_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(lock_module, "fcntl", NoLocks(errno.ENOLCK))
    path = tmp_path / ".lock"
    path.write_bytes(b"")
    with pytest.raises(LockedError, match=f"remove {path}"), hold_lock(path, "a test"):
        pytest.fail("its process may be about to write the note")


def test_a_forked_child_does_not_keep_the_lock_of_its_dead_parent(tmp_path):
    path = tmp_path / ".lock"
    script = HOLD.replace("    print", "    import os\n    child = os.fork()\n    child or time.sleep(60)\n    print")
    script = script.replace('"held"', 'f"held {child}"')
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    child = int(parent.stdout.readline().split()[1])
    parent.kill()
    parent.wait()
    try:
        with hold_lock(path, "the next"):
            assert json.loads(path.read_text())["what"] == "the next"
    finally:
        os.kill(child, signal.SIGKILL)


def test_another_process_lock_in_a_folder_that_was_made_again_is_not_removed(tmp_path):
    folder = tmp_path / "features"
    folder.mkdir()
    with hold_lock(folder / ".lock", "the first"):
        (folder / ".lock").unlink()
        folder.rmdir()
        folder.mkdir()
        holder = start_holder(folder / ".lock")
    try:
        with pytest.raises(LockedError, match=f"process {holder.pid}"), hold_lock(folder / ".lock", "a third"):
            pytest.fail("two holders")
    finally:
        holder.kill()
        holder.wait()


def count_up(folder: Path, times: int, seed: int, without_locks: int | None) -> None:
    """Add to a counter in a file; two at once would lose additions."""
    if without_locks is not None:
        lock_module.fcntl = NoLocks(without_locks)
    moments = random.Random(seed)
    counter = folder / "counter"
    while times:
        try:
            with hold_lock(folder / ".lock", "count"):
                value = int(counter.read_text())
                time.sleep(moments.uniform(0, 0.002))
                counter.write_text(str(value + 1))
                times -= 1
        except LockedError:
            pass
        time.sleep(moments.uniform(0, 0.002))


@pytest.mark.parametrize(("without_locks", "times"), [(None, 60), (errno.ENOLCK, 10)], ids=["locks", "ENOLCK"])
def test_of_four_processes_one_holds_the_lock_at_a_time(tmp_path, without_locks, times):
    (tmp_path / "counter").write_text("0")
    children = [processes.Process(target=count_up, args=(tmp_path, times, seed, without_locks)) for seed in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join(120)
    assert [child.exitcode for child in children] == [0] * 4
    assert (tmp_path / "counter").read_text() == str(4 * times)
    assert [path.name for path in tmp_path.iterdir()] == ["counter"]


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(CacheError, match="gone"), hold_lock(tmp_path / "missing" / ".lock", "a test"):
        pytest.fail("there is no folder")


def test_extraction_works_on_a_mount_without_locks(tmp_path, mount):
    extract(tmp_path, keys_of(5))
    assert store_at(tmp_path).keys() == set(keys_of(5))
    assert all(path.name.startswith("shard-") for path in store_at(tmp_path).folder.iterdir())


def test_a_lock_that_is_released_in_time_is_waited_for(tmp_path, mount):
    path = tmp_path / ".lock"
    holder = start_holder(path, mount)
    threading.Timer(0.3, holder.kill).start()
    with hold_lock(path, "evaluate", wait_s=60):
        assert "evaluate" in path.read_text()
    holder.wait()


def test_a_lock_that_is_not_released_names_its_holder_after_the_wait(tmp_path, mount):
    holder = start_holder(tmp_path / ".lock", mount)
    started = time.monotonic()
    with pytest.raises(LockedError, match="train-head"), hold_lock(tmp_path / ".lock", "evaluate", wait_s=0.5):
        pass
    assert time.monotonic() - started >= 0.5
    holder.kill()
    holder.wait()
