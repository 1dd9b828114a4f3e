"""`pipeline cache` tells, checks and frees; what is current or published stays."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import h5py
import pandas as pd

from stages.core.records.outputs import adopt
from stages.core.tables.columns import SPLIT_IMAGES
from tests.end_to_end.conftest import command

Pipeline = Callable[..., subprocess.CompletedProcess[str]]


def stores(pipeline: Pipeline) -> list[dict]:
    return json.loads(pipeline("cache", "info", "--json").stdout)


def test_after_a_repro_the_disk_holds_every_feature_once(built: Path) -> None:
    """In the store, in data/features and in DVC's cache: three names of the same bytes."""
    (store,) = json.loads(command("pipeline", "cache", "info", "--json", cwd=built).stdout)
    assert store["bytes"] == store["bytes_shared_with_published"] > 0
    assert (built / "data" / "features" / "features.h5").stat().st_nlink > 1


def images_in_splits(project: Path) -> int:
    return pd.read_csv(project / "data" / "splits.csv")["sha256"].nunique()


def test_info_says_what_is_there_and_which_is_current(pipeline: Pipeline, project: Path) -> None:
    (store,) = stores(pipeline)
    assert store["current"] is store["published"] is True
    assert store["images"] == images_in_splits(project)
    assert store["bytes"] > 0
    text = pipeline("cache", "info").stdout
    for words in (store["fingerprint"][:16], "current, published", "transform.crop_px: 64", "tokens: 4"):
        assert words in text


def test_info_of_nothing_says_what_to_run(tmp_path: Path, project: Path) -> None:
    (tmp_path / "params.yaml").write_text((project / "params.yaml").read_text())
    shown = command("pipeline", "cache", "info", cwd=tmp_path).stdout
    assert "pipeline extract-features" in shown


def test_verify_names_shard_and_row_and_the_next_run_mends_it(pipeline: Pipeline, project: Path) -> None:
    published = project / "data" / "features" / "features.h5"
    assert "every one matches its checksum" in pipeline("cache", "verify").stdout
    before = published.read_bytes()
    (shard,) = (project / ".features").rglob("shard-*.h5")
    with h5py.File(shard, "r+") as file:
        file["features"][3] = file["features"][4]
    result = pipeline("cache", "verify")
    assert result.returncode == 1
    assert f"{shard.relative_to(project)}: row 3 " in result.stdout
    assert "extract-features" in result.stderr
    assert "1 computed" in pipeline("extract-features").stdout
    assert published.read_bytes() == before
    assert "every one matches its checksum" in pipeline("cache", "verify").stdout


def test_gc_frees_other_settings_and_left_out_images_only_when_asked(pipeline: Pipeline, project: Path) -> None:
    pipeline("extract-features", "--set", "features.tokens=1", "--set", "features.views=1")
    assert len(stores(pipeline)) == 2
    assert "Nothing to free" in pipeline("cache", "gc").stdout  # one is current, the other published
    assert "0 computed" in pipeline("extract-features").stdout
    splits = project / "data" / "splits.csv"
    lines = splits.read_text().splitlines(keepends=True)
    splits.write_text("".join(lines[:-2]))
    adopt(splits, SPLIT_IMAGES)
    shown = pipeline("cache", "gc").stdout
    for words in ("images under other settings", "images that are not in data/splits.csv", "--yes"):
        assert words in shown
    assert len(stores(pipeline)) == 2
    assert "freed" in pipeline("cache", "gc", "--yes").stdout
    (store,) = stores(pipeline)
    assert store["current"] is True
    assert store["images"] == images_in_splits(project)
    assert "0 computed" in pipeline("extract-features").stdout
