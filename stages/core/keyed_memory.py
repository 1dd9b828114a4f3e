"""Remember a text per key in a SQLite file between runs, for results that are slow to compute.

In: keys, and the texts computed for them. Out: those that an earlier run kept. The file only saves time: a damaged one
is set aside, and one that cannot be used is done without. What a text means is left to the caller.
"""

import contextlib
import logging
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import xxhash

COMMIT_EVERY_S = 10.0
WAIT_FOR_LOCK_S = 5.0
# SQLite limits the number of values in one query.
LOOK_UP_AT_ONCE = 500

log = logging.getLogger(__name__)


class KeyedMemory:
    """Texts by key, in a SQLite file; a context manager.

    Every row carries a checksum, and a row that does not match it is not returned.

    Parameters
    ----------
    path
        The file; its folder is created.
    made_with
        Describes whatever decides the texts (versions, settings): a file made with anything else is emptied.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "lengths.sqlite"
    >>> with KeyedMemory(path, made_with="version 1") as memory:
    ...     memory.remember([("word", "4")])
    >>> with KeyedMemory(path, made_with="version 1") as memory:
    ...     memory.known(["word", "sentence"])
    {'word': '4'}
    """

    def __init__(self, path: Path, made_with: str) -> None:
        self.path = path
        self.made_with = made_with
        self._committed = time.monotonic()
        self._database = self._open_or_replace()

    def __enter__(self) -> "KeyedMemory":
        return self

    def __exit__(self, *exception: object) -> None:
        """Keep what was remembered, also when the run was interrupted."""
        if self._database is None:
            return
        try:
            self._database.commit()
            self._database.close()
        except sqlite3.DatabaseError as error:
            self._give_up(error)

    def known(self, keys: Sequence[str]) -> dict[str, str]:
        """Look up the texts of keys; keys without one are left out."""
        found: dict[str, str] = {}
        for start in range(0, len(keys), LOOK_UP_AT_ONCE):
            found |= self._look_up([key for key in keys[start : start + LOOK_UP_AT_ONCE] if _is_storable(key)])
        return found

    def remember(self, texts: Iterable[tuple[str, str]]) -> None:
        """Keep texts by key; they are on disk after some seconds, and when the block ends."""
        if self._database is None:
            return
        rows = [(key, text, _checksum(key, text)) for key, text in texts if _is_storable(key)]
        try:
            self._database.executemany("INSERT OR REPLACE INTO memory VALUES (?, ?, ?)", rows)
            if time.monotonic() - self._committed > COMMIT_EVERY_S:
                self._database.commit()
                self._committed = time.monotonic()
        except sqlite3.OperationalError as error:  # a full disk, a lock
            self._give_up(error)
        except sqlite3.DatabaseError as error:
            self._start_again(error)

    def _look_up(self, keys: Sequence[str]) -> dict[str, str]:
        if self._database is None:
            return {}
        marks = ",".join("?" * len(keys))
        try:
            rows = self._database.execute(f"SELECT * FROM memory WHERE key IN ({marks})", keys).fetchall()
        except sqlite3.OperationalError as error:
            self._give_up(error)
            return {}
        except sqlite3.DatabaseError as error:
            self._start_again(error)
            return {}
        return {key: text for key, text, checksum in rows if checksum == _checksum(key, text)}

    def _open_or_replace(self) -> sqlite3.Connection | None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return self._open()
        except (OSError, sqlite3.OperationalError) as error:  # locked, no permission, no folder: not damaged
            self._give_up(error)
            return None
        except sqlite3.DatabaseError as error:
            return self._replace(error)

    def _start_again(self, error: Exception) -> None:
        """Set a database aside that turned out to be damaged, and continue with an empty one."""
        database, self._database = self._database, None
        if database is not None:
            with contextlib.suppress(sqlite3.DatabaseError):
                database.close()
        self._database = self._replace(error)

    def _replace(self, error: Exception) -> sqlite3.Connection | None:
        aside = Path(f"{self.path}.damaged")
        message = "%s is damaged (%s): it is set aside as %s, and its results are computed again"
        log.warning(message, self.path, error, aside.name)
        try:
            self.path.replace(aside)
            for ending in ("journal", "wal", "shm"):
                Path(f"{self.path}-{ending}").unlink(missing_ok=True)
            return self._open()
        except (OSError, sqlite3.DatabaseError) as problem:
            self._give_up(problem)
            return None

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.path, timeout=WAIT_FOR_LOCK_S)
        try:
            database.execute("CREATE TABLE IF NOT EXISTS made_with (description TEXT)")
            if database.execute("SELECT * FROM made_with").fetchall() != [(self.made_with,)]:
                for table in list(_tables(database)):
                    database.execute(f'DROP TABLE "{table}"')
                database.execute("CREATE TABLE made_with (description TEXT)")
                database.execute("INSERT INTO made_with VALUES (?)", (self.made_with,))
                database.execute(
                    "CREATE TABLE memory (key TEXT PRIMARY KEY, text TEXT NOT NULL, checksum TEXT NOT NULL) "
                    "WITHOUT ROWID"
                )
            database.commit()
        except sqlite3.DatabaseError:
            database.close()
            raise
        return database

    def _give_up(self, error: Exception) -> None:
        """Continue without the file: a run does not fail for what would only make the next one faster."""
        log.warning("%s cannot be used (%s): the next run computes these results again", self.path, error)
        database, self._database = getattr(self, "_database", None), None
        if database is not None:
            database.close()


def _tables(database: sqlite3.Connection) -> Iterator[str]:
    for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        yield name


def _checksum(key: str, text: str) -> str:
    return xxhash.xxh3_64_hexdigest(f"{key}\0{text}".encode(errors="replace"))


def _is_storable(key: str) -> bool:
    """Keys with lone surrogates are not UTF-8, so SQLite cannot keep them."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True
