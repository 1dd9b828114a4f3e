"""Neighbours are the nearest pictures, found fast without finding others."""

from types import SimpleNamespace

import numpy as np
import pytest

from stages.outliers import neighbours as module
from stages.outliers.neighbours import nearest_neighbours, standardised


def clusters(count: int, channels: int) -> np.ndarray:
    """Pictures around forty middles, some of them far away."""
    rng = np.random.default_rng(0)
    middles = 3 * rng.standard_normal((40, channels))
    scale = rng.uniform(0.2, 3.0, (count, 1))
    return (middles[rng.integers(0, 40, count)] + scale * rng.standard_normal((count, channels))).astype(np.float32)


def test_every_channel_is_standardised_over_all_images(monkeypatch: pytest.MonkeyPatch) -> None:
    pooled = (7 + 3 * np.random.default_rng(0).standard_normal((50, 4))).astype(np.float32)
    expected = (pooled - pooled.mean(axis=0)) / pooled.std(axis=0)
    monkeypatch.setattr(module, "FITTED_ROWS", 16)
    np.testing.assert_allclose(standardised(SimpleNamespace(pooled=lambda: pooled)), expected, atol=1e-5)


def test_neighbours_are_ascending_by_the_distance_that_they_have() -> None:
    features = clusters(50, 6)
    distances, found = nearest_neighbours(features, np.arange(50), 4)
    everyone = np.linalg.norm(features[:, None].astype(float) - features[None], axis=2) + np.diag([np.inf] * 50)
    np.testing.assert_allclose(distances, np.sort(everyone, axis=1)[:, :4], rtol=1e-5)
    assert np.array_equal(found, np.argsort(everyone, axis=1)[:, :4])


def test_the_short_cut_for_large_collections_finds_the_same_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    features = clusters(1500, 400)
    exact, exact_rows = nearest_neighbours(features, np.arange(1500), 5)
    monkeypatch.setattr(module, "EXACT_IMAGES", 0)
    distances, rows = nearest_neighbours(features, np.arange(1500), 5)
    assert np.mean([len(set(a) & set(b)) / 5 for a, b in zip(exact_rows, rows, strict=True)]) > 0.99
    np.testing.assert_allclose(distances.mean(axis=1), exact.mean(axis=1), rtol=0.01)


@pytest.mark.parametrize("short_cut", [False, True])
def test_a_duplicate_is_no_neighbour_and_of_other_duplicates_one_stands_for_all(
    short_cut: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if short_cut:
        monkeypatch.setattr(module, "EXACT_IMAGES", 0)
    features = np.array([[0, 0], [0, 0.1], [5, 0], [5, 0.1], [9, 0]], dtype=np.float32)
    distances, found = nearest_neighbours(features, np.array(["a", "a", "b", "b", "c"]), 3)
    assert found[:, :2].tolist() == [[2, 4], [2, 4], [4, 0], [4, 0], [2, 0]]
    assert found[:, 2].tolist() == [-1] * 5
    assert np.isinf(distances[:, 2]).all()
    assert np.isfinite(distances[:, :2]).all()
