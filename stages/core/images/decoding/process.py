"""One decoding process, and the pipes to and from it.

In: a task, an image folder and items. Out: an answer per item, until the process is dead. Replacing a dead process, and
what its death means, are left to `pool`.
"""

import contextlib
import fcntl
import json
import os
import pickle
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TypeVar

from stages.core.errors import StageError
from stages.core.images.decoding.serve import ANSWER, READY, REQUEST
from stages.core.images.files import ImageFolder, UnusableImage

Item = TypeVar("Item")
Task = Callable[[ImageFolder, Item], bytes]
Answer = bytes | UnusableImage

ROOT = Path(__file__).parents[4]
ENVIRONMENT = {
    # Of 16 MiB each, which Pillow keeps for the next image; it gives them back to the system by default.
    "PILLOW_BLOCKS_MAX": "4",
    # A decoder has one core; a thread per core would only reserve memory.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
START_TIMEOUT_S = 60.0
# Beyond the time that an image may take: a process that waits for a dead disk cannot even be killed by its own alarm.
GRACE_S = 3.0
ANSWER_PIPE_BYTES = 1 << 20
# What a task makes is smaller; a process that announces more is not believed.
LARGEST_ANSWER_BYTES = 1 << 30

# Linux kills a decoding process with the *thread* that started it: this one ends with the process.
_starter = ThreadPoolExecutor(1, thread_name_prefix="starts-decoders")


class DecoderDied(Exception):
    """The process ended, or did not answer in time.

    Attributes
    ----------
    answers
        What it had answered of the request.
    timed_out
        Whether the image that it did not answer took too long.
    cause
        How it ended, for a person.
    """

    def __init__(self, answers: list[Answer], timed_out: bool, cause: str) -> None:
        super().__init__(cause)
        self.answers, self.timed_out, self.cause = answers, timed_out, cause


class DecoderProcess:
    """A process that decodes; it ends with the process that started it.

    Raises
    ------
    StageError
        If it cannot be started.
    """

    def __init__(self) -> None:
        self._process = _starter.submit(_start).result()
        try:
            started = self._read(len(READY), time.monotonic() + START_TIMEOUT_S) == READY
        except (EOFError, TimeoutError):
            started = False
        if not started:
            raise StageError(f"no decoding process can be started ({self.end()}): its messages stand above")

    def decode(self, task: Task[Item], images: ImageFolder, items: Sequence[Item]) -> list[Answer]:
        """Have a task done for every item.

        Raises
        ------
        DecoderDied
            If it ends or is ended first.
        """
        answers: list[Answer] = []
        request = pickle.dumps((task, images, items))
        with contextlib.suppress(BrokenPipeError):
            self._pipe(self._process.stdin).write(REQUEST.pack(len(request)) + request)
        try:
            while len(answers) < len(items):
                answers.append(self._read_answer(time.monotonic() + images.limits.timeout_s + GRACE_S))
        except EOFError:
            code = self.end()
            raise DecoderDied(answers, code == -signal.SIGALRM, _cause(code)) from None
        except TimeoutError:
            self.end()
            raise DecoderDied(answers, True, "no answer") from None
        except BaseException:  # Ctrl-C: what it answers now would be taken for the answer to another request
            self.end()
            raise
        return answers

    def _read_answer(self, deadline: float) -> Answer:
        made, size = ANSWER.unpack(self._read(ANSWER.size, deadline))
        if size > LARGEST_ANSWER_BYTES:
            raise EOFError
        content = self._read(size, deadline)
        return bytes(content) if made else UnusableImage(*json.loads(content))

    def _read(self, size: int, deadline: float) -> bytearray:
        """Read exactly so many bytes of an answer.

        Raises
        ------
        EOFError
            If the process has ended.
        TimeoutError
            If the deadline (of `time.monotonic`) passes.
        """
        pipe = self._pipe(self._process.stdout)
        content, got = bytearray(size), 0
        waiting = select.poll()
        waiting.register(pipe, select.POLLIN)
        with memoryview(content) as view:
            while got < size:
                if not waiting.poll(max(0.0, deadline - time.monotonic()) * 1000):
                    raise TimeoutError
                count = pipe.readinto(view[got:])  # type: ignore[attr-defined]
                if not count:
                    raise EOFError
                got += count
        return content

    def kill(self) -> None:
        """Kill the process while another thread may be waiting for its answer, which then gets `DecoderDied`."""
        self._process.kill()

    def end(self) -> int:
        """Kill the process if it still runs; its exit code."""
        process = self._process
        with contextlib.suppress(OSError):
            self._pipe(process.stdin).close()
        if process.poll() is None and not self._ends_by_itself():
            process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # it waits for a dead disk: the system ends it later
            process.wait(timeout=1)
        self._pipe(process.stdout).close()
        return -signal.SIGKILL if process.returncode is None else process.returncode

    def _ends_by_itself(self) -> bool:
        """Whether it has closed its pipe and is about to end: only then its exit code tells why."""
        waiting = select.poll()
        waiting.register(self._pipe(self._process.stdout), 0)
        if not any(event & select.POLLHUP for _, event in waiting.poll(0)):
            return False
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        return self._process.returncode is not None

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        """Give a pipe of a process that was started with pipes."""
        assert pipe is not None
        return pipe


def _start() -> subprocess.Popen[bytes]:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(
        # -P: what lies in the current folder is not imported.
        [sys.executable, "-P", "-m", "stages.core.images.decoding.serve", str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=ENVIRONMENT | os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        bufsize=0,
    )
    if process.stdout and hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):  # a pixel array then fits in with fewer turns of the two processes
            fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, ANSWER_PIPE_BYTES)
    return process


def _cause(code: int) -> str:
    return signal.Signals(-code).name if -code in set(signal.Signals) else f"exit code {code}"
