"""Remember what was found in every file, so that a second run decodes only those whose size or times changed.

In: a file's name, size and times. Out: the answer of the run that decoded it, as text. Keeping answers
between runs is left to `keyed_memory`; the file is no DVC output.
"""

import hashlib
import json
import os
import stat
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import imagehash
import PIL

from stages.clean.settings import CleanSettings
from stages.core.images.files import find_file
from stages.core.keyed_memory import KeyedMemory

FORMAT_VERSION = 6
# A file changed so shortly before it was decoded may change again without its time showing it.
TOO_FRESH_S = 2.0


@dataclass(frozen=True)
class FileState:
    """Size in bytes, times of modification and of the inode's change in nanoseconds; `missing` if no such file exists.

    A tool that sets the old modification time again after a change cannot set the inode's.
    """

    size: int = -1
    mtime_ns: int = -1
    ctime_ns: int = -1
    missing: bool = False

    @property
    def stamp(self) -> str:
        """Size and times as text."""
        return f"{self.size} {self.mtime_ns} {self.ctime_ns}"


def file_state(root: Path, name: str) -> FileState | None:
    """Look up a file's size and times without opening it; None where only opening it can tell (links, odd names)."""
    if name.startswith("/") or ".." in name.split("/"):
        return None
    try:
        found = _look(root, name)
    except FileNotFoundError:
        return FileState(missing=True)
    except (OSError, ValueError):
        return None
    return FileState(found.st_size, found.st_mtime_ns, found.st_ctime_ns) if stat.S_ISREG(found.st_mode) else None


def _look(root: Path, name: str) -> os.stat_result:
    try:
        return os.lstat(f"{root}/{name}")
    except FileNotFoundError:  # or kept in another Unicode form
        return os.lstat(find_file(root, name))


class ScanMemory:
    """What earlier runs found; a context manager.

    Parameters
    ----------
    path
        The database; its folder is created. Unreadable or made with other settings: emptied.
    root
        The image root that names are relative to.
    settings
        Those that decide what is found.
    """

    def __init__(self, path: Path, root: Path, settings: CleanSettings) -> None:
        decisive = settings.model_dump(include={"min_side_px", "max_pixels"})
        made_with = [FORMAT_VERSION, str(root.resolve()), decisive, PIL.__version__, imagehash.__version__]
        fingerprint = hashlib.sha256(json.dumps(made_with, sort_keys=True).encode()).hexdigest()
        self._memory = KeyedMemory(path, fingerprint)

    def __enter__(self) -> "ScanMemory":
        self._memory.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._memory.__exit__(*exception)

    def known(self, names: Sequence[str], states: Sequence[FileState | None]) -> list[str | None]:
        """The answers for files whose size and times have not changed, None for all others."""
        kept = self._memory.known(names)
        return [_answer(kept.get(name), state) for name, state in zip(names, states, strict=True)]

    def remember(self, found: Iterable[tuple[str, FileState | None, str]]) -> None:
        """Keep answers; they are on disk after some seconds, and when the block ends."""
        oldest = time.time_ns() - int(TOO_FRESH_S * 1e9)
        self._memory.remember(
            (name, f"{state.stamp}\n{answer}")
            for name, state, answer in found
            if state is not None and not state.missing and state.mtime_ns < oldest
        )


def _answer(kept: str | None, state: FileState | None) -> str | None:
    """The answer in a kept text, if the file is still as it was."""
    if kept is None or state is None:
        return None
    stamp, _, answer = kept.partition("\n")
    return answer if stamp == state.stamp else None
