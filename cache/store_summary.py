"""Summarise the stores under a root folder: how many rows, shards and bytes each holds, under which settings.

In: the folder of all stores. Out: one `StoreSummary` per fingerprint. Nothing is moved or changed. Checking the rows is
left to `cache.verify`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.checksums import Shape
from cache.errors import DamagedFileError, as_cache_error
from cache.shard_folder import SET_ASIDE, find_rejection_reason, is_shard_folder, list_shard_paths
from cache.store import FeatureStore
from cache.tables import Tables, read_tables


@dataclass(frozen=True)
class StoreSummary:
    """The content of one fingerprint's folder.

    Attributes
    ----------
    folder
        `root/<fingerprint[:16]>`.
    fingerprint
        64 hexadecimal digits; the folder's name if no shard in it can be read.
    description
        The settings that the fingerprint digests; None if no shard can be read.
    shape
        (views, tokens, channels); None if no shard can be read.
    images, shards, size_bytes
        Distinct rows, files and bytes of the good shards.
    shared_bytes
        How much of `size_bytes` is in files with a second hard link: the published file.
    damaged
        Shards that cannot be read: path and reason. They have not been moved.
    set_aside, set_aside_bytes
        Number and size of the files that earlier runs set aside.
    """

    folder: Path
    fingerprint: str
    description: dict[str, Any] | None
    shape: Shape | None
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
        If a folder or file cannot be read.
    """
    return [summarise_store(folder) for folder in list_shard_folders(root)]


def list_shard_folders(root: Path | str) -> list[Path]:
    """List every fingerprint's folder under `root`, ascending; none if `root` does not exist.

    Raises
    ------
    CacheError
        If `root` cannot be listed.
    """
    root = Path(root)
    with as_cache_error(root):
        return sorted(path for path in root.iterdir() if is_shard_folder(path)) if root.is_dir() else []


def summarise_store(folder: Path) -> StoreSummary:
    """Summarise one fingerprint's folder; nothing is moved or changed.

    Raises
    ------
    CacheError
        If the folder or a file cannot be read.
    """
    good: list[Tables] = []
    damaged: list[tuple[Path, str]] = []
    with as_cache_error(folder):
        for path in list_shard_paths(folder):
            try:
                tables = read_tables(path)
            except DamagedFileError as error:
                damaged.append((path, error.reason))
                continue
            if (reason := find_rejection_reason(tables)) is None:
                good.append(tables)
            else:
                damaged.append((path, reason))
        files = [tables.path.stat() for tables in good]
        set_aside = [path.stat().st_size for path in (folder / SET_ASIDE).glob("*")]
    first = good[0] if good else None
    return StoreSummary(
        folder=folder,
        fingerprint=first.fingerprint if first else folder.name,
        description=json.loads(first.description) if first else None,
        shape=first.shape if first else None,
        images=len({key for tables in good for key in tables.keys.tolist()}),
        shards=len(good),
        size_bytes=sum(file.st_size for file in files),
        shared_bytes=sum(file.st_size for file in files if file.st_nlink > 1),
        damaged=damaged,
        set_aside=len(set_aside),
        set_aside_bytes=sum(set_aside),
    )


def open_store(summary: StoreSummary) -> FeatureStore | None:
    """Open the store of a summary; None if no shard in it can be read."""
    if summary.description is None or summary.shape is None:
        return None
    return FeatureStore(summary.folder.parent, summary.description, summary.shape)
