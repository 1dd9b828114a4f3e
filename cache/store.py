"""The store: where extraction appends, one folder per fingerprint, shared by all runs with the same settings.

In: a root folder, a description of everything that decides a feature's value, the shape of a row. Out: the keys it
holds, and a writer for others. What readers downstream see is left to publishing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cache.checksums import Shape
from cache.errors import CacheError
from cache.fingerprint import SHORT_DIGITS, canonical_json, digest_canonical_text
from cache.layout import estimate_file_bytes
from cache.shard_folder import ShardFolder
from cache.writer import ShardWriter


class FeatureStore(ShardFolder):
    """Features of one fingerprint, in immutable shards `root/<fingerprint[:16]>/shard-*.h5`.

    Opening a store reads and creates nothing.

    Parameters
    ----------
    root
        The folder of all stores.
    description
        Everything that decides a feature's value, as plain JSON values.
    shape
        (views, tokens, channels) of one image's features.

    Raises
    ------
    CacheError
        If the description is not JSON or the shape is not three positive integers.

    Attributes
    ----------
    fingerprint
        Digest of the description, 64 hexadecimal digits.
    folder
        `root/<fingerprint[:16]>`.
    description_text
        The description as canonical JSON.
    shape
        (views, tokens, channels).

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> store = FeatureStore(Path(tempfile.mkdtemp()), {"arch": "resnet101"}, shape=(1, 1, 4))
    >>> store.keys()
    set()
    >>> with store.writer() as writer:
    ...     writer.append(["0" * 64], np.ones((1, 1, 1, 4), np.float16))
    >>> store.keys() == {"0" * 64}
    True
    """

    def __init__(self, root: Path | str, description: Mapping[str, Any], shape: Shape) -> None:
        shape, text = _check_shape(shape), canonical_json(description)
        self.fingerprint = digest_canonical_text(text)
        super().__init__(Path(root) / self.fingerprint[:SHORT_DIGITS], text, shape)

    def writer(self, shard_mib: float = 256, flush_every_s: float = 60.0) -> ShardWriter:
        """Make a context manager that appends rows; see `ShardWriter`."""
        return ShardWriter(self, shard_mib, flush_every_s)

    def bytes_for(self, n_images: int) -> int:
        """Estimate from above how many bytes `n_images` more rows take on the disk, for `ensure_room`."""
        return estimate_file_bytes(n_images, self.shape)


def _check_shape(shape: Shape) -> Shape:
    if len(shape) != 3 or any(int(length) != length or length < 1 for length in shape):
        raise CacheError(f"the shape must be (views, tokens, channels), three positive integers, not {shape}")
    views, tokens, channels = (int(length) for length in shape)
    return views, tokens, channels
