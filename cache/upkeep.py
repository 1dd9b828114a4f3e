"""Look after stores: say what they hold, check it, mend it, free what nobody needs, share the disk with publishing.

In: the folder of all stores. Out: summaries and lists of damage as plain values. Nothing is removed but by `free`,
`keep_only` and `share_with_published`, and a damaged shard is set aside, never deleted.
"""

import contextlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cache.atomic import TEMPORARY_SUFFIX, flush_to_disk, remove_partial_files
from cache.errors import DamagedFileError, explained
from cache.fingerprint import SHORT_DIGITS
from cache.growing_shard import shard_name, write_shard
from cache.lock import one_writer
from cache.rows import blocks_of, damaged_rows, rows_per_block
from cache.shard import NOT_IN_ONE_PIECE, Tables, read_tables
from cache.store import SET_ASIDE, FeatureStore, why_not_here

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoreSummary:
    """What one fingerprint's folder holds.

    Attributes
    ----------
    folder
        `root/<fingerprint[:16]>`.
    fingerprint
        64 hexadecimal digits; the folder's name if no shard in it can be read.
    description
        The settings behind it; None if no shard can be read.
    shape
        (views, tokens, channels); None likewise.
    images, shards, size_bytes
        Of the good shards.
    shared_bytes
        How much of `size_bytes` is the published file itself, under a second name.
    damaged
        Shards that cannot be read: path and reason. They are still where they were.
    set_aside, set_aside_bytes
        Files that earlier runs set aside.
    """

    folder: Path
    fingerprint: str
    description: dict[str, Any] | None
    shape: tuple[int, int, int] | None
    images: int
    shards: int
    size_bytes: int
    shared_bytes: int
    damaged: list[tuple[Path, str]]
    set_aside: int
    set_aside_bytes: int


def list_stores(root: Path | str) -> list[StoreSummary]:
    """Summarise every fingerprint's folder under `root`, by name; nothing is moved or changed.

    Raises
    ------
    CacheError
        If a folder or file cannot be reached.
    """
    root = Path(root)
    with explained(root):
        folders = sorted(path for path in root.iterdir() if _is_store(path)) if root.is_dir() else []
        return [_summary(folder) for folder in folders]


def _is_store(path: Path) -> bool:
    return (
        path.is_dir()
        and not path.is_symlink()
        and len(path.name) == SHORT_DIGITS
        and set(path.name) <= set("0123456789abcdef")
    )


def _summary(folder: Path) -> StoreSummary:
    good, damaged = [], []
    for path in sorted(folder.glob("shard-*.h5")):
        try:
            tables = read_tables(path)
            if (reason := why_not_here(tables)) is None:
                good.append(tables)
            else:
                damaged.append((path, reason))
        except DamagedFileError as error:
            damaged.append((path, error.reason))
    set_aside = [path.stat().st_size for path in (folder / SET_ASIDE).glob("*")]
    first = good[0] if good else None
    return StoreSummary(
        folder=folder,
        fingerprint=first.fingerprint if first else folder.name,
        description=json.loads(first.description) if first else None,
        shape=first.shape if first else None,
        images=len({key for tables in good for key in tables.keys.tolist()}),
        shards=len(good),
        size_bytes=sum(tables.path.stat().st_size for tables in good),
        shared_bytes=sum(tables.path.stat().st_size for tables in good if tables.path.stat().st_nlink > 1),
        damaged=damaged,
        set_aside=len(set_aside),
        set_aside_bytes=sum(set_aside),
    )


def open_store(summary: StoreSummary) -> FeatureStore | None:
    """Open the store that a summary is of; None if no shard in it can be read."""
    if summary.description is None or summary.shape is None:
        return None
    return FeatureStore(summary.folder.parent, summary.description, summary.shape)


@dataclass(frozen=True)
class Damage:
    """One thing that is wrong: a row of a file, or, where `row` is None, the file as a whole."""

    path: Path
    row: int | None
    reason: str


def find_damage(path: Path, on_rows: Callable[[int], None] = lambda count: None) -> list[Damage]:
    """Read a feature file, a shard or a published one, to its last byte.

    Parameters
    ----------
    path
        The file.
    on_rows
        Called with the number of rows read since the last call.

    Raises
    ------
    CacheError
        If the file cannot be reached, which says nothing about its content.
    """
    try:
        tables = read_tables(path)
    except DamagedFileError as error:
        return [Damage(path, None, error.reason)]
    reason = why_not_here(tables) if _is_store(path.parent) else NOT_IN_ONE_PIECE if tables.offset is None else None
    if reason is not None:
        return [Damage(path, None, reason)]
    return [Damage(path, row, "does not match its checksum") for row in damaged_rows(tables, on_rows)]


def repair(store: FeatureStore, path: Path) -> int:
    """Set a damaged shard aside and take the rows that are still good into the store again.

    Returns
    -------
    int
        How many rows were kept; the others count as absent, so that the next extraction computes them.

    Raises
    ------
    CacheError
        If another writer is at work, or the disk refuses.
    """
    try:
        tables = read_tables(path)
    except DamagedFileError as error:
        store.set_aside(path, error.reason)
        return 0
    if (reason := why_not_here(tables)) is not None:
        store.set_aside(path, reason)
        return 0
    bad = damaged_rows(tables)
    if not bad:  # read well this time: nothing to mend
        return len(tables.keys)
    good = np.setdiff1d(np.arange(len(tables.keys)), bad)
    moved = store.set_aside(path, f"{len(bad)} of its rows do not match their checksum, the first is row {bad[0]}")
    known = store.keys()
    good = good[[key.decode() not in known for key in tables.keys[good]]]
    aside = replace(tables, path=moved)
    step = rows_per_block(tables.row_bytes)
    with store.writer() as writer:
        for start, block in zip(range(0, len(good), step), blocks_of(aside, good), strict=True):
            writer.append(tables.keys[good[start : start + step]], block)
    return len(good)


