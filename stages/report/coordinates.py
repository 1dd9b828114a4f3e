"""Place every image on the map of the collection: its cached features reduced to two dimensions.

In: the published feature cache. Out: `reports/coordinates.csv`, a row per distinct file with its `sha256` and place.
Drawing the map is left to `map_page`, so a change there computes no coordinates again.
"""

import logging
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from cache.layout import FEATURES_NAME
from stages.core.errors import StageError
from stages.core.features.artefact import FEATURES, open_features
from stages.core.features.placement import CachedFeatures, FeatureArray, blocks
from stages.core.records import producers
from stages.core.records.outputs import write_outputs
from stages.core.records.reading import Input, bind_inputs
from stages.core.tables.columns import COORDINATES
from stages.core.tables.csv_files import write_table

# As PaCMAP's authors reduce first.
COMPONENTS = 50
# Enough to estimate 50 components; it bounds the memory and time of fitting them.
PCA_IMAGES = 20_000
# PaCMAP's default; its rule for large collections (23 at 81,446 images) takes twice as long.
NEIGHBOURS = 10
# PaCMAP needs neighbours; fewer images are placed by their first two components.
FEWEST_IMAGES = 16


def write_coordinates(*, random_state: int, features: Path, destination: Path) -> str:
    """Place every cached image on a plane, images with similar features close together.

    Parameters
    ----------
    random_state
        Seed. Equal features and seeds give equal coordinates on one machine.
    features
        The published cache.
    destination
        The table to write.

    Returns
    -------
    str
        The number of images placed.

    Raises
    ------
    StageError
        If a feature is not finite.
    cache.CacheError
        If the cache is missing or damaged.
    """
    inputs, settings = bind_inputs([Input(features / FEATURES_NAME, FEATURES)]), {"random_state": random_state}
    with write_outputs(producers.COORDINATES, destination.parent, settings=settings, inputs=inputs) as outputs:
        with open_features(features) as cache:
            keys = [key.decode() for key in cache.keys.tolist()]
            places = place_on_plane(reduce_features(CachedFeatures(cache, keys), random_state, features), random_state)
        table = pd.DataFrame({"sha256": keys, "x": places[:, 0], "y": places[:, 1]})[COORDINATES.names]
        write_table(table, outputs.path(destination))
    return f"placed {len(keys):,} images on the map: {destination}"


def reduce_features(features: FeatureArray, random_state: int, source: Path) -> np.ndarray:
    """Reduce the centre view's mean token to its principal components, block by block.

    Channels are standardised, as for find-outliers' nearest neighbours. Both steps are fitted to a
    random sample of at most 20,000 images.

    Parameters
    ----------
    features
        Shape `(n, views, tokens, channels)`.
    random_state
        Seed of the sample.
    source
        The file to name in the error.

    Returns
    -------
    ndarray
        Shape `(n, min(50, channels, n))`, float32.
    """
    count = len(features)
    sample = np.sort(np.random.default_rng(random_state).permutation(count)[:PCA_IMAGES])
    fitted_to = np.concatenate([_pool(features, rows) for rows in blocks(features, sample)])
    if not np.isfinite(fitted_to).all():
        raise _not_finite(source)
    scaler = StandardScaler().fit(fitted_to)
    size = min(COMPONENTS, *fitted_to.shape)
    pca = PCA(size, svd_solver="covariance_eigh", random_state=random_state).fit(scaler.transform(fitted_to))
    del fitted_to
    reduced = np.empty((count, size), dtype=np.float32)
    for rows in blocks(features):
        block = _pool(features, rows)
        if not np.isfinite(block).all():
            raise _not_finite(source)
        reduced[rows] = pca.transform(scaler.transform(block))
    return reduced


def place_on_plane(components: np.ndarray, random_state: int) -> np.ndarray:
    """Place points in the unit square by PaCMAP (Wang, Huang, Rudin & Shaposhnik, 2021).

    PaCMAP preserves both neighbours and the arrangement of groups, and is a few times as fast as UMAP.

    Parameters
    ----------
    components
        Shape `(n, components)`, float32.
    random_state
        Seed.

    Returns
    -------
    ndarray
        Shape `(n, 2)`, float32; the points fill the square along their longer side and are centred along the shorter.
    """
    distinct = bool(np.ptp(components, axis=0).max(initial=0) > 0)
    if len(components) < FEWEST_IMAGES or not distinct:
        places = np.zeros((len(components), 2), dtype=np.float32)
        places[:, : components.shape[1]] = components[:, :2]
        return _scale_to_unit_square(places)
    for name, level in (("faiss", logging.WARNING), ("pacmap", logging.ERROR)):  # they log every import and seed
        logging.getLogger(name).setLevel(level)
    import pacmap  # takes seconds: it compiles

    reducer = pacmap.PaCMAP(n_components=2, n_neighbors=NEIGHBOURS, random_state=random_state, apply_pca=False)
    return _scale_to_unit_square(reducer.fit_transform(components, init="pca"))


def _pool(features: FeatureArray, rows: np.ndarray) -> np.ndarray:
    """Average the centre view's tokens, shape `(m, channels)`, float32."""
    pooled: np.ndarray = np.asarray(features[rows, 0]).mean(axis=1, dtype=np.float32)
    return pooled


def _scale_to_unit_square(places: np.ndarray) -> np.ndarray:
    low, high = places.min(axis=0), places.max(axis=0)
    side = max(float((high - low).max()), 1e-9)
    scaled: np.ndarray = ((places - (low + high) / 2) / side + 0.5).astype(np.float32)
    return scaled


def _not_finite(source: Path) -> StageError:
    return StageError(f"{source} holds features that are not finite: run `pipeline cache verify`, then extract again")
