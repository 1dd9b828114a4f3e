"""One writer at a time: an operating-system lock that dies with its process, and a note of who holds it.

In: a store's folder. Out: the lock held for a block, or a `CacheError` that names the holder.
"""

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import filelock

from cache.errors import CacheError, explained

LOCK_NAME = ".lock"
HOLDER_NAME = ".lock-holder.json"


@contextlib.contextmanager
def one_writer(folder: Path) -> Iterator[None]:
    """Hold the folder's lock for the block.

    Raises
    ------
    CacheError
        If another process, or another writer of this one, holds it; or if the folder cannot be written to.
    """
    lock = filelock.FileLock(folder / LOCK_NAME, blocking=False)
    with explained(folder):
        try:
            lock.acquire()
        except filelock.Timeout as error:
            raise CacheError(f"another writer is at work in {folder}: {_holder(folder)}; wait or stop it") from error
    try:
        with explained(folder):
            # A note only: it need not survive a power cut, and who reads half of it is told that much.
            (folder / HOLDER_NAME).write_text(json.dumps(_this_process()), encoding="utf-8")
        yield
    finally:
        with contextlib.suppress(OSError):  # the lock itself is the system's
            (folder / HOLDER_NAME).unlink(missing_ok=True)
        lock.release()


def _this_process() -> dict[str, int | str]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": now}


def _holder(folder: Path) -> str:
    try:
        note = json.loads((folder / HOLDER_NAME).read_text(encoding="utf-8"))
        return f"process {note['pid']} on {note['host']} since {note['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "a process that has only just begun"
