"""Decode in a process of its own, so that a decoder that crashes or hangs costs one image and not the run.

In: a batch of paths. Out: a line of JSON per image. Every joblib worker keeps one such process and starts another when
it dies; the first image without an answer is the one that killed it. Which files to check is left to `run`.
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

from stages.clean.check import CheckedImage, check_image
from stages.clean.settings import CleanSettings
from stages.core.errors import StageError
from stages.core.memory import keep_freed_memory

READY = "ready"
# Of 16 MiB each, which Pillow keeps for the next image; it gives them back to the system by default.
PILLOW_BLOCKS = {"PILLOW_BLOCKS_MAX": "4"}

_mine = threading.local()


def check_batch(root: Path, names: Sequence[str], settings: CleanSettings) -> list[str]:
    """Check files in this worker's decoding process.

    A process that dies is replaced. The image that it died of is tried once more, since the system may have killed it
    for want of memory, and then called decoder_crashed; one that took too long is not tried again.

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
        code = _bury(process)
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
    """This thread's decoding process, started if there is none."""
    if getattr(_mine, "process", None) is None:
        _mine.process = _start()
    return _mine.process


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
    if process.stdout.readline().strip() != READY:
        code = process.wait()
        raise StageError(f"clean cannot start its decoding process ({_cause(code)}): what it said stands above")
    return process


def _bury(process: subprocess.Popen[str]) -> int:
    """Forget a dead process and say how it ended."""
    _mine.process = None
    code = process.wait()
    with contextlib.suppress(OSError):  # what it was not given to read cannot be flushed
        process.stdin.close()
    process.stdout.close()
    return code


def _ask(process: subprocess.Popen[str], root: Path, names: Sequence[str], settings: CleanSettings) -> list[str]:
    """Send a batch and read answers until it is answered or the process is dead."""
    request = {"root": str(root), "names": list(names), "settings": settings.model_dump()}
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
    answers = []
    for _ in names:
        line = process.stdout.readline()
        if not line.endswith("\n"):
            break
        answers.append(line.rstrip("\n"))
    return answers


def serve() -> None:
    """Answer batches from standard input until it ends: the decoding process's whole life."""
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
