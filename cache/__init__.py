"""A cache of image features: each is computed once, checked by checksums and read through a memory map.

In a notebook:

    from cache import FeatureCache
    cache = FeatureCache("data/features")            # len(cache), cache.images, cache.description
    features = cache.get(cache.keys[:256])           # (256, views, tokens, channels) float16, any keys in any order
    centre = cache.features[:, 0]                    # every image's centre view, a memory map: nothing is read yet
    cache.check()                                    # read all rows and compare them with their checksums

Extraction appends to a `FeatureStore` and calls `publish`. `list_stores`, `verify_stores`, `repair_stores`,
`find_garbage` and `free` maintain the stores. `h5py.File("data/features/features.h5")` needs none of this.
"""

from cache.dataset import FeatureDataset
from cache.errors import CacheError, DamagedFileError, LockedError, MissingRowsError, ensure_room
from cache.fingerprint import FORMAT_VERSION, fingerprint
from cache.garbage import find_garbage, free
from cache.lock import hold_lock
from cache.publishing import publish, read_published_fingerprint
from cache.reader import FeatureCache
from cache.sharing import share_with_published
from cache.store import FeatureStore
from cache.store_summary import list_stores
from cache.trim import keep_only
from cache.verify import count_rows, find_damage, repair, repair_stores, verify_stores
from cache.writer import ShardWriter

__all__ = [
    "FORMAT_VERSION",
    "CacheError",
    "DamagedFileError",
    "FeatureCache",
    "FeatureDataset",
    "FeatureStore",
    "LockedError",
    "MissingRowsError",
    "ShardWriter",
    "count_rows",
    "ensure_room",
    "find_damage",
    "find_garbage",
    "fingerprint",
    "free",
    "hold_lock",
    "keep_only",
    "list_stores",
    "publish",
    "read_published_fingerprint",
    "repair",
    "repair_stores",
    "share_with_published",
    "verify_stores",
]
