"""Allow one writer per output: an operating-system lock that ends with its process, and a note of who holds it.

In: the path of a lock file, and what its holder does. Out: the lock, held for a block, or a `LockedError` that names
the holder. The lock file holds the note and is removed on release. Which outputs belong together is left to the caller.

This is not filelock: its native lock (4.3.1) leaves the file behind, takes only ENOSYS for a mount without locks, and
names no holder. Its soft lock does not say how to remove the file of a dead holder on another machine.
"""

import contextlib
import errno
import json
import os
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from cache.errors import LockedError, as_cache_error
from cache.processes import describe_place, read_start

try:
    import fcntl
except ImportError:  # Windows: the file itself is the lock
    fcntl = None  # type: ignore[assignment]

LOCK_NAME = ".lock"
_BUSY = {errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK}
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}
_NOTE_BYTES = 4096  # more than the longest note
_NOTE_S = 0.5  # how long a new holder may take to write its note
_RETRY_S = 0.02  # between two tries for a lock that another process holds
_SETTLE_S = 0.05  # how long two processes may take over the file of the same dead holder


@dataclass(frozen=True)
class Holder:
    """Who holds a lock, as written in the lock file.

    Attributes
    ----------
    what
        What the holder does, a command for example.
    pid, started
        The process, and its start time: a later process may get the same number.
    host, place
        The machine; its boot and the namespace of process numbers in which `pid` is valid.
    since
        When the lock was taken, ISO 8601, UTC.
    os_lock
        Whether the operating system holds the lock too. If not, the existence of the file is the lock.
    """

    what: str
    pid: int
    started: str
    host: str
    place: str
    since: str
    os_lock: bool

    def __str__(self) -> str:
        return f"{self.what}, process {self.pid} on {self.host} since {self.since}"

    def is_visible(self) -> bool:
        """Whether this process can tell if the holder is alive: both run on the same machine."""
        return (self.host, self.place) == (socket.gethostname(), describe_place())

    def is_dead(self) -> bool:
        """Whether the holder has certainly ended. Nothing is certain about another machine's processes."""
        return self.is_visible() and read_start(self.pid) != self.started


@dataclass(frozen=True)
class _Lock:
    """A lock that this process holds."""

    path: Path
    descriptor: int
    os_lock: bool


_held: set[_Lock] = set()


@contextlib.contextmanager
def hold_lock(path: Path, what: str, wait_s: float = 0.0) -> Iterator[None]:
    """Hold a lock for the block. It ends with the block, or with the process, however that ends.

    A lock has one holder: a second one in the same process or thread is refused too. Child processes do not inherit it.
    On a mount without locks, the existence of the file is the lock; the file of a dead process of this machine is
    replaced.

    Parameters
    ----------
    path
        The lock file, in an existing folder. It is removed on release.
    what
        What the holder does, for the message to others: a command, for example.
    wait_s
        How long to wait for another holder's release, in seconds.

    Raises
    ------
    LockedError
        If the lock is held, and not released while waiting; it names the holder.
    CacheError
        If the folder cannot be written to.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / ".lock"
    >>> with hold_lock(path, "train-head"), hold_lock(path, "evaluate"):  # doctest: +ELLIPSIS
    ...     pass
    Traceback (most recent call last):
    ...
    cache.errors.LockedError: ... is in use: train-head, process ... since ...; wait for it or stop it
    >>> path.exists()
    False
    """
    with as_cache_error(path.parent, _NOTE_BYTES):
        lock = _acquire_in_time(path, what, time.monotonic() + wait_s)
    try:
        yield
    finally:
        _release(lock)


@contextlib.contextmanager
def lock_for_writing(folder: Path, what: str = "writing features") -> Iterator[None]:
    """Hold the lock `folder/.lock` for the block; see `hold_lock`."""
    with hold_lock(folder / LOCK_NAME, what):
        yield


def _acquire_in_time(path: Path, what: str, deadline: float) -> _Lock:
    while True:
        try:
            return _acquire(path, what)
        except LockedError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(_RETRY_S)


def _acquire(path: Path, what: str) -> _Lock:
    while True:
        descriptor, created = _open(path)
        try:
            lock = _Lock(path, descriptor, _take_os_lock(path, descriptor))
            if _may_take(lock, created) and _write_note(lock, what):
                _held.add(lock)
                return lock
        except BaseException:
            _close(descriptor)
            raise
        _close(descriptor)


