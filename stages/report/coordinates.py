"""Where each image lies on the map of the collection: its cached features in two dimensions.

In: the published feature cache. Out: `reports/coordinates.csv`: a row per distinct file with its `sha256` and place.
How the map looks is left to `map_page`: a change there computes nothing here.
"""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from cache import FeatureCache
from stages.core.errors import StageError
from stages.core.features.placement import blocks
from stages.core.tables.columns import COORDINATES
from stages.core.tables.csv_files import write_table

# PaCMAP's authors, too, reduce to this many components first.
COMPONENTS = 50
# Enough to estimate 50 components; the memory and time of fitting them stay the same from here on.
PCA_IMAGES = 20_000
# PaCMAP's default; its own rule for large collections, 23 at 81,446 images, takes twice as long.
NEIGHBOURS = 10
# PaCMAP needs neighbours: fewer images are placed by their first two components.
FEWEST_IMAGES = 16


def write_coordinates(*, random_state: int, features: Path, destination: Path) -> str:
    """Place every cached image on a plane, so that images with like features lie together.

    Parameters
    ----------
    random_state
        Seed; equal features and an equal seed give an equal map on one machine.
    features
        The published cache.
    destination
        The table to write.

    Returns
    -------
    str
        How many images were placed.

    Raises
    ------
    StageError
        If a feature is not finite.
    cache.CacheError
        If the cache is missing or damaged.
    """
    with FeatureCache(features) as cache:
        keys = [key.decode() for key in cache.keys.tolist()]
        places = planar(principal_components(cache.features, random_state, features), random_state)
    write_table(pd.DataFrame({"sha256": keys, "x": places[:, 0], "y": places[:, 1]})[COORDINATES.names], destination)
    return f"placed {len(keys):,} images on the map: {destination}"


def principal_components(features: np.ndarray, random_state: int, source: Path) -> np.ndarray:
    """Reduce the centre view's mean token to its principal components, reading a few MiB at a time.

    Channels are standardised, as for the nearest neighbours that find-outliers names. Both steps are fitted to a
    random sample of at most 20,000 images.

    Parameters
    ----------
    features
        Shape `(n, views, tokens, channels)`.
    random_state
        Seed of the sample.
    source
        What to name in the error.

    Returns
    -------
    ndarray
        Shape `(n, min(50, channels, n))`, float32.
    """
    count = len(features)
    sample = np.sort(np.random.default_rng(random_state).permutation(count)[:PCA_IMAGES])
    fitted_to = np.concatenate([_pooled(features, rows) for rows in blocks(features, sample)])
    if not np.isfinite(fitted_to).all():
        raise _not_finite(source)
    scaler = StandardScaler().fit(fitted_to)
    size = min(COMPONENTS, *fitted_to.shape)
    pca = PCA(size, svd_solver="covariance_eigh", random_state=random_state).fit(scaler.transform(fitted_to))
    del fitted_to
    reduced = np.empty((count, size), dtype=np.float32)
    for rows in blocks(features):
        block = _pooled(features, rows)
        if not np.isfinite(block).all():
            raise _not_finite(source)
        reduced[rows] = pca.transform(scaler.transform(block))
    return reduced


def planar(components: np.ndarray, random_state: int) -> np.ndarray:
    """Lay points out on a plane by PaCMAP (Wang, Huang, Rudin & Shaposhnik, 2021), in the unit square.

    PaCMAP because it keeps both neighbours and the lie of the groups, and is a few times as fast as UMAP.

    Parameters
    ----------
    components
        Shape `(n, components)`, float32.
    random_state
        Seed.

    Returns
    -------
    ndarray
        Shape `(n, 2)`, float32; the longer side of the cloud goes from 0 to 1, the shorter is centred.
    """
    distinct = bool(np.ptp(components, axis=0).max(initial=0) > 0)
    if len(components) < FEWEST_IMAGES or not distinct:
        places = np.zeros((len(components), 2), dtype=np.float32)
        places[:, : components.shape[1]] = components[:, :2]
        return _unit_square(places)
    for name, level in (("faiss", logging.WARNING), ("pacmap", logging.ERROR)):  # they tell of every import and seed
        logging.getLogger(name).setLevel(level)
    import pacmap  # takes seconds: it compiles

    reducer = pacmap.PaCMAP(n_components=2, n_neighbors=NEIGHBOURS, random_state=random_state, apply_pca=False)
    return _unit_square(reducer.fit_transform(components, init="pca"))


def _pooled(features: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The centre view's mean over tokens, shape `(m, channels)`, float32."""
    return np.asarray(features[rows, 0]).mean(axis=1, dtype=np.float32)


def _unit_square(places: np.ndarray) -> np.ndarray:
    low, high = places.min(axis=0), places.max(axis=0)
    side = max(float((high - low).max()), 1e-9)
    return ((places - (low + high) / 2) / side + 0.5).astype(np.float32)


def _not_finite(source: Path) -> StageError:
    return StageError(f"{source} holds features that are not finite: run `pipeline cache verify`, then extract again")