def keep_only(store: FeatureStore, wanted: Set[str]) -> int:
    """Drop from a store every row whose key is not wanted.

    A shard that holds both kinds is written anew with the wanted rows before the old one goes, so that a kill at any
    moment loses nothing.

    Returns
    -------
    int
        How many rows were dropped.

    Raises
    ------
    CacheError
        If another writer is at work, a row to keep is damaged, or the disk refuses.
    """
    with one_writer(store.folder):
        remove_partial_files(store.folder)
        return sum(_thin_out(store, shard, wanted) for shard in store.shards())


def _thin_out(store: FeatureStore, shard: Tables, wanted: Set[str]) -> int:
    keep = np.array([key.decode() in wanted for key in shard.keys.tolist()])
    if keep.all():
        return 0
    rows = np.flatnonzero(keep)
    if len(rows):
        write_shard(store, shard.keys[rows], shard.checksums[rows], blocks_of(shard, rows))
    with explained(shard.path):
        shard.path.unlink()
        flush_to_disk(shard.path.parent)
    return int((~keep).sum())


def share_with_published(store: FeatureStore, published: Path) -> bool:
    """Keep the published rows once on the disk: in the store, a second name (hard link) of the published file.

    The store is then complete even if the published file is deleted, as DVC does before it runs a stage again.

    Parameters
    ----------
    store
        The store that was published from.
    published
        The file `features.h5`.

    Returns
    -------
    bool
        False if the file system offers no such link between the two folders: the store then stays as it was.

    Raises
    ------
    CacheError
        If another writer is at work, or the disk refuses.
    """
    tables = read_tables(published)
    target = store.folder / shard_name(tables.keys)
    with explained(store.folder), one_writer(store.folder):
        remove_partial_files(store.folder)
        if not (target.exists() and target.samefile(published)) and not _link(published, target):
            return False
        elsewhere = {key.decode() for shard in store.shards() for key in shard.keys.tolist()} - {
            key.decode() for key in tables.keys.tolist()
        }
        for shard in store.shards():
            if shard.path != target:
                _thin_out(store, shard, elsewhere)
    return True


def _link(source: Path, target: Path) -> bool:
    temporary = target.with_name(f".{target.name}{TEMPORARY_SUFFIX}")
    try:
        os.link(source, temporary)
    except OSError as error:
        _log.warning("%s cannot be linked to %s (%s): both keep a copy", source, target.parent, error.strerror)
        return False
    try:
        os.replace(temporary, target)
        flush_to_disk(target.parent)
    finally:
        temporary.unlink(missing_ok=True)
    return True


@dataclass(frozen=True)
class Garbage:
    """Something on the disk that the current settings and images do not need.

    Attributes
    ----------
    store
        The folder of the fingerprint.
    kind
        `fingerprint`: a folder of other settings; `keys`: rows of images that are no longer wanted; `set-aside`: files
        that were set aside as damaged.
    images
        How many rows, or files.
    size_bytes
        What freeing it gives back, about.
    """

    store: StoreSummary
    kind: str
    images: int
    size_bytes: int


def find_garbage(root: Path | str, *, current: Set[str], wanted: Set[str] | None) -> list[Garbage]:
    """List what could be freed; frees nothing.

    Parameters
    ----------
    root
        The folder of all stores.
    current
        Fingerprints in use: their folders are never garbage.
    wanted
        Keys in use; None if that is not known, and then none counts as garbage.
    """
    garbage = []
    for summary in list_stores(root):
        if summary.fingerprint not in current and not any(name.startswith(summary.fingerprint) for name in current):
            size_bytes = summary.size_bytes - summary.shared_bytes + summary.set_aside_bytes
            garbage.append(Garbage(summary, "fingerprint", summary.images, size_bytes))
            continue
        if summary.set_aside:
            garbage.append(Garbage(summary, "set-aside", summary.set_aside, summary.set_aside_bytes))
        store = open_store(summary)
        if store is not None and wanted is not None and (unwanted := len(store.keys() - wanted)):
            garbage.append(Garbage(summary, "keys", unwanted, store.bytes_for(unwanted)))
    return garbage


def free(garbage: Garbage, wanted: Set[str]) -> None:
    """Give back the room of one piece of garbage, from the disk and for good.

    Raises
    ------
    CacheError
        If another writer is at work there, or the disk refuses.
    """
    folder = garbage.store.folder
    if garbage.kind == "keys":
        if (store := open_store(garbage.store)) is not None:  # else its last shard is gone by now
            keep_only(store, wanted)
    elif garbage.kind == "set-aside":
        with explained(folder):
            shutil.rmtree(folder / SET_ASIDE)
    else:
        with explained(folder), contextlib.ExitStack() as stack:
            stack.enter_context(one_writer(folder))
            for path in sorted(folder.glob("shard-*.h5")):
                path.unlink()
            shutil.rmtree(folder / SET_ASIDE, ignore_errors=True)
            stack.close()
            shutil.rmtree(folder)
