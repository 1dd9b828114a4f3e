"""What goes wrong, said to a person in one line: what is wrong, which file (and row), what to do.

In: the system's errors. Out: `CacheError`. The command line prints the line; a program can catch the class.
"""

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

MIB = 2**20
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_VANISHED = {errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.ENOTCONN, errno.ENODEV}


class CacheError(Exception):
    """Something a person can put right; the message is one line."""


class DamagedFileError(CacheError):
    """A file whose content cannot be trusted: cut short, changed, or no feature file at all.

    Attributes
    ----------
    path
        The file.
    reason
        What is wrong with it, without its name.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is damaged: {reason}; run pipeline extract-features again")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type, tuple[Path, str]]:
        return type(self), (self.path, self.reason)


@contextlib.contextmanager
def explained(path: Path, needed_bytes: int = 0) -> Iterator[None]:
    """Turn an `OSError` of the block into a `CacheError` about `path`.

    Parameters
    ----------
    path
        The file that the block reads or writes.
    needed_bytes
        How much the block wants to write, for the message about a full disk.

    Raises
    ------
    CacheError
        In place of any `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise CacheError(explain(error, path, needed_bytes)) from error


def explain(error: OSError, path: Path, needed_bytes: int = 0) -> str:
    """Say in one line what `error` means for `path`, and what to do."""
    if error.errno in _FULL:
        return (
            f"the disk is full: {path} needs {in_mib(needed_bytes)}, {_free_space(path)} is free; "
            "make room and run the command again, what is finished is kept"
        )
    if error.errno == errno.EFBIG:
        return (
            f"the file is larger than this process may write: {path} needs {in_mib(needed_bytes)}, "
            f"the limit is {_file_size_limit()}; raise it (ulimit -f) and run the command again"
        )
    if error.errno in _FORBIDDEN:
        return f"no permission: {path}: {error.strerror}; change the folder's permissions or name another folder"
    if error.errno in _VANISHED:
        return f"{path} or its folder is gone: {error.strerror}; is the disk still mounted? Then run the command again"
    return f"{path}: {error.strerror or error}; check the disk and run the command again"


def ensure_room(folder: Path | str, needed_bytes: int) -> None:
    """Check before long work that the disk has room for what it will write.

    Parameters
    ----------
    folder
        Where the files will go; it need not exist yet.
    needed_bytes
        An estimate of what will be written.

    Raises
    ------
    CacheError
        If there is too little room, naming both sizes; or if the folder cannot be looked at.
    """
    existing = Path(folder).absolute()
    with explained(existing):
        while not existing.exists() and existing != existing.parent:
            existing = existing.parent
        free_bytes = shutil.disk_usage(existing).free
    if free_bytes < needed_bytes:
        raise CacheError(
            f"too little room on the disk of {folder}: {in_mib(needed_bytes)} needed, {in_mib(free_bytes)} free; "
            "make room or name another folder"
        )


def in_mib(size_bytes: int) -> str:
    """A size for people, in MiB with one decimal.

    >>> in_mib(3 * 2**19)
    '1.5 MiB'
    """
    return f"{size_bytes / MIB:,.1f} MiB"


def _free_space(path: Path) -> str:
    try:
        return in_mib(shutil.disk_usage(path.parent).free)
    except OSError:
        return "an unknown amount"


def _file_size_limit() -> str:
    try:
        import resource  # Unix only
    except ImportError:
        return "unknown"
    limit_bytes = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return "that of the file system" if limit_bytes == resource.RLIM_INFINITY else in_mib(limit_bytes)
