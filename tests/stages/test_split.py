"""The split keeps duplicates together, classes in proportion, and the seed's promise."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.errors import StageError
from stages.split.run import SPLITS, split_images
from stages.split.settings import SplitSettings


def table_of(labels: dict[str, list[str]], groups: list[int]) -> pd.DataFrame:
    count = len(groups)
    return pd.DataFrame(
        {"image": [f"{i}.jpg" for i in range(count)]}
        | labels
        | {"sha256": [f"{i:064x}" for i in range(count)], "width": "9", "height": "9", "mode": "RGB"}
        | {"group": [f"g{group:05d}" for group in groups]}
    )


def split(folder: Path, table: pd.DataFrame, **options: object) -> pd.DataFrame:
    table.to_csv(folder / "clean.csv", index=False)
    split_images(settings=SplitSettings(**options), clean=folder / "clean.csv", splits=folder / "splits.csv")
    return pd.read_csv(folder / "splits.csv", dtype=str, keep_default_na=False)


@st.composite
def collections(draw: st.DrawFn) -> pd.DataFrame:
    count = draw(st.integers(6, 60))
    groups = draw(st.lists(st.integers(0, count), min_size=count, max_size=count).filter(lambda g: len(set(g)) >= 3))
    classes = st.sampled_from(["", "a", "b", "c"])
    labels = {name: draw(st.lists(classes, min_size=count, max_size=count)) for name in ("style", "genre")}
    return table_of(labels, groups)


@settings(deadline=None, max_examples=60)
@given(collections(), st.integers(0, 5))
def test_laws_of_the_split(tmp_path_factory: pytest.TempPathFactory, table: pd.DataFrame, seed: int) -> None:
    folder = tmp_path_factory.mktemp("split")
    result = split(folder, table, random_state=seed)
    assert result.drop(columns="split").equals(table)  # every image once, nothing else changed
    assert set(result["split"]) == set(SPLITS)
    assert (result.groupby("group")["split"].nunique() == 1).all()  # no group on two sides
    assert split(folder, table, random_state=seed).equals(result)  # the same seed, the same split


def test_another_seed_is_another_split(tmp_path: Path) -> None:
    table = table_of({"style": ["a", "b"] * 50}, list(range(100)))
    assert not split(tmp_path, table, random_state=0).equals(split(tmp_path, table, random_state=1))


def test_classes_of_every_column_keep_their_shares(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = {
        name: rng.choice(["a", "b", "c", ""], 1000, p=[0.6, 0.25, 0.1, 0.05]).tolist() for name in ("style", "genre")
    }
    result = split(tmp_path, table_of(labels, list(range(1000))))
    for column in labels:
        for _, rows in result.groupby(column):
            counts = rows["split"].value_counts()
            for name, share in zip(SPLITS, (0.6, 0.2, 0.2), strict=True):
                assert abs(counts[name] - share * len(rows)) <= max(2, 0.02 * len(rows))


def test_other_ratios_are_kept(tmp_path: Path) -> None:
    table = table_of({"style": ["a", "b"] * 100}, list(range(200)))
    counts = split(tmp_path, table, ratios=[0.8, 0.15, 0.05])["split"].value_counts()
    assert counts.to_dict() == {"train": 160, "val": 30, "test": 10}


def test_a_collection_without_any_label_is_still_split(tmp_path: Path) -> None:
    counts = split(tmp_path, table_of({"style": [""] * 10}, list(range(10))))["split"].value_counts()
    assert counts.to_dict() == {"train": 6, "val": 2, "test": 2}


def test_fewer_pictures_than_splits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="2 distinct pictures; at least 3"):
        split(tmp_path, table_of({"style": list("aabb")}, [0, 0, 1, 1]))


def test_a_column_that_is_not_there_cannot_be_stratified_over(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"no label column 'period' \(it has style\)"):
        split(tmp_path, table_of({"style": list("abab")}, [0, 1, 2, 3]), stratify_by=["period"])
