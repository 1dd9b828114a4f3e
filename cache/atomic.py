"""Write a file so that a reader sees the old one or the new one, never half of it.

In: a destination path. Out: a temporary path in the same folder, renamed to the destination once it is complete and on
disk. What the file holds is left to the caller.
"""

import contextlib
import hashlib
import os
import re
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

from cache.errors import CacheError, as_cache_error, describe_os_error
from cache.processes import describe_place, read_start

TEMPORARY_SUFFIX = ".partial"
# Where the number of a process in a temporary file's name is valid: one boot of one machine.
_PLACE = hashlib.sha256(f"{socket.gethostname()} {describe_place()}".encode()).hexdigest()[:8]


@contextlib.contextmanager
def atomic_path(destination: Path | str, needed_bytes: int = 0) -> Iterator[Path]:
    """Yield a temporary path that replaces `destination` when the block ends without an error.

    The order survives a power cut: flush the file, rename it, flush its folder. If the block raises, the temporary
    file is removed and the destination stays as it was. The temporary file of a killed process is removed by the next
    one that writes the same destination on the same machine.

    Parameters
    ----------
    destination
        The file to write. Its folder is created if it does not exist.
    needed_bytes
        How large the file will be, for the message about a full disk; 0 if unknown: then what was written is named.

    Yields
    ------
    Path
        Where to write, in the destination's folder.

    Raises
    ------
    CacheError
        In place of any `OSError`, of the block too: if the folder cannot be written to or the disk is full.

    Examples
    --------
    >>> import tempfile
    >>> destination = Path(tempfile.mkdtemp()) / "note.txt"
    >>> with atomic_path(destination) as temporary:
    ...     _ = temporary.write_text("finished")
    >>> destination.read_text()
    'finished'

    After an error the old content is still there:

    >>> with contextlib.suppress(ZeroDivisionError), atomic_path(destination) as temporary:
    ...     _ = temporary.write_text("half"), 1 / 0
    >>> destination.read_text(), len(list(destination.parent.iterdir()))
    ('finished', 1)
    """
    destination = Path(destination)
    temporary = destination.with_name(
        f".{destination.name}.{_PLACE}-{os.getpid()}-{secrets.token_hex(4)}{TEMPORARY_SUFFIX}"
    )
    try:
        make_folder(destination.parent)
        _remove_left_files(destination)
        yield temporary
        move_into_place(temporary, destination)
    except OSError as error:
        raise CacheError(_describe(error, temporary, destination, needed_bytes)) from error
    except Exception as error:
        # A library's own error names no file: whoever shows it adds this note.
        error.add_note(f"while writing {destination}")
        raise
    finally:
        with contextlib.suppress(OSError):  # the next run removes it
            temporary.unlink(missing_ok=True)


def _describe(error: OSError, temporary: Path, destination: Path, needed_bytes: int) -> str:
    own = {str(temporary), str(destination), str(destination.parent)}
    if isinstance(error.filename, str | Path) and str(error.filename) not in own:
        return describe_os_error(error, Path(error.filename))  # the block reads another file
    with contextlib.suppress(OSError):
        needed_bytes = max(needed_bytes, temporary.stat().st_size)
    return describe_os_error(error, destination, needed_bytes)


def _remove_left_files(destination: Path) -> None:
    """Remove the temporary files of this destination whose writers have ended. Others' files stay."""
    mine = re.compile(rf"\.{re.escape(destination.name)}\.{_PLACE}-(\d+)-[0-9a-f]{{8}}{re.escape(TEMPORARY_SUFFIX)}")
    for name in os.listdir(destination.parent):
        if (found := mine.fullmatch(name)) and not read_start(int(found[1])):
            destination.with_name(name).unlink(missing_ok=True)


def move_into_place(temporary: Path, destination: Path) -> None:
    """Flush a complete file, rename it to `destination`, flush the folder: the order that survives a power cut."""
    flush_to_disk(temporary)
    os.replace(temporary, destination)
    flush_to_disk(destination.parent)


def make_folder(folder: Path) -> None:
    """Create a folder and its missing parents, and flush their entries, so that a power cut cannot remove them."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        flush_to_disk(path.parent)


def remove_partial_files(folder: Path) -> None:
    """Remove the temporary files of killed writers. The caller must hold the folder's lock.

    Raises
    ------
    CacheError
        If a file cannot be removed.
    """
    with as_cache_error(folder):
        for path in folder.glob(f".*{TEMPORARY_SUFFIX}"):
            path.unlink(missing_ok=True)


def write_text(destination: Path | str, text: str) -> None:
    """Write `text` as UTF-8, atomically. Line ends are written as they are in `text`.

    Raises
    ------
    CacheError
        If the folder cannot be written to or the disk is full.
    """
    with atomic_path(destination, len(text.encode())) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def flush_to_disk(path: Path) -> None:
    """Wait until the file's data, or the folder's entries, are on the disk (`fsync`)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
