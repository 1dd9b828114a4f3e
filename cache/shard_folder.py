"""The folder of one fingerprint: its shards, and the shards that were set aside because they are damaged.

In: the folder, the description and the shape of a row. Out: the tables of its good shards. Writing shards is left to
`cache.writer`.
"""

import contextlib
import logging
import os
from pathlib import Path

from cache.checksums import Shape
from cache.errors import CacheError, DamagedFileError, as_cache_error
from cache.fingerprint import SHORT_DIGITS
from cache.keys import decode_keys
from cache.tables import Tables, read_tables

SET_ASIDE = "set-aside"
_log = logging.getLogger(__name__)


class ShardFolder:
    """A folder of immutable shards `shard-*.h5`, all of one fingerprint. Opening it reads and creates nothing.

    Parameters
    ----------
    folder
        `root/<fingerprint[:16]>`.
    description_text
        The canonical JSON text that the fingerprint digests.
    shape
        (views, tokens, channels) of every row.
    """

    def __init__(self, folder: Path, description_text: str, shape: Shape) -> None:
        self.folder = folder
        self.description_text = description_text
        self.shape: Shape = shape

    def keys(self) -> set[str]:
        """Read the keys whose features are in the folder, as 64 hexadecimal digits each.

        Reads the shards' tables, 72 bytes a row, not the features. A shard that is damaged or belongs to another
        fingerprint is set aside, with a warning in the log, and its keys are not returned.

        Raises
        ------
        CacheError
            If a shard cannot be read, or the folder holds another shape under the same description.
        """
        return {key for shard in self.shards() for key in decode_keys(shard.keys)}

    def shards(self) -> list[Tables]:
        """Read the tables of every good shard, by ascending file name. Damaged shards are set aside as in `keys`."""
        paths = list_shard_paths(self.folder)
        return [tables for path in paths if (tables := self._read_or_set_aside(path)) is not None]

    def _read_or_set_aside(self, path: Path) -> Tables | None:
        try:
            tables = read_tables(path)
        except DamagedFileError as error:
            set_aside(path, error.reason)
            return None
        if (reason := find_rejection_reason(tables)) is not None:
            set_aside(path, reason)
            return None
        if tables.shape != self.shape:
            raise CacheError(
                f"{path} holds features of shape {tables.shape}, not {self.shape}, under the same description; "
                "put what decides the shape into the description"
            )
        return tables


def list_shard_paths(folder: Path) -> list[Path]:
    """List the path of every shard, ascending; none if the folder does not exist.

    Raises
    ------
    CacheError
        If the folder cannot be listed: that does not mean that it is empty.
    """
    with as_cache_error(folder):
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            return []
    return [folder / name for name in sorted(names) if name.startswith("shard-") and name.endswith(".h5")]


def is_shard_folder(path: Path) -> bool:
    """Whether a path is a folder that is named as a fingerprint."""
    return (
        path.is_dir()
        and not path.is_symlink()
        and len(path.name) == SHORT_DIGITS
        and set(path.name) <= set("0123456789abcdef")
    )


def find_rejection_reason(shard: Tables) -> str | None:
    """Explain why an undamaged file is not a valid shard of its folder; None if it is one."""
    if shard.fingerprint[:SHORT_DIGITS] != shard.path.parent.name:
        return f"its fingerprint is {shard.fingerprint[:SHORT_DIGITS]}, not this folder's"
    return None


def set_aside(path: Path, reason: str) -> Path:
    """Move a shard into the folder `set-aside` in its folder, and log a warning.

    Returns
    -------
    Path
        The new path. No file that was set aside earlier is overwritten.

    Raises
    ------
    CacheError
        If the file cannot be moved.
    """
    with as_cache_error(path):
        target = _choose_free_name(path.parent / SET_ASIDE / path.name)
        target.parent.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # another process has moved it
            os.rename(path, target)
    _log.warning("set aside %s: %s; its images count as absent, the file is now %s", path, reason, target)
    return target


def _choose_free_name(path: Path) -> Path:
    """Return `path`, or the first of path.1, path.2, … that does not exist."""
    candidate, number = path, 0
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}.{number}")
    return candidate
