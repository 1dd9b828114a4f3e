"""The map: where images are placed, and which of them get a picture when not all can."""

import base64
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from cache import DamagedFileError
from stages.core.errors import StageError
from stages.core.pages.thumbnails import Thumbnail
from stages.report.coordinates import place_on_plane, reduce_features, write_coordinates
from stages.report.map_page import choose_spread, make_layer, pack_pictures, thin_out
from stages.report.settings import ReportSettings
from tests.stages.report.conftest import Project


def test_images_of_like_features_are_neighbours_on_the_map(make_project: Callable, tmp_path: Path) -> None:
    truth = ["a", "b", "c"] * 30
    project = make_project(truth, noise=0.3)
    for name in ("one", "two"):
        write_coordinates(random_state=0, features=project.features, destination=tmp_path / name / "coordinates.csv")
    assert (tmp_path / "one" / "coordinates.csv").read_bytes() == (tmp_path / "two" / "coordinates.csv").read_bytes()
    table = pd.read_csv(tmp_path / "one" / "coordinates.csv").set_index("sha256").loc[project.table["sha256"]]
    places = table[["x", "y"]].to_numpy()
    assert places.min() >= 0
    assert places.max() <= 1
    distances = np.linalg.norm(places[:, None] - places[None], axis=2) + np.eye(len(places)) * 9
    nearest = distances.argmin(axis=1)
    assert np.mean([truth[i] == truth[j] for i, j in enumerate(nearest)]) > 0.95


def test_the_map_is_not_made_from_a_damaged_row(make_project: Callable, tmp_path: Path) -> None:
    project = make_project(["a", "b"] * 10)
    with h5py.File(project.features / "features.h5", "r+") as file:
        file["features"][7] = file["features"][8]
    with pytest.raises(DamagedFileError, match=r"row 7 \(.+\) does not match its checksum"):
        write_coordinates(random_state=0, features=project.features, destination=tmp_path / "map.csv")
    assert not (tmp_path / "map.csv").exists()


@pytest.mark.parametrize("components", [np.ones((30, 5)), np.ones((1, 3)), np.arange(10.0).reshape(5, 2), np.eye(16)])
def test_few_or_equal_images_are_placed_too(components: np.ndarray) -> None:
    places = place_on_plane(components.astype(np.float32), 0)
    assert places.shape == (len(components), 2)
    assert np.isfinite(places).all()


def test_features_that_are_not_finite_are_refused() -> None:
    features = np.full((4, 1, 1, 8), np.nan, dtype=np.float16)
    with pytest.raises(StageError, match="not finite: run `pipeline cache verify`"):
        reduce_features(features, 0, Path("data/features"))


def test_components_do_not_depend_on_views_or_tokens_beyond_their_mean() -> None:
    rng = np.random.default_rng(0)
    pooled = rng.standard_normal((40, 12)).astype(np.float32)
    offset = rng.standard_normal((40, 1, 12)).astype(np.float32)
    tokens = pooled[:, None] + np.concatenate([offset, -offset], axis=1)
    features = np.stack([tokens, rng.standard_normal(tokens.shape)], axis=1)
    expected = reduce_features(pooled[:, None, None], 0, Path("x"))
    assert np.allclose(reduce_features(features, 0, Path("x")), expected, atol=1e-3)


def test_pictures_go_to_outliers_first_and_then_evenly_to_the_others() -> None:
    images = [f"{i:03}" for i in range(100)]
    chosen = choose_spread(images, ["050", "gone", "020"], 12)
    assert chosen[:2] == ["050", "020"]
    assert len(set(chosen)) == 12
    rest = sorted(int(image) for image in chosen[2:])
    assert rest[0] == 0
    assert rest[-1] == 99
    assert np.diff(rest).max() <= 12


def test_outliers_take_half_of_the_pictures_at_most() -> None:
    images = [f"{i:03}" for i in range(100)]
    assert len(set(choose_spread(images, images[:40], 20)[:11]) - set(images[:40])) == 1


def test_pictures_beyond_the_pages_budget_are_left_out() -> None:
    images = pd.Series(["a", "b", "c"])
    thumbnails = {name: Thumbnail(name, 4, 4, bytes(75)) for name in "bca"}  # 100 characters each
    found, count = pack_pictures(images, thumbnails, 250)
    assert (found["row"], count) == ([1, 2], 2)


def test_too_many_points_are_thinned_but_outliers_stay() -> None:
    table = pd.DataFrame({"image": [f"{i:03}" for i in range(100)]})
    points = thin_out(table, ["007", "008"], 10)
    assert {"007", "008"} <= set(points.table["image"])
    assert (len(points.table), points.left_out) == (10, 90)


def test_the_outlier_score_is_the_improbability_of_the_own_label(report: Project) -> None:
    table = pd.read_csv(report.root / "reports/style/out_of_sample.csv", keep_default_na=False)
    layer = make_layer(table[["image"]], "style", report.root / "reports")
    labelled = (table["y_true"] != "").to_numpy()
    assert layer.out_of_sample
    assert np.allclose(layer.score[labelled], 1 - table["p_true"][labelled])
    assert layer.true[0] == 65535  # unlabelled
    assert not make_layer(table[["image"]], "artist", report.root / "reports").out_of_sample


def test_a_map_without_pictures_says_so(project: Project) -> None:
    project.write(settings=ReportSettings(map_thumbnails=0, thumbnail_px=64))
    assert "40 were left out to keep this page small" in project.text("map.html")
    assert base64.b64encode(b"RIFF").decode()[:5] not in project.text("map.html")
