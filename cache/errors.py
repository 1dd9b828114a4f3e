"""Errors of the cache: each message says in one line what is wrong, in which file and row, and what to do.

In: errors of the operating system. Out: `CacheError` and its subclasses. Which command to run is left to the caller.
"""

import contextlib
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

MIB = 2**20
BLOCK_BYTES = 4096
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_VANISHED = {errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.ENOTCONN, errno.ENODEV}


class CacheError(Exception):
    """An error that a person can correct. The message is one line."""


class MissingRowsError(CacheError):
    """Rows that were asked for are not in the file or store, or the file does not exist. Computing them helps."""


class LockedError(CacheError):
    """Another process writes the same output. Waiting helps."""


class DamagedFileError(CacheError):
    """A file whose content cannot be trusted: cut short, changed, or not a feature file.

    Attributes
    ----------
    path
        The file.
    reason
        What is wrong with it, without its name.

    Examples
    --------
    >>> print(DamagedFileError(Path("shard-0.h5"), "row 3 does not match its checksum"))
    shard-0.h5 is damaged: row 3 does not match its checksum; compute its rows again
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} is damaged: {reason}; compute its rows again")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type, tuple[Path, str]]:
        return type(self), (self.path, self.reason)


@contextlib.contextmanager
def as_cache_error(path: Path, needed_bytes: int = 0) -> Iterator[None]:
    """Turn an `OSError` of the block into a `CacheError` about `path`.

    Parameters
    ----------
    path
        The file that the block reads or writes.
    needed_bytes
        How many bytes the block writes, for the message about a full disk.

    Raises
    ------
    CacheError
        In place of any `OSError`.

    Examples
    --------
    >>> with as_cache_error(Path("gone.h5")):  # doctest: +ELLIPSIS
    ...     raise FileNotFoundError(errno.ENOENT, "No such file or directory")
    Traceback (most recent call last):
    ...
    cache.errors.CacheError: gone.h5 or its folder is gone: ...
    """
    try:
        yield
    except OSError as error:
        raise CacheError(describe_os_error(error, path, needed_bytes)) from error


def describe_os_error(error: OSError, path: Path, needed_bytes: int = 0) -> str:
    """Describe in one line what `error` means for `path`, and what to do.

    >>> describe_os_error(OSError(errno.EIO, "Input/output error"), Path("shard-0.h5"))
    'shard-0.h5: Input/output error; check the disk and try again'
    """
    if error.errno in _FULL:
        return (
            f"the disk is full: {path} needs {_format_needed(needed_bytes)}, {_format_free_space(path)} is free; "
            "make room and try again, finished work is kept"
        )
    if error.errno == errno.EFBIG:
        return (
            f"the file is larger than this process may write: {path} needs {_format_needed(needed_bytes)}, "
            f"the limit is {_format_file_size_limit()}; raise it (ulimit -f) and try again"
        )
    if error.errno in _FORBIDDEN:
        return f"no permission: {path}: {error.strerror}; change the folder's permissions or name another folder"
    if error.errno in _VANISHED:
        return f"{path} or its folder is gone: {error.strerror}; check that the disk is mounted and try again"
    return f"{path}: {error.strerror or error}; check the disk and try again"


def ensure_room(folder: Path | str, needed_bytes: int) -> None:
    """Check before long work that the disk has room for its output.

    Parameters
    ----------
    folder
        Where the files will go. It may be missing.
    needed_bytes
        An estimate of how many bytes will be written.

    Raises
    ------
    CacheError
        If there is too little room, naming both sizes; or if the folder cannot be read.

    Examples
    --------
    >>> ensure_room("not/there/yet", needed_bytes=1)
    """
    existing = Path(folder).absolute()
    with as_cache_error(existing):
        while not existing.exists() and existing != existing.parent:
            existing = existing.parent
        free_bytes = shutil.disk_usage(existing).free
    if free_bytes < needed_bytes:
        raise CacheError(
            f"too little room on the disk of {folder}: {format_mib(needed_bytes)} needed, "
            f"{format_mib(free_bytes)} free; make room or name another folder"
        )


def format_mib(size_bytes: int) -> str:
    """Format a size in MiB with one decimal.

    >>> format_mib(3 * 2**19)
    '1.5 MiB'
    """
    return f"{size_bytes / MIB:,.1f} MiB"


def _format_needed(needed_bytes: int) -> str:
    if needed_bytes >= MIB // 10:
        return format_mib(needed_bytes)
    # Nothing is smaller than a block.
    return f"{needed_bytes / 1024:.1f} KiB" if needed_bytes else f"at least {BLOCK_BYTES / 1024:.1f} KiB"


def _format_free_space(path: Path) -> str:
    try:
        return format_mib(shutil.disk_usage(path.parent).free)
    except OSError:
        return "an unknown amount"


def _format_file_size_limit() -> str:
    try:
        import resource  # Unix only
    except ImportError:
        return "unknown"
    limit_bytes = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return "that of the file system" if limit_bytes == resource.RLIM_INFINITY else format_mib(limit_bytes)
