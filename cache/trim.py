"""Drop rows from a store.

In: a store and the keys to keep. Out: the same store without the other rows. A kill at any moment loses no row to keep.
Which keys to keep is left to the caller.
"""

from collections.abc import Set

import numpy as np

from cache.atomic import flush_to_disk, remove_partial_files
from cache.errors import as_cache_error
from cache.growing_shard import write_shard
from cache.lock import lock_for_writing
from cache.row_reader import read_blocks
from cache.shard_folder import ShardFolder
from cache.store import FeatureStore
from cache.tables import Tables


def keep_only(store: FeatureStore, wanted: Set[str]) -> int:
    """Drop every row whose key is not in `wanted`.

    A shard with both kinds of rows is first written again with the wanted rows and then removed.

    Returns
    -------
    int
        How many rows were dropped.

    Raises
    ------
    CacheError
        If another writer is at work, a row to keep is damaged, or the disk refuses.

    Examples
    --------
    >>> import tempfile
    >>> store = FeatureStore(tempfile.mkdtemp(), {"arch": "resnet101"}, shape=(1, 1, 4))
    >>> with store.writer() as writer:
    ...     writer.append(["0" * 64, "f" * 64], np.ones((2, 1, 1, 4), np.float16))
    >>> keep_only(store, {"f" * 64})
    1
    >>> store.keys() == {"f" * 64}
    True
    """
    with lock_for_writing(store.folder):
        remove_partial_files(store.folder)
        return sum(trim_shard(store, shard, wanted) for shard in store.shards())


def trim_shard(target: ShardFolder, shard: Tables, wanted: Set[str]) -> int:
    """Drop a shard's rows whose key is not in `wanted`. The caller must hold the lock.

    Returns
    -------
    int
        How many rows were dropped.
    """
    keep = np.array([key.decode() in wanted for key in shard.keys.tolist()])
    if keep.all():
        return 0
    rows = np.flatnonzero(keep)
    if len(rows):
        write_shard(target, shard.keys[rows], shard.checksums[rows], read_blocks(shard, rows))
    with as_cache_error(shard.path):
        shard.path.unlink()
        flush_to_disk(shard.path.parent)
    return int((~keep).sum())
