"""What a decoding process does: answer requests from standard input until it ends.

In: a task, an image folder with its limits, and items, pickled by the process that started this one. Out: the bytes
that the task makes of each item, or the reason why it cannot be used. Starting processes is left to `process`.
"""

import json
import os
import pickle
import resource
import signal
import struct
import sys
from collections.abc import Iterator
from typing import IO, Any

from stages.core.images.files import ImageFolder, ImageLimits, UnusableImage
from stages.core.images.reduced import ADVICE
from stages.core.memory import keep_freed_memory
from stages.core.parent_process import die_with_parent_thread, end_with_parent

READY = b"ready\n"
REQUEST = struct.Struct("<Q")
# Whether the task made something of the item, and how many bytes follow.
ANSWER = struct.Struct("<?Q")
OPEN_FILES = 64


def serve() -> None:
    """Answer requests; the first argument is the process id of whoever sends them."""
    parent = int(sys.argv[1])
    die_with_parent_thread(parent)
    end_with_parent(parent)
    keep_freed_memory()
    # Ctrl-C reaches the whole group of processes; this one leaves when its parent does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Whatever a decoder prints must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    _limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    _limit(resource.RLIMIT_CORE, 0)
    answers.write(READY)
    for task, images, items in _requests(sys.stdin.buffer):
        _limit(resource.RLIMIT_AS, images.limits.memory_bytes)
        for item in items:
            _answer(answers, task, images, item)


def _requests(pipe: IO[bytes]) -> Iterator[Any]:
    while size := pipe.read(REQUEST.size):
        yield pickle.loads(pipe.read(*REQUEST.unpack(size)))


def _answer(answers: IO[bytes], task: Any, images: ImageFolder, item: Any) -> None:
    limits: ImageLimits = images.limits
    # SIGALRM kills the process even inside a decoder's C code.
    signal.setitimer(signal.ITIMER_REAL, limits.timeout_s)
    try:
        made, content = True, task(images, item)
    except UnusableImage as problem:
        made, content = False, json.dumps([problem.reason, problem.detail]).encode()
    except MemoryError:
        detail = f"decoding it takes more than the {limits.memory_bytes >> 20} MiB of a decoding process: {ADVICE}"
        made, content = False, json.dumps(["too_large", detail]).encode()
    except Exception as error:  # a decoder may raise anything at hostile data
        made, content = False, json.dumps(["decode_error", f"{type(error).__name__}: {error}"]).encode()
    signal.setitimer(signal.ITIMER_REAL, 0)
    _write_all(answers, ANSWER.pack(made, len(content)))
    _write_all(answers, content)


def _write_all(pipe: IO[bytes], content: bytes) -> None:
    view = memoryview(content)
    while len(view):
        view = view[pipe.write(view) :]


def _limit(which: int, wanted: int) -> None:
    """Lower a limit of this process; one that is lower already stays."""
    _, hard = resource.getrlimit(which)
    resource.setrlimit(which, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


if __name__ == "__main__":
    serve()
