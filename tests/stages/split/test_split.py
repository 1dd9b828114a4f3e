"""The split keeps duplicates together, classes in proportion, and the seed's promise."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.core.errors import StageError
from stages.core.records.outputs import adopt
from stages.core.tables.columns import CLEAN, SPLITS
from stages.split.settings import SplitSettings
from stages.split.split_images import split_images


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
    adopt(folder / "clean.csv", CLEAN)
    split_images(
        settings=SplitSettings(**options),
        clean=folder / "clean.csv",
        splits=folder / "splits.csv",
        report=folder / "report.json",
    )
    return pd.read_csv(folder / "splits.csv", dtype=str, keep_default_na=False)


def report(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


@st.composite
def collections(draw: st.DrawFn) -> pd.DataFrame:
    count = draw(st.integers(6, 60))
    groups = draw(st.lists(st.integers(0, count), min_size=count, max_size=count).filter(lambda g: len(set(g)) >= 3))
    classes = st.sampled_from(["", "a", "b", "c"])
    labels = {name: draw(st.lists(classes, min_size=count, max_size=count)) for name in ("style", "genre")}
    return table_of(labels, groups)


METHODS = st.sampled_from(["stratified", "hash"])


@settings(deadline=None, max_examples=60)
@given(collections(), st.integers(0, 5), METHODS, st.sampled_from(["keep", "drop"]))
def test_laws_of_the_split(
    tmp_path_factory: pytest.TempPathFactory, table: pd.DataFrame, seed: int, method: str, small_classes: str
) -> None:
    folder = tmp_path_factory.mktemp("split")
    options = {"random_state": seed, "method": method, "small_classes": small_classes}
    result = split(folder, table, **options)
    unchanged = table.columns.drop(["style", "genre"] if small_classes == "drop" else [])
    assert result[unchanged].equals(table[unchanged])  # every image once, nothing else changed
    assert set(result["split"]) <= set(SPLITS)
    assert (result.groupby("group")["split"].nunique() == 1).all()  # no group on two sides
    assert split(folder, table, **options).equals(result)  # the same seed, the same split


@settings(deadline=None, max_examples=40)
@given(collections())
def test_no_part_of_a_stratified_split_is_empty(tmp_path_factory: pytest.TempPathFactory, table: pd.DataFrame) -> None:
    assert set(split(tmp_path_factory.mktemp("split"), table)["split"]) == set(SPLITS)


@settings(deadline=None, max_examples=40)
@given(collections(), st.integers(0, 5), METHODS)
def test_the_split_does_not_depend_on_the_order_of_rows(
    tmp_path_factory: pytest.TempPathFactory, table: pd.DataFrame, seed: int, method: str
) -> None:
    folder = tmp_path_factory.mktemp("split")
    sides = split(folder, table, method=method).set_index("image")["split"]
    shuffled = split(folder, table.sample(frac=1, random_state=seed), method=method).set_index("image")["split"]
    assert shuffled.sort_index().equals(sides.sort_index())


@settings(deadline=None, max_examples=40)
@given(collections(), st.sampled_from([["style"], []]), METHODS)
def test_a_label_column_that_is_not_stratified_over_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, table: pd.DataFrame, stratify_by: list[str], method: str
) -> None:
    folder = tmp_path_factory.mktemp("split")
    options = {"stratify_by": stratify_by, "method": method}
    before = split(folder, table.drop(columns="genre"), **options)["split"]
    assert split(folder, table, **options)["split"].equals(before)


def test_by_default_a_label_column_that_comes_later_is_stratified_over_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = {name: rng.choice(list("abc"), 300).tolist() for name in ("style", "genre")}
    table = table_of(labels, list(range(300)))
    before = split(tmp_path, table.drop(columns="genre"))["split"]
    assert not split(tmp_path, table)["split"].equals(before)


def test_another_seed_is_another_split(tmp_path: Path) -> None:
    table = table_of({"style": ["a", "b"] * 50}, list(range(100)))
    for method in ("stratified", "hash"):
        one, other = (split(tmp_path, table, random_state=seed, method=method) for seed in (0, 1))
        assert not one.equals(other)


def uneven_collection(seed: int, count: int = 1500) -> pd.DataFrame:
    """Three columns of classes of very different sizes, and groups of up to twelve images."""
    rng = np.random.default_rng(seed)
    sizes = np.minimum(rng.geometric(0.6, count), 12)
    groups = np.repeat(np.arange(count), sizes)[:count].tolist()
    labels = {
        "style": rng.choice(list("abcdefgh"), count, p=[0.4, 0.3, 0.1, 0.08, 0.05, 0.03, 0.025, 0.015]).tolist(),
        "genre": rng.choice(["", "x", "y", "z"], count, p=[0.3, 0.4, 0.27, 0.03]).tolist(),
        "artist": np.where(rng.random(count) < 0.7, "", rng.integers(0, 12, count).astype(str)).tolist(),
    }
    return table_of(labels, groups)


@pytest.mark.parametrize("seed", range(5))
def test_every_class_of_twenty_keeps_its_shares_to_an_image_or_two_per_cent(tmp_path: Path, seed: int) -> None:
    result = split(tmp_path, uneven_collection(seed), random_state=seed)
    checked = 0
    for column in ("style", "genre", "artist"):
        for name, rows in result[result[column] != ""].groupby(column):
            if len(rows) < 20:
                continue
            checked += 1
            counts = rows["split"].value_counts()
            for part, share in zip(SPLITS, (0.6, 0.2, 0.2), strict=True):
                off = abs(counts.get(part, 0) - share * len(rows))
                assert off <= max(1, 0.02 * len(rows)) + 1e-9, f"{column}={name}, {part}: {counts.to_dict()}"
    assert checked > 20


def test_the_report_says_how_far_every_class_is_off(tmp_path: Path) -> None:
    result = split(tmp_path, uneven_collection(0), method="hash")
    rows = {(row["attribute"], row["class"]): row for row in report(tmp_path)["classes"]}
    counts = result.loc[result["style"] == "c", "split"].value_counts()
    row = rows["style", "c"]
    assert {part: row[part] for part in SPLITS} == counts.to_dict()
    off = max(abs(counts[part] - share * counts.sum()) for part, share in zip(SPLITS, (0.6, 0.2, 0.2), strict=True))
    assert row["deviation"] == pytest.approx(off, abs=0.01)


def test_other_ratios_are_kept(tmp_path: Path) -> None:
    table = table_of({"style": ["a", "b"] * 100}, list(range(200)))
    counts = split(tmp_path, table, ratios=[0.8, 0.15, 0.05])["split"].value_counts()
    assert counts.to_dict() == {"train": 160, "val": 30, "test": 10}


def test_a_class_of_five_is_in_all_three_and_a_smaller_one_stays_in_train(tmp_path: Path) -> None:
    styles = ["rare"] * 4 + ["five"] * 5 + ["a"] * 91
    result = split(tmp_path, table_of({"style": styles}, list(range(100))))
    assert set(result.loc[result["style"] == "rare", "split"]) == {"train"}
    assert set(result.loc[result["style"] == "five", "split"]) == set(SPLITS)
    assert report(tmp_path)["small_classes"] == ["style=rare"]


def test_small_classes_can_lose_their_labels_instead(tmp_path: Path) -> None:
    styles = ["rare"] * 4 + ["a"] * 96
    result = split(tmp_path, table_of({"style": styles}, list(range(100))), small_classes="drop")
    assert len(result) == 100
    assert result["style"].tolist() == [""] * 4 + ["a"] * 96


def test_a_class_is_small_by_its_pictures_and_not_by_their_copies(tmp_path: Path) -> None:
    result = split(tmp_path, table_of({"style": ["copied"] * 30 + ["a"] * 70}, [0] * 30 + list(range(1, 71))))
    assert set(result.loc[result["style"] == "copied", "split"]) == {"train"}
    assert report(tmp_path)["small_classes"] == ["style=copied"]


def test_a_column_of_titles_pins_nothing(tmp_path: Path) -> None:
    labels = {"style": ["a", "b"] * 50, "title": [f"title {i}" for i in range(100)]}
    counts = split(tmp_path, table_of(labels, list(range(100))))["split"].value_counts()
    assert counts.to_dict() == {"train": 60, "val": 20, "test": 20}
    assert report(tmp_path)["columns_without_classes"] == ["title"]


def test_the_sources_own_splits_are_kept_and_are_no_labels(tmp_path: Path) -> None:
    table = table_of({"style": ["a", "b"] * 50}, list(range(100)))
    plain = split(tmp_path, table)["split"]
    result = split(tmp_path, table.assign(split_style=["train"] * 70 + ["val"] * 30, split=["test"] * 100))
    assert result["split"].equals(plain)
    assert set(result["split_source"]) == {"test"}
    assert {row["attribute"] for row in report(tmp_path)["classes"]} == {"style"}


@settings(deadline=None, max_examples=40)
@given(collections(), st.data())
def test_by_hash_added_pictures_move_no_old_one(
    tmp_path_factory: pytest.TempPathFactory, table: pd.DataFrame, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("split")
    old = data.draw(st.sets(st.sampled_from(sorted(set(table["group"]))), min_size=3))
    before = split(folder, table[table["group"].isin(old)], method="hash").set_index("image")["split"]
    after = split(folder, table, method="hash").set_index("image")["split"]
    assert after[before.index].equals(before)


def test_by_hash_a_duplicate_that_renames_its_group_moves_nothing_if_the_earlier_split_is_named(
    tmp_path: Path,
) -> None:
    table = table_of({"style": ["a"] * 200}, list(range(200)))
    before = split(tmp_path, table, method="hash").set_index("image")["split"]
    (tmp_path / "splits.csv").rename(tmp_path / "earlier.csv")
    new = table.head(50).assign(
        image=lambda rows: "new-" + rows["image"], sha256=[f"{i:064x}" for i in range(500, 550)]
    )
    renamed = {group: f"f{group[1:]}" for group in new["group"]}
    grown = pd.concat([table, new]).replace({"group": renamed})
    free = split(tmp_path, grown, method="hash").set_index("image")["split"]
    assert not free[before.index].equals(before)
    kept = split(tmp_path, grown, method="hash", previous=str(tmp_path / "earlier.csv")).set_index("image")["split"]
    assert kept[before.index].equals(before)
    assert report(tmp_path)["moved_by_merging"] == 0


def test_by_hash_joined_groups_move_the_fewest_and_it_is_said(tmp_path: Path) -> None:
    table = table_of({"style": ["a"] * 60}, list(range(60)))
    before = split(tmp_path, table, method="hash").set_index("image")["split"]
    (tmp_path / "splits.csv").rename(tmp_path / "earlier.csv")
    in_test, in_train = (before.index[before == name] for name in ("test", "train"))
    joined = {in_test[0], in_train[0], in_train[1]}
    grown = table.assign(group=table["group"].where(~table["image"].isin(joined), "g99999"))
    after = split(tmp_path, grown, method="hash", previous=str(tmp_path / "earlier.csv")).set_index("image")["split"]
    assert (after != before).sum() == report(tmp_path)["moved_by_merging"] == 1


def test_a_collection_without_any_label_is_still_split(tmp_path: Path) -> None:
    counts = split(tmp_path, table_of({"style": [""] * 10}, list(range(10))))["split"].value_counts()
    assert counts.to_dict() == {"train": 6, "val": 2, "test": 2}


def test_fewer_pictures_than_splits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="2 distinct pictures; at least 3"):
        split(tmp_path, table_of({"style": list("aabb")}, [0, 0, 1, 1]))


def test_a_column_that_is_not_there_cannot_be_stratified_over(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"split\.stratify_by: .*no label column 'period'; it has: style"):
        split(tmp_path, table_of({"style": list("abab")}, [0, 1, 2, 3]), stratify_by=["period"])


def test_an_attribute_that_most_images_lack_is_named(tmp_path: Path) -> None:
    labels = {"style": ["a", "b"] * 10, "genre": ["c"] * 9 + [""] * 11}
    table = table_of(labels, list(range(20)))
    table.to_csv(tmp_path / "clean.csv", index=False)
    adopt(tmp_path / "clean.csv", CLEAN)
    said = split_images(
        settings=SplitSettings(), clean=tmp_path / "clean.csv", splits=tmp_path / "splits.csv",
        report=tmp_path / "report.json",
    )  # fmt: skip
    assert "labelled less than half, the other images are no part of its training or scores: genre (9 of 20)" in said
    assert "style (20" not in said
