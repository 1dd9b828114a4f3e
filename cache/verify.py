"""Verify stores and published files: read every row, find the damaged ones, keep the good ones.

In: feature files. Out: `Damage` by file and row. A damaged shard is set aside, never deleted, and its good rows are
written to the store again. Computing the lost rows is left to the caller.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cache.errors import DamagedFileError
from cache.row_reader import count_block_rows, find_damaged_rows, ignore_progress, read_blocks
from cache.shard_folder import find_rejection_reason, is_shard_folder, list_shard_paths, set_aside
from cache.store import FeatureStore
from cache.store_summary import list_shard_folders, open_store, summarise_store
from cache.tables import Tables, read_tables


@dataclass(frozen=True)
class Damage:
    """One damaged row of a file, or a file that is damaged as a whole.

    Attributes
    ----------
    path
        The file.
    row
        The row's number; None for the whole file.
    reason
        What is wrong, without the file's name.
    """

    path: Path
    row: int | None
    reason: str


@dataclass(frozen=True)
class VerifyReport:
    """What `verify_stores` read and found.

    Attributes
    ----------
    files, rows
        How many files, and rows in readable files.
    damage
        Everything that is damaged, by file and row.
    """

    files: int
    rows: int
    damage: list[Damage]

    @property
    def damaged_files(self) -> int:
        """How many files are damaged, as a whole or in a row."""
        return len({damage.path for damage in self.damage})


def count_rows(root: Path | str, published: Path | None = None) -> int:
    """Count the rows that `verify_stores` will read. Unreadable files count as zero rows.

    Parameters
    ----------
    root
        The folder of all stores.
    published
        A published file, which may be missing.

    Raises
    ------
    CacheError
        If a folder or file cannot be read, which is not damage.
    """
    return sum(_count_file_rows(path) for path in _list_files(root, published))


def verify_stores(
    root: Path | str, published: Path | None = None, *, advance: Callable[[int], None] = ignore_progress
) -> VerifyReport:
    """Read every row of every store, and of a published file, and compare each with its checksum.

    Nothing is moved or changed: `repair_stores` does that.

    Parameters
    ----------
    root
        The folder of all stores.
    published
        A published file to check too. It may be missing.
    advance
        Called with the number of rows read since the last call.

    Returns
    -------
    VerifyReport
        How much was read, and the damage.

    Raises
    ------
    CacheError
        If a folder or file cannot be read, which is not damage.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> store = FeatureStore(root, {"arch": "resnet101"}, shape=(1, 1, 4))
    >>> with store.writer() as writer:
    ...     writer.append(["0" * 64], np.ones((1, 1, 1, 4), np.float16))
    >>> verify_stores(root)
    VerifyReport(files=1, rows=1, damage=[])
    >>> (shard,) = store.folder.glob("shard-*.h5")
    >>> _ = shard.write_bytes(b"")
    >>> report = verify_stores(root)
    >>> report.damaged_files, report.rows
    (1, 0)
    >>> repair_stores(report.damage)
    >>> verify_stores(root)
    VerifyReport(files=0, rows=0, damage=[])
    """
    paths = _list_files(root, published)
    rows = 0

    def count(read: int) -> None:
        nonlocal rows
        rows += read
        advance(read)

    damage = [problem for path in paths for problem in find_damage(path, count)]
    return VerifyReport(len(paths), rows, damage)


def repair_stores(damage: Iterable[Damage]) -> None:
    """Set every damaged shard aside and keep its good rows. A damaged published file stays where it is.

    Parameters
    ----------
    damage
        What `verify_stores` found.

    Raises
    ------
    CacheError
        If another writer is at work, or the disk refuses.
    """
    paths = sorted({problem.path for problem in damage if is_shard_folder(problem.path.parent)})
    stores = {folder: open_store(summarise_store(folder)) for folder in {path.parent for path in paths}}
    for path in paths:
        if (store := stores[path.parent]) is None:  # without a readable shard, even the settings are unknown
            set_aside(path, "it cannot be read")
        elif path.exists():  # repairing another shard of the store has set an unreadable one aside already
            repair(store, path)


def find_damage(path: Path, advance: Callable[[int], None] = ignore_progress) -> list[Damage]:
    """Read a feature file, a shard or a published file, to its last byte.

    Parameters
    ----------
    path
        The file.
    advance
        Called with the number of rows read since the last call.

    Raises
    ------
    CacheError
        If the file cannot be read, which is not damage.
    """
    try:
        tables = read_tables(path)
    except DamagedFileError as error:
        return [Damage(path, None, error.reason)]
    if (reason := _find_whole_file_damage(tables)) is not None:
        return [Damage(path, None, reason)]
    return [Damage(path, row, "does not match its checksum") for row in find_damaged_rows(tables, advance)]


def _find_whole_file_damage(tables: Tables) -> str | None:
    return find_rejection_reason(tables) if is_shard_folder(tables.path.parent) else None


def repair(store: FeatureStore, path: Path) -> int:
    """Set a damaged shard aside and write its good rows to the store again.

    Returns
    -------
    int
        How many rows were kept. The others count as absent, so that the next extraction computes them.

    Raises
    ------
    CacheError
        If another writer is at work, or the disk refuses.
    """
    try:
        tables = read_tables(path)
    except DamagedFileError as error:
        set_aside(path, error.reason)
        return 0
    if (reason := find_rejection_reason(tables)) is not None:
        set_aside(path, reason)
        return 0
    bad = find_damaged_rows(tables)
    if not bad:  # the disk returned the right bytes this time
        return len(tables.keys)
    moved = set_aside(path, f"{len(bad)} of its rows do not match their checksum, the first is row {bad[0]}")
    good = np.setdiff1d(np.arange(len(tables.keys)), bad)
    known = store.keys()
    good = good[[key.decode() not in known for key in tables.keys[good]]]
    _append_rows(store, replace(tables, path=moved), good)
    return len(good)


def _append_rows(store: FeatureStore, source: Tables, rows: np.ndarray) -> None:
    step = count_block_rows(source.row_bytes)
    with store.writer() as writer:
        for start, block in zip(range(0, len(rows), step), read_blocks(source, rows), strict=True):
            writer.append(source.keys[rows[start : start + step]], block)


def _list_files(root: Path | str, published: Path | None) -> list[Path]:
    shards = [path for folder in list_shard_folders(root) for path in list_shard_paths(folder)]
    return shards if published is None or not published.exists() else [*shards, published]


def _count_file_rows(path: Path) -> int:
    try:
        return len(read_tables(path).keys)
    except DamagedFileError:
        return 0  # find_damage reports it
