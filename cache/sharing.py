"""Share the disk space of published rows between a store and the published file.

In: a store and the file that was published from it. Out: a hard link to that file in the store, which replaces the
store's own copies of these rows. Publishing is left to `cache.publishing`.
"""

import logging
import os
from pathlib import Path

from cache.atomic import TEMPORARY_SUFFIX, flush_to_disk, remove_partial_files
from cache.errors import as_cache_error
from cache.growing_shard import name_shard
from cache.keys import decode_keys
from cache.lock import lock_for_writing
from cache.store import FeatureStore
from cache.tables import read_tables
from cache.trim import trim_shard

_log = logging.getLogger(__name__)


def share_with_published(store: FeatureStore, published: Path) -> bool:
    """Replace the store's copies of the published rows by a hard link to the published file.

    The store stays complete if the published file is deleted, as a build tool may do before it runs a step again.

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
    CacheError
        If another writer is at work, or the disk refuses.
    """
    tables = read_tables(published)
    target = store.folder / name_shard(tables.keys)
    with as_cache_error(store.folder), lock_for_writing(store.folder):
        remove_partial_files(store.folder)
        if not (target.exists() and target.samefile(published)) and not _link(published, target):
            return False
        shards = store.shards()
        elsewhere = {key for shard in shards for key in decode_keys(shard.keys)} - decode_keys(tables.keys)
        for shard in shards:
            if shard.path != target:
                trim_shard(store, shard, elsewhere)
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
