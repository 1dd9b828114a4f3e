"""Each image's nearest neighbours among the other pictures, in a time that WikiArt's size allows.

In: pooled features and groups of duplicates. Out: distances and row numbers. What is far is left to `kinds`.
"""

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from stages.core.features.labelled import LabelledFeatures

# Up to so many images all distances are computed in full.
EXACT_IMAGES = 5000
DIMENSIONS = 128
# Candidates per neighbour wanted that the projection proposes, and rows whose candidates are compared in full at once.
CANDIDATES, BLOCK_ROWS = 6, 256
FITTED_ROWS = 4096


def standardised(data: LabelledFeatures) -> np.ndarray:
    """The centre view's pooled features with mean 0 and deviation 1 per channel, `(n, channels)`, float32."""
    features = data.pooled()
    blocks = [features[start : start + FITTED_ROWS] for start in range(0, len(features), FITTED_ROWS)]
    scaler = StandardScaler(copy=False)
    for block in blocks:  # in pieces, for fitting makes several copies of what it is given
        scaler.partial_fit(block)
    for block in blocks:
        block[:] = scaler.transform(block)
    return features


def nearest_neighbours(features: np.ndarray, groups: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Find each image's nearest neighbours by Euclidean distance.

    Not by cosine: a stranger's features are often not turned elsewhere but larger (of ten planted in the demo
    collection, nine are among the first tenth by Euclidean distance, one by cosine).

    Duplicates of an image are no neighbours of it: they would make every stranger with a copy look at home. Of other
    groups of duplicates the first image stands for all.

    Beyond `EXACT_IMAGES` images, candidates are chosen by their distance in the leading principal components plus the
    length of what these leave out of them, as if that had no direction in common with the image's own (which is nearly
    so in many dimensions). Among several times as many candidates as are wanted, the full distances decide.

    Parameters
    ----------
    features
        Shape `(n, channels)`, float32, standardised.
    groups
        Shape `(n,)`: duplicates share one.
    count
        Neighbours per image.

    Returns
    -------
    distances : ndarray
        Shape `(n, count)`, ascending; `inf` where a small collection has fewer neighbours.
    neighbours : ndarray
        Row indices, shape `(n, count)`; -1 where there are fewer.
    """
    groups = pd.factorize(groups)[0]
    pictures = np.unique(groups, return_index=True)[1]
    if len(features) <= EXACT_IMAGES:
        base, queries, proposed = features[pictures], features, count + 1
    else:
        base, queries = _projected(features, pictures)
        proposed = CANDIDATES * count + 1
    search = NearestNeighbors(n_neighbors=min(proposed, len(pictures)), algorithm="brute").fit(base)
    candidates = pictures[search.kneighbors(queries, return_distance=False)]
    distances = _full_distances(features, candidates)
    distances[groups[candidates] == groups[:, None]] = np.inf
    order = np.argsort(distances, axis=1, kind="stable")[:, :count]
    distances, neighbours = np.take_along_axis(distances, order, 1), np.take_along_axis(candidates, order, 1)
    missing = [(0, 0), (0, count - distances.shape[1])]
    distances = np.pad(distances, missing, constant_values=np.inf)
    return distances, np.where(np.isfinite(distances), np.pad(neighbours, missing, constant_values=-1), -1)


def _projected(features: np.ndarray, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points whose squared distance is that in the projection plus the squared rest of the picture, not the query."""
    dimensions = min(DIMENSIONS, features.shape[1])
    # Through the covariance: exact, the same every time, and without a copy of the features.
    projected = PCA(dimensions, svd_solver="covariance_eigh").fit_transform(features).astype(np.float32)
    rest = np.einsum("ij,ij->i", features, features) - np.einsum("ij,ij->i", projected, projected)
    rest = np.sqrt(rest.clip(min=0))[:, None]
    return np.hstack([projected, rest])[pictures], np.hstack([projected, np.zeros_like(rest)])


def _full_distances(features: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Distances of every image to its own candidates `(n, m)`, float64."""
    distances = np.empty(candidates.shape)
    for start in range(0, len(features), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        away = features[candidates[block]]
        away -= features[block][:, None]
        distances[block] = np.sqrt(np.einsum("nmc,nmc->nm", away, away))
    return distances
