"""Write a file so that a reader sees the old one or the new one, never a half.

In: a destination path. Out: a temporary path beside it, renamed over the destination once it is complete and on disk.
What the file holds is left to the caller.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from cache.errors import explained

TEMPORARY_SUFFIX = ".partial"


@contextlib.contextmanager
def atomic_path(destination: Path | str) -> Iterator[Path]:
    """Yield a temporary path that takes `destination`'s place when the block ends without an error.

    The order is what a power cut demands: the file's data reach the disk, then the rename, then the folder's entry.
    If the block raises, the temporary file is removed and the destination is as it was.

    Parameters
    ----------
    destination
        The file to be written. Its folder is created if there is none.

    Raises
    ------
    OSError
        If the folder cannot be written to or the disk is full.

    Examples
    --------
    >>> import tempfile
    >>> destination = Path(tempfile.mkdtemp()) / "note.txt"
    >>> with atomic_path(destination) as temporary:
    ...     _ = temporary.write_text("finished")
    >>> destination.read_text()
    'finished'
    """
    destination = Path(destination)
    make_folder(destination.parent)
    temporary = destination.with_name(f".{destination.name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
    try:
        yield temporary
        move_into_place(temporary, destination)
    finally:
        temporary.unlink(missing_ok=True)


def move_into_place(temporary: Path, destination: Path) -> None:
    """Give a complete file its name, in the order that a power cut demands."""
    flush_to_disk(temporary)
    os.replace(temporary, destination)
    flush_to_disk(destination.parent)


def make_folder(folder: Path) -> None:
    """Create a folder, and those above it, if there is none: on the disk, or a power cut takes all that is in it."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        flush_to_disk(path.parent)


def remove_partial_files(folder: Path) -> None:
    """Remove what killed writers left; only for whoever holds the lock."""
    with explained(folder):
        for path in folder.glob(f".*{TEMPORARY_SUFFIX}"):
            path.unlink(missing_ok=True)


def write_text(destination: Path | str, text: str) -> None:
    """Write `text` as UTF-8, atomically, with line ends as they are in `text`."""
    with atomic_path(destination) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def flush_to_disk(path: Path) -> None:
    """Wait until the file's data, or the folder's entries, are on the disk (`fsync`)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
