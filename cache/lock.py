"""Allow one writer at a time: an operating-system lock that ends with its process, and a note of who holds it.

In: a store's folder. Out: the lock, held for a block, or a `CacheError` that names the holder.
"""

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import filelock

from cache.errors import CacheError, as_cache_error

LOCK_NAME = ".lock"
HOLDER_NAME = ".lock-holder.json"


@contextlib.contextmanager
def lock_for_writing(folder: Path) -> Iterator[None]:
    """Hold the folder's lock for the block.

    Raises
    ------
    CacheError
        If another process, or another writer of this process, holds it; or if the folder cannot be written to.
    """
    lock = filelock.FileLock(folder / LOCK_NAME, blocking=False)
    with as_cache_error(folder):
        try:
            lock.acquire()
        except filelock.Timeout as error:
            holder = _describe_holder(folder)
            raise CacheError(f"another writer is at work in {folder}: {holder}; wait or stop it") from error
    try:
        with as_cache_error(folder):
            # Information only: not flushed, and a reader of an incomplete note reports an unknown holder.
            (folder / HOLDER_NAME).write_text(json.dumps(_describe_this_process()), encoding="utf-8")
        yield
    finally:
        with contextlib.suppress(OSError):  # the note does not hold the lock
            (folder / HOLDER_NAME).unlink(missing_ok=True)
        lock.release()


def _describe_this_process() -> dict[str, int | str]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": now}


def _describe_holder(folder: Path) -> str:
    try:
        note = json.loads((folder / HOLDER_NAME).read_text(encoding="utf-8"))
        return f"process {note['pid']} on {note['host']} since {note['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "a process that has just started"
