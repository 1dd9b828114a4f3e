"""Cached features as a map-style dataset, for a `torch.utils.data.DataLoader` or any other program that indexes.

In: an open cache, keys, labels. Out: pairs of features and label. PyTorch needs a dataset's methods, not a base class,
so it is not imported here. Turning arrays into tensors is left to its default collation.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cache.errors import CacheError
from cache.keys import Keys
from cache.reader import FeatureCache


class FeatureDataset:
    """One item per key: (features, label), or the features alone without labels.

    Parameters
    ----------
    cache
        Where the features are.
    keys
        n keys, any order, repeats allowed.
    labels
        n labels, or None.
    view
        The view to return, shape (tokens, channels); None for all views, shape (views, tokens, channels). float16.

    Raises
    ------
    CacheError
        If a key is not in the cache, the view does not exist, or the number of labels is not n.

    Examples
    --------
    >>> import tempfile
    >>> from cache import FeatureStore, publish
    >>> folder, keys = tempfile.mkdtemp(), ["0" * 64, "f" * 64]
    >>> store = FeatureStore(folder, {"arch": "resnet101"}, shape=(2, 1, 3))
    >>> with store.writer() as writer:
    ...     writer.append(keys, np.arange(12, dtype=np.float16).reshape(2, 2, 1, 3))
    >>> cache = FeatureCache(publish(store, keys, ["a.jpg", "b.jpg"], folder))
    >>> dataset = FeatureDataset(cache, keys, labels=["portrait", "landscape"], view=0)
    >>> dataset[1]
    (array([[6., 7., 8.]], dtype=float16), 'landscape')
    >>> len(dataset.__getitems__([0, 1, 0]))
    3
    """

    def __init__(
        self, cache: FeatureCache, keys: Keys, labels: Sequence[Any] | np.ndarray | None = None, view: int | None = None
    ) -> None:
        if labels is not None and len(labels) != len(keys):
            raise CacheError(f"{len(labels)} labels for {len(keys)} keys; give one for each")
        if view is not None and not 0 <= view < cache.shape[0]:
            raise CacheError(f"there is no view {view}: {cache.path} has {cache.shape[0]}, counted from 0")
        self._cache = cache
        self._rows = cache.rows(keys)
        self._labels = labels
        self._view = view

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Any:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Read a whole batch in one call, which `DataLoader` prefers to one call per item."""
        features = self._cache.take(self._rows[np.asarray(indices, np.int64)])
        if self._view is not None:
            features = features[:, self._view]
        if self._labels is None:
            return list(features)
        return [(row, self._labels[index]) for row, index in zip(features, indices, strict=True)]
