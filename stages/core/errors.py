"""The error that a person at the keyboard can act on, and what failures of disk, memory and data mean for that person.

In: an exception and, where it is known, the file that it concerns. Out: `StageError`, or one line about the failure.
Printing it and exiting with 1 is left to the command line.
"""

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

RERUN = "run the same command again; finished work is kept"
FULL = f"free some space and {RERUN}"
MEMORY = "close other programs, or set parallel.n_jobs, features.batch_size or train.batch_size to less"
DAMAGED = "run the command that writes it again, or restore it"
ADVICE = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: f"the quota is used up: {FULL}",
    errno.EFBIG: "the file-size limit (ulimit -f) or file system allows no larger file; finished work is kept",
    errno.EACCES: "check the permissions of the folder",
    errno.EPERM: "check the permissions of the folder",
    errno.EROFS: "the file system is read-only: choose a folder that can be written to",
    errno.ENOENT: "check that it exists",
    errno.ENOTDIR: "a part of this path is a file where a folder is needed: move it away",
    errno.EISDIR: "there is a folder where a file is needed: move it away",
    errno.EIO: f"the disk or network mount did not answer: check it and {RERUN}",
    errno.ESTALE: f"the network mount is gone: mount it and {RERUN}",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n), or set parallel.n_jobs to less",
    errno.ENFILE: "too many files are open on this machine: close other programs, or set parallel.n_jobs to less",
    errno.ENOMEM: MEMORY,
    errno.EAGAIN: "too many processes or locks: raise the limit (ulimit -u), or set parallel.n_jobs to less",
    errno.EPIPE: "whoever read this output has closed it; finished work is kept",
}
# Stands for the room needed and the free room, where SQLite does not tell a full disk from other failures.
ROOM = "ROOM"
# What libraries raise without an error number: names of classes, a pattern of the message, and what to tell a person.
SIGNS = (
    ({"MemoryError"}, "", f"there is not enough memory: {MEMORY}"),
    ({"RuntimeError"}, "can't allocate memory|out of memory|bad_alloc", f"there is not enough memory: {MEMORY}"),
    ({"ImportError"}, "failed to map segment|allocate memory", f"there is not enough memory: {MEMORY}"),
    ({"RuntimeError"}, "can't start new thread", ADVICE[errno.EAGAIN]),
    (
        {"BrokenExecutor", "BrokenProcessPool"},
        "",
        f"a worker process was killed, by lack of memory more often than not: set parallel.n_jobs to less and {RERUN}",
    ),
    ({"RuntimeError"}, "DataLoader worker", f"a process that decodes images was killed: {MEMORY}"),
    ({"RuntimeError"}, "PytorchStreamWriter|inline_container|iostream|file write", f"it could not be written: {FULL}"),
    (
        {"OperationalError"},
        "disk I/O error",
        f"the disk or network mount did not answer, or a quota is used up ({ROOM}): check both and {RERUN}",
    ),
    ({"OperationalError"}, "readonly", ADVICE[errno.EACCES]),
    (
        {"OperationalError"},
        "unable to open",
        f"it cannot be opened or created ({ROOM}): check the room and the permissions of the folder",
    ),
    ({"OperationalError"}, "locked", "another process holds it: wait for that process, or end it"),
    ({"DatabaseError"}, "", f"the SQLite file is damaged: {DAMAGED}"),
    ({"RecursionError"}, "", f"it is nested too deeply to be read: {DAMAGED}"),
    ({"OverflowError"}, "", f"it holds a number that is too large: {DAMAGED}"),
    ({"ValueError"}, "integer string conversion", f"it holds a number of thousands of digits: {DAMAGED}"),
    ({"UnicodeError", "JSONDecodeError"}, "", f"it is not the text that was expected: {DAMAGED}"),
    ({"ParserError", "EmptyDataError", "YAMLError", "ArrowException", "SafetensorError"}, "", DAMAGED),
    ({"BadZipFile", "UnpicklingError", "EOFError", "OSError"}, "", DAMAGED),
)
# What SQLite writes in place of an error number.
_SQLITE = {"database or disk is full": errno.ENOSPC}
_FULL = {errno.ENOSPC, errno.EDQUOT}
_NUMBER = re.compile(r"\b(?:errno|os error)\W+(\d+)", re.IGNORECASE)
_NOTE = "while writing "


class StageError(Exception):
    """Says in one line what is wrong, where, and what to do; the command line prints it and exits with 1."""


