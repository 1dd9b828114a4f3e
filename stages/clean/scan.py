"""Remember what was found in every file, so that a second run looks only at those whose size or time changed.

In: a file's name, size and modification time. Out: the answer of the run that looked at it, as text. It is a database
outside DVC's outputs; a damaged one is started anew, and every row carries a checksum.
"""

import hashlib
import json
import logging
import os
import sqlite3
import time
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import imagehash
import PIL
import xxhash

from stages.clean.settings import CleanSettings

FORMAT_VERSION = 2
COMMIT_EVERY_S = 10.0
# A file changed so shortly before it was looked at may change again without its time showing it.
TOO_FRESH_S = 2.0
LOOK_UP_AT_ONCE = 500

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FileState:
    """Size in bytes and modification time in nanoseconds; `missing` if there is no such file."""

    size: int = -1
    mtime_ns: int = -1
    missing: bool = False


def file_state(root: Path, name: str) -> FileState | None:
    """Look at a file's entry, not at its content; None where only opening it can tell (links, odd names, no file)."""
    if name.startswith("/") or ".." in name.split("/"):
        return None
    for spelling in (name, unicodedata.normalize("NFD", name)):
        try:
            found = os.lstat(f"{root}/{spelling}")
        except FileNotFoundError:
            continue
        except (OSError, ValueError):
            return None
        plain = (found.st_mode & 0o170000) == 0o100000
        return FileState(found.st_size, found.st_mtime_ns) if plain else None
    return FileState(missing=True)


class ScanCache:
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
        path.parent.mkdir(parents=True, exist_ok=True)
        decisive = settings.model_dump(include={"min_side_px", "max_pixels"})
        made_with = [FORMAT_VERSION, str(root.resolve()), decisive, PIL.__version__, imagehash.__version__]
        self.fingerprint = hashlib.sha256(json.dumps(made_with, sort_keys=True).encode()).hexdigest()
        self.path = path
        self.committed = time.monotonic()
        self.given_up = False
        try:
            self.database = self._open()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and "lock" in str(error):
                raise
            log.warning("%s cannot be read (%s): every image is looked at again", path, error)
            for leftover in (path, Path(f"{path}-journal"), Path(f"{path}-wal"), Path(f"{path}-shm")):
                leftover.unlink(missing_ok=True)
            self.database = self._open()

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.path)
        try:
            database.execute("CREATE TABLE IF NOT EXISTS made_with (fingerprint TEXT)")
            if database.execute("SELECT fingerprint FROM made_with").fetchall() != [(self.fingerprint,)]:
                database.execute("DROP TABLE IF EXISTS scanned")
                database.execute("DELETE FROM made_with")
                database.execute("INSERT INTO made_with VALUES (?)", (self.fingerprint,))
            database.execute(
                "CREATE TABLE IF NOT EXISTS scanned "
                "(name TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, answer TEXT, checksum TEXT) WITHOUT ROWID"
            )
            database.commit()
        except sqlite3.DatabaseError:
            database.close()
            raise
        return database

    def __enter__(self) -> "ScanCache":
        return self

    def __exit__(self, *exception: object) -> None:
        """Keep what was found, also when the run was interrupted."""
        try:
            self.database.commit()
        except sqlite3.DatabaseError as error:
            self._give_up(error)
        finally:
            self.database.close()

    def known(self, names: Sequence[str], states: Sequence[FileState | None]) -> list[str | None]:
        """The answers for files that are as they were, None for all others."""
        answers: dict[str, tuple] = {}
        for start in range(0, len(names), LOOK_UP_AT_ONCE):
            part = [name for name in names[start : start + LOOK_UP_AT_ONCE] if _storable(name)]
            marks = ",".join("?" * len(part))
            try:
                rows = self.database.execute(f"SELECT * FROM scanned WHERE name IN ({marks})", part).fetchall()
            except sqlite3.DatabaseError as error:
                log.warning("%s is damaged (%s): some images are looked at again", self.path, error)
                continue
            answers |= {row[0]: row for row in rows}
        return [_valid(answers.get(name), state) for name, state in zip(names, states, strict=True)]

    def remember(self, found: Iterable[tuple[str, FileState | None, str]]) -> None:
        """Note answers; they are on disk after some seconds, and when the block ends."""
        oldest = time.time_ns() - int(TOO_FRESH_S * 1e9)
        rows = [
            (name, state.size, state.mtime_ns, answer, _checksum(name, state.size, state.mtime_ns, answer))
            for name, state, answer in found
            if state is not None and not state.missing and state.mtime_ns < oldest and _storable(name)
        ]
        try:
            self.database.executemany("INSERT OR REPLACE INTO scanned VALUES (?, ?, ?, ?, ?)", rows)
            if time.monotonic() - self.committed > COMMIT_EVERY_S:
                self.database.commit()
                self.committed = time.monotonic()
        except sqlite3.DatabaseError as error:
            self._give_up(error)

    def _give_up(self, error: sqlite3.DatabaseError) -> None:
        """A run does not fail for what would only make the next one faster."""
        if not self.given_up:
            log.warning("%s cannot be written (%s): the next run looks at these images again", self.path, error)
        self.given_up = True


def _valid(row: tuple | None, state: FileState | None) -> str | None:
    if row is None or state is None or row[1:3] != (state.size, state.mtime_ns) or _checksum(*row[:4]) != row[4]:
        return None
    return row[3]


def _checksum(name: str, size: int, mtime_ns: int, answer: str) -> str:
    return xxhash.xxh3_64_hexdigest(f"{name}\0{size}\0{mtime_ns}\0{answer}".encode(errors="replace"))


def _storable(name: str) -> bool:
    """Names with lone surrogates are no UTF-8, so SQLite cannot keep them."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
