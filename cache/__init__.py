"""A cache of image features: paid for once, never stale, read at memory speed.

In a notebook:

    from cache import FeatureCache
    cache = FeatureCache("data/features")            # len(cache), cache.images, cache.description
    features = cache.get(cache.keys[:256])           # (256, views, tokens, channels) float16, any keys in any order
    centre = cache.features[:, 0]                    # every image's centre view, a memory map: nothing is read yet
    cache.check()                                    # read all of it and compare with the checksums

Extraction appends to a `FeatureStore` and calls `publish`; `list_stores`, `find_damage`, `repair`, `find_garbage` and
`free` look after the stores. `h5py.File("data/features/features.h5")` needs none of this.
"""

from cache.dataset import FeatureDataset
from cache.errors import CacheError, DamagedFileError, ensure_room
from cache.fingerprint import FORMAT_VERSION, fingerprint
from cache.published import publish
from cache.reader import FeatureCache
from cache.store import FeatureStore
from cache.upkeep import find_damage, find_garbage, free, keep_only, list_stores, repair, share_with_published
from cache.writer import ShardWriter

__all__ = [
    "FORMAT_VERSION",
    "CacheError",
    "DamagedFileError",
    "FeatureCache",
    "FeatureDataset",
    "FeatureStore",
    "ShardWriter",
    "ensure_room",
    "find_damage",
    "find_garbage",
    "fingerprint",
    "free",
    "keep_only",
    "list_stores",
    "publish",
    "repair",
    "share_with_published",
]
