"""Share the disk space of published rows between a store and the published file.

In: a store and the file that was published from it. Out: a hard link to that file in the store, which replaces the
store's own copies of these rows. Publishing is left to `cache.publishing`.
"""

import logging
import os
from pathlib import Path

from cache.atomic import TEMPORARY_SUFFIX, flush_to_disk, remove_partial_files
from cache.errors import CacheError, DamagedFileError, as_cache_error
from cache.growing_shard import name_shard
from cache.keys import decode_keys
from cache.lock import hold_lock, lock_for_writing
from cache.row_reader import find_damaged_rows
from cache.store import FeatureStore
from cache.tables import Tables, read_tables
from cache.trim import trim_shard

PUBLISHING_LOCK = ".publishing.lock"
_log = logging.getLogger(__name__)


def share_with_published(store: FeatureStore, published: Path) -> bool:
    """Replace the store's copies of the published rows by a hard link to the published file.

    The store stays complete if the published file is deleted, as a build tool may do before it runs a step again. No
    row of the store is dropped before the linked file has been read back, to its last row.

    Parameters
    ----------
    store
        The store that was published from.
    published
        The file `features.h5`.

    Returns
    -------
    bool
        False if the file system cannot link between the two folders: the store is then unchanged.

    Raises
    ------
    LockedError
        If another run writes to the store or publishes to the folder.
    DamagedFileError
        If the published file is damaged. The store is unchanged.
    CacheError
        If the published file is of other settings, or the disk refuses. The store is unchanged.
    """
    with as_cache_error(published):
        if not published.parent.is_dir():
            raise CacheError(f"there is no published file {published}; publish first")
    with hold_lock(published.parent / PUBLISHING_LOCK, "sharing published features"):
        return link_published(store, published)


def link_published(store: FeatureStore, published: Path) -> bool:
    """Do what `share_with_published` does. The caller must hold the published folder's lock."""
    with as_cache_error(store.folder), lock_for_writing(store.folder, "sharing published features"):
        remove_partial_files(store.folder)
        tables = _read_own(store, published)
        target = store.folder / name_shard(tables.keys)
        linked = target.exists() and target.samefile(published)
        if not linked and not _link(store, published, target):
            return False
        shards = store.shards()
        if not any(shard.path == target for shard in shards):
            raise CacheError(f"{target} has vanished while this run held the store's lock; no row was dropped")
        own = {key for shard in shards if shard.path != target for key in decode_keys(shard.keys)}
        if linked and not own.isdisjoint(decode_keys(tables.keys)):
            _read_back(store, target, published)
        for shard in shards:
            if shard.path != target:
                trim_shard(store, shard, own - decode_keys(tables.keys))
    return True


def _read_own(store: FeatureStore, path: Path) -> Tables:
    """Read the tables of a file; refuse one that was not published from this store."""
    tables = read_tables(path)
    if tables.fingerprint != store.fingerprint or tables.shape != store.shape:
        raise CacheError(
            f"{path} holds features of other settings ({tables.fingerprint[:16]}, the store is "
            f"{store.fingerprint[:16]}): another run has published there since; the store keeps its own copy. "
            "Publish to another folder, or publish again"
        )
    return tables


def _link(store: FeatureStore, source: Path, target: Path) -> bool:
    temporary = target.with_name(f".{target.name}{TEMPORARY_SUFFIX}")
    try:
        os.link(source, temporary)
    except OSError as error:
        _log.warning("%s cannot be linked to %s (%s): both keep a copy", source, target.parent, error.strerror)
        return False
    try:
        if _read_back(store, temporary, source) != target.name:
            raise CacheError(f"{source} was published again meanwhile; the store keeps its own copy")
        os.replace(temporary, target)
        flush_to_disk(target.parent)
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _read_back(store: FeatureStore, link: Path, published: Path) -> str:
    """Read the linked file to its last row, before the store drops its own copies; return its name as a shard."""
    tables = _read_own(store, link)
    if damaged := find_damaged_rows(tables):
        raise DamagedFileError(published, f"{tables.name_row(damaged[0])} does not match its checksum")
    return name_shard(tables.keys)
