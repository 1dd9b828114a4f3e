"""Remember what was found in every file, so that a second run decodes only those whose size or time changed.

In: a file's name, size and modification time. Out: the answer of the run that decoded it, as text. Keeping answers
between runs is left to `keyed_memory`; the file is no DVC output.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import imagehash
import PIL

from stages.clean.settings import CleanSettings
from stages.core.keyed_memory import KeyedMemory
from stages.core.tables.file_names import disk_names

FORMAT_VERSION = 3
# A file changed so shortly before it was decoded may change again without its time showing it.
TOO_FRESH_S = 2.0


@dataclass(frozen=True)
class FileState:
    """Size in bytes and modification time in nanoseconds; `missing` if no such file exists."""

    size: int = -1
    mtime_ns: int = -1
    missing: bool = False

    @property
    def stamp(self) -> str:
        """Size and time as text."""
        return f"{self.size} {self.mtime_ns}"


def file_state(root: Path, name: str) -> FileState | None:
    """Look up a file's size and time without opening it; None where only opening it can tell (links, odd names)."""
    if name.startswith("/") or ".." in name.split("/"):
        return None
    for spelling in disk_names(name):
        try:
            found = os.lstat(f"{root}/{spelling}")
        except FileNotFoundError:
            continue
        except (OSError, ValueError):
            return None
        plain = (found.st_mode & 0o170000) == 0o100000
        return FileState(found.st_size, found.st_mtime_ns) if plain else None
    return FileState(missing=True)


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
        """The answers for files whose size and time have not changed, None for all others."""
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