def _open(path: Path) -> tuple[int, bool]:
    """Open the lock file; also return whether this call has created it."""
    while True:
        with contextlib.suppress(FileExistsError):
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), True
        with contextlib.suppress(FileNotFoundError):  # just released
            return os.open(path, os.O_RDWR), False


def _take_os_lock(path: Path, descriptor: int) -> bool:
    """Take the operating system's lock; return False on a mount without locks."""
    deadline = time.monotonic() + _NOTE_S
    while fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return False
            if error.errno not in _BUSY:
                raise
            holder = _read_holder(path)
            # A new holder is about to write its note; a dead one's child, just forked, is about to let go.
            if (holder is not None and not holder.is_dead()) or time.monotonic() > deadline:
                raise _refuse(path, holder) from error
            time.sleep(0.01)
    return False


def _may_take(lock: _Lock, created: bool) -> bool:
    """Whether to write the note; False to open the file again, because it was removed. Refuse if it is held."""
    if not _is_in_place(lock):
        return False
    if created:
        return True
    if lock.os_lock:  # held only if another machine, whose mount has no locks, has made the file
        holder = _await_holder(lock.path)
        if holder is not None and not holder.os_lock and not holder.is_dead():
            raise _refuse(lock.path, holder)
        return True
    holder = _await_holder(lock.path)
    if holder is None or not holder.is_dead():
        raise _refuse(lock.path, holder)
    _remove_dead(lock.path, holder)
    return False


def _write_note(lock: _Lock, what: str) -> bool:
    """Write the note; return False if another process has removed the file meanwhile."""
    since = datetime.now(UTC).isoformat(timespec="seconds")
    pid = os.getpid()
    holder = Holder(what, pid, read_start(pid), socket.gethostname(), describe_place(), since, lock.os_lock)
    note = json.dumps(asdict(holder)).encode().ljust(_NOTE_BYTES // 4)
    try:
        os.lseek(lock.descriptor, 0, os.SEEK_SET)
        written = 0
        while written < len(note):
            written += os.write(lock.descriptor, note[written:])
        os.ftruncate(lock.descriptor, len(note))
    except BaseException:
        with contextlib.suppress(OSError):
            lock.path.unlink()
        raise
    if not lock.os_lock:
        time.sleep(_SETTLE_S)
    return _is_in_place(lock)


def _release(lock: _Lock) -> None:
    """Remove the file while the lock is held, then release it. In a forked child, do nothing."""
    if lock not in _held:
        return
    _held.discard(lock)
    # If the folder was removed and made again, the file of that name is another process's.
    with contextlib.suppress(OSError):
        in_place = _is_in_place(lock)
        if not lock.os_lock:
            _close(lock.descriptor)  # Windows does not remove open files
        if in_place:
            lock.path.unlink()
    if lock.os_lock:
        _close(lock.descriptor)


def _remove_dead(path: Path, dead: Holder) -> None:
    """Remove the lock file of a dead holder, on a mount without locks.

    Two processes may do this at once. The file is moved first and read again: if it is no longer the dead holder's, it
    is moved back. A holder waits a moment and then checks that its file is in place.
    """
    aside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        return
    if _read_holder(aside) == dead:
        aside.unlink()
    else:
        os.rename(aside, path)


def _await_holder(path: Path) -> Holder | None:
    """Read the note of a file that was just created: it may not be written yet."""
    deadline = time.monotonic() + _NOTE_S
    while (holder := _read_holder(path)) is None and time.monotonic() < deadline and path.exists():
        time.sleep(0.01)
    return holder


def _read_holder(path: Path) -> Holder | None:
    try:
        with path.open("rb") as file:
            return Holder(**json.loads(file.read(_NOTE_BYTES)))
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def _refuse(path: Path, holder: Holder | None) -> LockedError:
    who = "a process that has just started" if holder is None else str(holder)
    message = f"{path.parent} is in use: {who}; wait for it or stop it"
    if holder is None or (not holder.os_lock and not holder.is_visible()):
        message += f"; if it has ended already, remove {path} and run this again"
    return LockedError(message)


def _is_in_place(lock: _Lock) -> bool:
    try:
        return os.path.samestat(os.fstat(lock.descriptor), os.stat(lock.path))
    except FileNotFoundError:
        return False


def _close(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        os.close(descriptor)


def _forget_in_child() -> None:
    """Close the descriptors that a fork has copied: a child would hold the lock after its parent's death."""
    for lock in _held:
        _close(lock.descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