@contextlib.contextmanager
def naming(path: Path, needed_bytes: int = 0) -> Iterator[None]:
    """Turn a failure of disk, memory or data in the block into a `StageError` about `path`.

    Parameters
    ----------
    path
        The file that the block reads or writes.
    needed_bytes
        How many bytes the block writes, for the message about a full disk; 0 where that is not known.

    Raises
    ------
    StageError
        In place of every error that `explain_failure` explains; others pass.

    Examples
    --------
    >>> with naming(Path("scores.json")):
    ...     raise OSError(errno.EIO, "Input/output error")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    stages.core.errors.StageError: scores.json: Input/output error: the disk or network mount did not answer: ...
    """
    try:
        yield
    except StageError:
        raise
    except Exception as error:
        message = explain_failure(error, path, needed_bytes)
        if message is None:
            raise
        raise StageError(message) from error


def explain_failure(error: BaseException, path: Path | None = None, needed_bytes: int = 0) -> str | None:
    """Explain in one line an error that comes from outside the program; None for any other.

    An error number anywhere in the chain of causes counts, also one that a library wrote into its message.

    Parameters
    ----------
    error
        The exception, with its causes and contexts.
    path
        The file that it concerns; None takes the one that the exception names.
    needed_bytes
        How many bytes were to be written; 0 where that is not known.

    Examples
    --------
    >>> explain_failure(MemoryError())
    'there is not enough memory: close other programs, or set parallel.n_jobs, ... to less'
    >>> explain_failure(ZeroDivisionError()) is None
    True
    """
    links = list(_chain(error))
    named = path or next(filter(None, map(_file_of, links)), None)
    for link in links:
        number = _number_of(link)
        if number is not None:
            return _explain_number(number, named, needed_bytes)
    for link in links:
        text = _explain_class(link)
        if text is not None:
            text = text.replace(ROOM, _describe_room(named or Path(), needed_bytes))
            return f"{named}: {text}" if named else text
    return None


def is_about_room(error: BaseException) -> bool:
    """Whether an error comes from a full disk or a quota that is used up.

    >>> is_about_room(OSError(errno.ENOSPC, "No space left on device"))
    True
    """
    return any(_number_of(link) in _FULL for link in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, what caused it, and what was being handled when it was raised."""
    waiting: list[BaseException] = [error]
    seen: set[int] = set()
    while waiting:
        link = waiting.pop()
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        waiting += [other for other in (link.__context__, link.__cause__) if other is not None]


def _file_of(error: BaseException) -> Path | None:
    """The file that was being written (see `cache.atomic`), else the one that the operating system names."""
    for note in getattr(error, "__notes__", ()):
        if note.startswith(_NOTE):
            return Path(note.removeprefix(_NOTE))
    name = error.filename if isinstance(error, OSError) else None
    return Path(os.fsdecode(name)) if isinstance(name, str | bytes) else None


def _number_of(error: BaseException) -> int | None:
    if isinstance(error, OSError) and error.errno:
        return error.errno
    for text, number in _SQLITE.items():
        if text in str(error):
            return number
    found = _NUMBER.search(str(error))
    return int(found[1]) if found and len(found[1]) < 4 else None


def _explain_number(number: int, path: Path | None, needed_bytes: int) -> str:
    """Name the file; without one it is the output, or a file that a library wrote below the current folder."""
    advice = ADVICE.get(number, f"check the disk and {RERUN}")
    where = str(path) if path else "the output" if number == errno.EPIPE else f"the output, or a file in {Path.cwd()}"
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{where}: {os.strerror(number)} ({_describe_room(path or Path(), needed_bytes)}): {advice}"
    return f"{where}: {os.strerror(number)}: {advice}"


def _describe_room(path: Path, needed_bytes: int) -> str:
    needed = f"{needed_bytes / 2**20:,.1f} MiB needed, " if needed_bytes else "at least 4.0 KiB needed, "
    folder = next((parent for parent in [path.absolute(), *path.absolute().parents] if parent.is_dir()), Path("/"))
    try:
        return f"{needed}{shutil.disk_usage(folder).free / 2**20:,.1f} MiB free in {folder}"
    except OSError:
        return f"{needed}an unknown amount free in {folder}"


def _explain_class(error: BaseException) -> str | None:
    names = {base.__name__ for base in type(error).__mro__}
    message = " ".join(str(error).split())
    for classes, pattern, text in SIGNS:
        if classes & names and re.search(pattern, message):
            detail = message[:200].rstrip(".")
            return f"{text} ({detail})" if detail else text
    return None
