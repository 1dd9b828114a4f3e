"""What is decoded in a process is limited in memory, time and files, and costs one image whatever happens to it."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from stages.core.errors import StageError
from stages.core.images.decoding.pool import Decoders
from stages.core.images.files import ImageFolder, ImageLimits, UnusableImage
from tests.conftest import REPOSITORY

LIMITS = ImageLimits(max_pixels=1_000_000, timeout_s=2.0)


def task(images: ImageFolder, what: str) -> bytes:
    """Runs in a decoding process."""
    if what == "memory":
        return bytes(images.limits.memory_bytes)
    if what == "files":
        return bytes(len([os.open(os.devnull, os.O_RDONLY) for _ in range(100)]))
    if what == "limits":
        return str(resource.getrlimit(resource.RLIMIT_NOFILE)[0]).encode()
    if what == "print":
        print("not an answer", flush=True)
    if what == "hang":
        time.sleep(60)
    if what == "deaf":
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        time.sleep(60)
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return what.encode()


@pytest.fixture
def decoders() -> Iterator[Decoders]:
    with Decoders() as decoders:
        yield decoders


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("memory", "too_large"),
        ("files", "decode_error"),
        ("hang", "decoder_timeout"),
        ("deaf", "decoder_timeout"),
        ("die", "decoder_crashed"),
    ],
)
def test_what_goes_beyond_a_limit_costs_its_image_alone(
    decoders: Decoders, tmp_path: Path, what: str, reason: str
) -> None:
    before, bad, after = decoders.decode(task, ImageFolder(tmp_path, LIMITS), ["a", what, "b"])
    assert (before, after) == (b"a", b"b")
    assert isinstance(bad, UnusableImage)
    assert bad.reason == reason


def test_what_a_decoder_prints_is_no_answer(decoders: Decoders, tmp_path: Path) -> None:
    assert decoders.decode(task, ImageFolder(tmp_path, LIMITS), ["print", "limits"]) == [b"print", b"64"]


def test_a_picture_in_place_of_which_a_fifo_lies_is_not_waited_for(decoders: Decoders, image_root: Path) -> None:
    os.mkfifo(image_root / "a.jpg")
    begun = time.monotonic()
    [answer] = decoders.decode(ImageFolder.read, ImageFolder(image_root), ["a.jpg"])
    assert "FIFO" in str(answer)
    assert time.monotonic() - begun < 20


def test_closing_ends_a_process_that_a_thread_waits_for(tmp_path: Path) -> None:
    decoders, errors = Decoders(), []

    def wait() -> None:
        try:
            decoders.decode(task, ImageFolder(tmp_path, ImageLimits(timeout_s=60)), ["hang"])
        except StageError as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    while not decoders._all:
        time.sleep(0.05)
    [process] = decoders._all
    decoders.close()
    thread.join(timeout=10)
    assert not thread.is_alive()
    assert len(errors) == 1
    assert not psutil.pid_exists(process._process.pid)


def test_no_more_processes_than_allowed_run_at_a_time(tmp_path: Path, save_picture: Callable[..., Path]) -> None:
    with Decoders(at_most=1) as decoders:
        threads = [
            threading.Thread(target=decoders.decode, args=(task, ImageFolder(tmp_path, LIMITS), ["a"] * 20))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(decoders._all) == 1


@pytest.mark.parametrize("what", ["a", "hang"])
def test_a_decoding_process_ends_with_a_parent_that_is_killed(tmp_path: Path, what: str) -> None:
    code = (
        "import sys, threading, time\n"
        "from pathlib import Path\n"
        "from stages.core.images.decoding.pool import Decoders\n"
        "from stages.core.images.files import ImageFolder\n"
        "from tests.stages.core.images.decoding.test_pool import task\n"
        "decoders = Decoders()\n"
        f"ask = lambda: decoders.decode(task, ImageFolder(Path('.')), [{what!r}])\n"
        "threading.Thread(target=ask).start()\n"
        "while not decoders._all: time.sleep(0.05)\n"
        "time.sleep(0.5)\n"
        "print(*[process._process.pid for process in decoders._all], flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    [pid] = [int(part) for part in parent.stdout.readline().split()]
    assert psutil.pid_exists(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(pid)


def is_running(pid: int) -> bool:
    """Whether a process lives; one that nobody has asked for its exit code does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
