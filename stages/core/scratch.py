"""Where a run keeps large temporary files: a folder of the project, removed when the run ends.

In: the project's folder for such files. Out: a folder for this run. What a killed run left is removed by the next one.
"""

import contextlib
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil

_current: Path | None = None


@contextlib.contextmanager
def run_folder(root: Path | None) -> Iterator[Path | None]:
    """Name a folder for this run's large temporary files, which whoever writes the first one creates.

    Parameters
    ----------
    root
        The project's folder for temporary files; folders of processes that have ended are removed from it. None names
        no folder.

    Yields
    ------
    Path or None
        Does not exist yet; removed at the end of the block.
    """
    global _current
    if root is None:
        yield None
        return
    remove_leftovers(root)
    before, _current = _current, root.resolve() / _name_of(psutil.Process())
    try:
        yield _current
    finally:
        shutil.rmtree(_current, ignore_errors=True)
        with contextlib.suppress(OSError):  # another run has a folder in it
            root.rmdir()
        _current = before


def large_files_folder() -> Path | None:
    """Create and give the folder of this run; None outside of `run_folder`: the system's folder serves."""
    if _current is not None:
        _current.mkdir(parents=True, exist_ok=True)
    return _current


def remove_leftovers(root: Path) -> None:
    """Remove the folders of this machine's processes that have ended."""
    with contextlib.suppress(OSError):
        for folder in list(root.iterdir()):
            if _has_ended(folder.name):
                shutil.rmtree(folder, ignore_errors=True)


def _name_of(process: psutil.Process) -> str:
    """Machine, process id and the second in which the process started: ids are used again."""
    return f"{socket.gethostname()}_{process.pid}_{int(process.create_time())}"


def _has_ended(name: str) -> bool:
    """Whether a folder is that of a process that ran on this machine and runs no more."""
    host, _, rest = name.rpartition("_")[0].rpartition("_")
    if host != socket.gethostname() or not rest.isdecimal():
        return False
    try:
        return name != _name_of(psutil.Process(int(rest)))
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:  # no permission to look: it runs
        return False
