"""Cached features as a map-style dataset, for a `torch.utils.data.DataLoader` or anything else that indexes.

In: an open cache, keys, labels. Out: pairs of features and label. PyTorch asks a dataset for methods, not for a base
class, so it is not imported here; its default collation turns the arrays into tensors.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cache.errors import CacheError
from cache.keys import Keys
from cache.reader import FeatureCache


class FeatureDataset:
    """One item per key: (features, label), or the features alone if there are no labels.

    Parameters
    ----------
    cache
        Where the features are.
    keys
        n keys, any order, repeats allowed.
    labels
        n labels, or None.
    view
        Which view to give, features of shape (tokens, channels); None for all, (views, tokens, channels).

    Raises
    ------
    CacheError
        If a key is not in the cache, there is no such view, or the labels are not n.
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
        """A whole batch at once: one gather instead of one per item (`DataLoader` prefers it)."""
        features = self._cache.take(self._rows[np.asarray(indices, np.int64)])
        if self._view is not None:
            features = features[:, self._view]
        if self._labels is None:
            return list(features)
        return [(row, self._labels[index]) for row, index in zip(features, indices, strict=True)]
