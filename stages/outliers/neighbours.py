"""Find each image's nearest neighbours among the other pictures, fast enough for WikiArt (81,446 images).

In: pooled features and groups of duplicates. Out: distances and row numbers. Judging what is far is left to `kinds`.
"""

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from stages.core.features.labelled import LabelledFeatures

# Up to this many images, every distance is computed over all channels.
EXACT_IMAGES = 5000
DIMENSIONS = 128
# Candidates that the projection proposes per neighbour wanted; rows whose full distances are computed at once.
CANDIDATES, BLOCK_ROWS = 6, 256
FITTED_ROWS = 4096


def standardised(data: LabelledFeatures) -> np.ndarray:
    """Standardise the centre view's pooled features to mean 0 and standard deviation 1 per channel.

    Returns
    -------
    ndarray
        Shape `(n, channels)`, float32.
    """
    features = data.pooled()
    blocks = [features[start : start + FITTED_ROWS] for start in range(0, len(features), FITTED_ROWS)]
    scaler = StandardScaler(copy=False)
    for block in blocks:  # in blocks, because fitting makes several copies of its input
        scaler.partial_fit(block)
    for block in blocks:
        block[:] = scaler.transform(block)
    return features


def nearest_neighbours(features: np.ndarray, groups: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Find each image's nearest neighbours by Euclidean distance.

    The distance is not the cosine, because the features of an out-of-distribution image are often larger rather than
    differently directed. Of ten such images planted in the demo collection, nine are in the top 10 % by Euclidean
    distance, one by cosine.

    Duplicates of an image are not its neighbours: otherwise an out-of-distribution image with a copy would look
    ordinary. Each other group of duplicates is represented by its first image.

    Above `EXACT_IMAGES` images, candidates are ranked by ‖Px - Py‖² + ‖(I - P)y‖², where P projects onto the leading
    principal components. This equals d²(x, y), up to a constant of x, if (I - P)x and (I - P)y are orthogonal, as they
    nearly are in many dimensions. Several times as many candidates are proposed as are wanted; their full distances
    decide.

    Parameters
    ----------
    features
        Shape `(n, channels)`, float32, standardised.
    groups
        Shape `(n,)`; duplicates share a group.
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
    """Points `(Py, ‖(I - P)y‖)` for the pictures and `(Px, 0)` for the queries."""
    dimensions = min(DIMENSIONS, features.shape[1])
    # The covariance solver is exact and deterministic, and needs no copy of the features.
    projected = PCA(dimensions, svd_solver="covariance_eigh").fit_transform(features).astype(np.float32)
    rest = np.einsum("ij,ij->i", features, features) - np.einsum("ij,ij->i", projected, projected)
    rest = np.sqrt(rest.clip(min=0))[:, None]
    return np.hstack([projected, rest])[pictures], np.hstack([projected, np.zeros_like(rest)])


def _full_distances(features: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Distances of each image to its candidates, shape `(n, m)`, float64."""
    distances = np.empty(candidates.shape)
    for start in range(0, len(features), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        away = features[candidates[block]]
        away -= features[block][:, None]
        distances[block] = np.sqrt(np.einsum("nmc,nmc->nm", away, away))
    return distances
