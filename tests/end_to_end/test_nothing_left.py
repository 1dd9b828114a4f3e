"""A command that is killed leaves no process, shared memory or temporary file; one that is stopped politely is quick.

`NOTHING_LEFT_KILLS=30` kills every command thirty times instead of twice.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.end_to_end.conftest import edit_params

KILLS = int(os.environ.get("NOTHING_LEFT_KILLS", "1"))
GONE_WITHIN_S, STOPPED_WITHIN_S = 10.0, 5.0
MARK = "NOTHING_LEFT_MARK"
SHARED_MEMORY = Path("/dev/shm")
# A command is let work for at most this long after its first worker has started.
LONGEST_WORK_S = 4.0
# The command, and what it does not find done already.
COMMANDS = {
    "clean": (["clean"], [".scan"]),
    "fine-tuning": (["prepare-backbone", "--set", "backbone.finetune.target=style"], ["models"]),
    "extract-features": (["extract-features"], [".features", "data/features"]),
    "train-head": (["train-head", "--target", "all", "--n-jobs", "2"], [".training", "models/heads"]),
    "tune": (["tune", "--target", "style", "--trials", "6", "--n-jobs", "2"], [".tuning"]),
    "find-outliers": (["find-outliers", "--target", "style"], [".scan/measures.sqlite"]),
    "report": (["report"], []),
}

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")


@pytest.fixture
def busy(built: Path, tmp_path: Path) -> Path:
    """A finished project that two workers have something to do for: killed commands leave no finished one behind."""
    folder = tmp_path / "project"
    shutil.copytree(built, folder, symlinks=True, ignore=shutil.ignore_patterns("tmp", "files"))
    edit_params(folder, {"parallel.n_jobs": 2, "train.epochs": 40, "backbone.finetune.batch_size": 8})
    return folder


@contextmanager
def started(project: Path, name: str) -> Iterator[tuple[subprocess.Popen[bytes], str, Path]]:
    """Start a command, all of its work before it, with a mark that its descendants inherit and a $TMPDIR of its own."""
    arguments, undone = COMMANDS[name]
    for path in undone:
        shutil.rmtree(project / path) if (project / path).is_dir() else (project / path).unlink(missing_ok=True)
    if "models" in undone:
        (project / "models").mkdir()
    mark, temporary = uuid.uuid4().hex, project.parent / f"tmp-{uuid.uuid4().hex}"
    temporary.mkdir()
    environment = os.environ | {MARK: mark, "TMPDIR": str(temporary), "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", *arguments],
        cwd=project,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process, mark, temporary
    finally:
        for pid in marked(mark):
            os.kill(pid, signal.SIGKILL)
        process.wait()


def marked(mark: str) -> list[int]:
    """The living processes that inherited a mark."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if (
                entry.name.isdecimal()
                and f"{MARK}={mark}".encode() in (entry / "environ").read_bytes()
                and (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
            ):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def left_by(mark: str, temporary: Path, pids: list[int]) -> list[str]:
    """What is left of processes: themselves, shared memory with their ids in its name, files in their $TMPDIR."""
    shared = [path.name for path in SHARED_MEMORY.iterdir()] if SHARED_MEMORY.is_dir() else []
    return [
        *(f"process {pid}" for pid in marked(mark)),
        *(
            f"shared memory {name}"
            for name in shared
            if {str(pid) for pid in pids} & set(re.split(r"[^0-9a-z]+", name))
        ),
        # torch makes an empty folder for its compiler, which every later run of any program uses.
        *(f"temporary {path}" for path in temporary.rglob("*") if not path.name.startswith("torchinductor_")),
    ]


def wait_for_nothing(mark: str, temporary: Path, pids: list[int]) -> list[str]:
    """What is left after the time in which all must be gone, or nothing before."""
    wait_until(lambda: not left_by(mark, temporary, pids), GONE_WITHIN_S)
    return left_by(mark, temporary, pids)


def wait_for_workers(process: subprocess.Popen[bytes], mark: str) -> None:
    """Wait until a command has a worker or a decoding process, or has ended."""
    wait_until(lambda: len(marked(mark)) > 1 or process.poll() is not None, 120)


def wait_until(condition: Callable[[], bool], seconds: float) -> float:
    """Wait at most so long; the seconds that it took."""
    begun = time.monotonic()
    while not condition() and time.monotonic() - begun < seconds:
        time.sleep(0.1)
    return time.monotonic() - begun


@pytest.mark.parametrize("name", COMMANDS)
def test_a_killed_command_leaves_nothing(busy: Path, name: str) -> None:
    moments = random.Random(name)
    for _ in range(KILLS):
        with started(busy, name) as (process, mark, temporary):
            wait_for_workers(process, mark)
            time.sleep(moments.uniform(0, LONGEST_WORK_S))
            pids = marked(mark)
            process.kill()
            process.wait()
            assert wait_for_nothing(mark, temporary, pids) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_is_asked_to_stop_does_so_within_five_seconds(busy: Path, name: str) -> None:
    with started(busy, name) as (process, mark, temporary):
        wait_for_workers(process, mark)
        time.sleep(LONGEST_WORK_S / 2)
        pids = marked(mark)
        process.terminate()
        took = wait_until(lambda: process.poll() is not None, STOPPED_WITHIN_S * 3)
        assert took < STOPPED_WITHIN_S
        # Without a handler it ends by the signal: as the interpreter leaves, its work done.
        assert process.returncode in (0, 1, -signal.SIGTERM)
        assert wait_for_nothing(mark, temporary, pids) == []


def test_the_next_run_removes_what_a_killed_one_left(busy: Path) -> None:
    """A killed run's folder of large files: of this machine, of a process that has ended."""
    with started(busy, "find-outliers") as (process, _, _):
        wait_until(lambda: any(busy.glob(".scratch/*/folds-*/pooled.f16")), 60)
        process.kill()
        process.wait()
    assert any(busy.glob(".scratch/*/folds-*/pooled.f16"))
    with started(busy, "clean") as (process, _, _):
        assert process.wait(timeout=120) == 0
    assert not (busy / ".scratch").exists()
