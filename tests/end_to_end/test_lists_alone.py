"""Label lists without an image go through ingest, clean and split: what a collection says can be studied alone."""

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import REPOSITORY, run_pipeline

STYLES = ["Cubism", "Dada", "Pop_Art"]
OPTIONS = ["--set", "dataset.source=artgan", "--set", "dataset.labels=lists", "--set", "dataset.images=none"]


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    """Ninety artworks, a third of them held out for style; one is listed under two styles, on both sides."""
    (tmp_path / "params.yaml").write_text((REPOSITORY / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    (tmp_path / "lists").mkdir()
    rows = [f"{STYLES[i % 3]}/ann-other_no-{i}.jpg,{i % 3}" for i in range(90)]
    held_out = [*rows[60:], "Dada/ann-other_no-0.jpg,1"]
    files = {
        "style_class.txt": [f"{index} {name}" for index, name in enumerate(STYLES)],
        "style_train.csv": rows[:60],
        "style_val.csv": held_out,
        "genre_class.txt": ["0 portrait", "1 landscape"],
        "genre_train.csv": [row[:-1] + str(i % 2) for i, row in enumerate(rows[60:])],
        "genre_val.csv": [row[:-1] + str(i % 2) for i, row in enumerate(rows[:20])],
    }
    for name, lines in files.items():
        (tmp_path / "lists" / name).write_text("\n".join([*lines, ""]), encoding="utf-8")
    return tmp_path


def test_lists_alone_are_ingested_cleaned_and_split_with_their_leaks_named(lists: Path) -> None:
    refused = run_pipeline("ingest", *OPTIONS, cwd=lists)
    assert refused.returncode == 1
    assert "not a folder" in refused.stderr
    for command in (["ingest", "--allow-missing"], ["clean", "--allow-missing"], ["split"]):
        result = run_pipeline(*command, *OPTIONS, cwd=lists)
        assert result.returncode == 0, result.stderr
    splits = pd.read_csv(lists / "data" / "splits.csv", dtype=str, keep_default_na=False)
    assert len(splits) == 91
    assert set(splits["split"]) == {"train", "val", "test"}
    twice = splits[splits["image"].str.endswith("_no-0.jpg")]
    assert (twice["style"].tolist(), twice["split"].nunique()) == (["Cubism", "Dada"], 1)
    assert pd.read_csv(lists / "data" / "conflicts.csv")["image"].tolist() == twice["image"].tolist()
    official = ["--set", "split.source=official", "--set", "split.drop_leaks=true"]
    result = run_pipeline("split", *OPTIONS, *official, cwd=lists)
    assert "20 images in train of style are held out by genre" in result.stdout
    assert "1 groups of duplicates on both sides of style" in result.stdout
    kept = pd.read_csv(lists / "data" / "splits.csv", dtype=str, keep_default_na=False)
    assert (len(kept), (kept["split"] == "test").sum()) == (71, 31)
    assert json.loads((lists / "data" / "split_report.json").read_text(encoding="utf-8"))["dropped"] == 20
