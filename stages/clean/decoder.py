"""Decode in a separate process, so that a decoder that crashes or hangs costs one image and not the run.

In: a batch of paths. Out: a line of JSON per image. Every joblib worker keeps one such process and starts another when
it dies; the first image without an answer is the one that killed it. Which files to check is left to `clean_images`.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from stages.clean.check_image import CheckedImage, check_image
from stages.clean.settings import CleanSettings
from stages.core.errors import StageError
from stages.core.memory import keep_freed_memory

READY = "ready"
# Of 16 MiB each, which Pillow keeps for the next image; it gives them back to the system by default.
PILLOW_BLOCKS = {"PILLOW_BLOCKS_MAX": "4"}

_thread = threading.local()


def check_batch(root: Path, names: Sequence[str], settings: CleanSettings) -> list[str]:
    """Check files in this worker's decoding process.

    A process that dies is replaced. The image that it died of is tried once more, since the system may have run out of
    memory; if that fails too, the reason is decoder_crashed. An image that took too long is not tried again.

    Returns
    -------
    list of str
        `CheckedImage.to_json` of every file, in order.

    Raises
    ------
    StageError
        If no decoding process can be started.
    """
    answers: list[str] = []
    tried = -1
    while len(answers) < len(names):
        process = _decoder()
        answers += _ask(process, root, names[len(answers) :], settings)
        if len(answers) == len(names):
            break
        code = _discard(process)
        if code == -signal.SIGALRM:
            answers.append(_failed("decoder_timeout", f"not decoded within clean.timeout_s = {settings.timeout_s:g} s"))
        elif tried == len(answers):
            answers.append(_failed("decoder_crashed", f"the decoding process ended with {_cause(code)}, twice"))
        else:
            tried = len(answers)
    return answers


def _failed(reason: str, detail: str) -> str:
    return CheckedImage(reason=reason, detail=detail).to_json()


def _cause(code: int) -> str:
    return signal.Signals(-code).name if -code in set(signal.Signals) else f"exit code {code}"


def _decoder() -> subprocess.Popen[str]:
    """Give this thread's decoding process; start one if none runs."""
    process: subprocess.Popen[str] | None = getattr(_thread, "process", None)
    if process is None:
        process = _thread.process = _start()
    return process


def _pipe(pipe: IO[str] | None) -> IO[str]:
    """Give a pipe of a process that was started with pipes."""
    assert pipe is not None
    return pipe


def _start() -> subprocess.Popen[str]:
    package_root = str(Path(__file__).parents[2])
    paths = [package_root, *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(
        # -P: what lies in the current folder is not imported.
        [sys.executable, "-P", "-m", "stages.clean.decoder"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=PILLOW_BLOCKS | os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        encoding="ascii",
    )
    if _pipe(process.stdout).readline().strip() != READY:
        code = process.wait()
        raise StageError(f"clean cannot start its decoding process ({_cause(code)}): its messages stand above")
    return process


def _discard(process: subprocess.Popen[str]) -> int:
    """Forget a dead process and give its exit code."""
    _thread.process = None
    code = process.wait()
    with contextlib.suppress(OSError):  # a request that it did not read cannot be flushed
        _pipe(process.stdin).close()
    _pipe(process.stdout).close()
    return code


def _ask(process: subprocess.Popen[str], root: Path, names: Sequence[str], settings: CleanSettings) -> list[str]:
    """Send a batch and read answers until it is answered or the process is dead."""
    request = {"root": str(root), "names": list(names), "settings": settings.model_dump()}
    with contextlib.suppress(BrokenPipeError):
        requests = _pipe(process.stdin)
        requests.write(json.dumps(request) + "\n")
        requests.flush()
    answers = []
    for _ in names:
        line = _pipe(process.stdout).readline()
        if not line.endswith("\n"):
            break
        answers.append(line.rstrip("\n"))
    return answers


def serve() -> None:
    """Answer batches from standard input until it ends; this is all that the decoding process does."""
    keep_freed_memory()
    # Ctrl-C reaches the whole group of processes; this one leaves when its worker does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Whatever a decoder prints must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)
    print(READY, file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        settings = CleanSettings(**request["settings"])
        for name in request["names"]:
            # SIGALRM kills the process even inside a decoder's C code.
            signal.setitimer(signal.ITIMER_REAL, settings.timeout_s)
            checked = check_image(Path(request["root"]), name, settings)
            signal.setitimer(signal.ITIMER_REAL, 0)
            print(checked.to_json(), file=answers, flush=True)


if __name__ == "__main__":
    serve()
