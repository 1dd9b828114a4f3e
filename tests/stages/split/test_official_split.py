"""The source's own lists can be followed to the image, and what leaks through them is named and can be dropped."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.core.errors import StageError
from tests.stages.split.test_split import report, split, table_of


def listed(sides: dict[str, list[str]], groups: list[int] | None = None) -> pd.DataFrame:
    """A table with two styles, and the source's side of every image for some attributes."""
    count = len(next(iter(sides.values())))
    table = table_of({"style": (["a", "b"] * count)[:count]}, groups or list(range(count)))
    return table.assign(**{f"split_{attribute}": side for attribute, side in sides.items()})


def official(folder: Path, table: pd.DataFrame, **options: object) -> pd.Series:
    return split(folder, table, source="official", **options).set_index("image")["split"]


def test_their_val_is_our_test_and_our_val_comes_out_of_their_train(tmp_path: Path) -> None:
    table = listed({"style": ["train"] * 80 + ["val"] * 20})
    sides = official(tmp_path, table)
    assert sides.value_counts().to_dict() == {"train": 60, "val": 20, "test": 20}
    assert set(sides.iloc[80:]) == {"test"}
    assert table.set_index("image").loc[sides.index[sides == "val"], "style"].value_counts().to_dict() == {
        "a": 10,
        "b": 10,
    }


def test_a_list_of_three_parts_is_followed_as_it_is(tmp_path: Path) -> None:
    side = ["train", "val", "test", "test", "train"] * 6
    assert official(tmp_path, listed({"style": side})).tolist() == side


def test_the_first_list_is_followed_unless_another_is_named(tmp_path: Path) -> None:
    table = listed({"style": ["train"] * 10 + ["val"] * 20, "genre": ["val"] * 10 + ["train"] * 20})
    assert set(official(tmp_path, table).iloc[10:]) == {"test"}
    assert set(official(tmp_path, table, official_attribute="genre").iloc[:10]) == {"test"}


@st.composite
def lists(draw: st.DrawFn) -> pd.DataFrame:
    count = draw(st.integers(6, 50))
    side = st.lists(st.sampled_from(["train", "train", "val", ""]), min_size=count, max_size=count)
    groups = draw(st.lists(st.integers(0, count), min_size=count, max_size=count).filter(lambda g: len(set(g)) >= 3))
    return listed({"style": ["train", *draw(side)[1:]], "genre": draw(side)}, groups)


@settings(deadline=None, max_examples=80)
@given(lists())
def test_laws_of_following(tmp_path_factory: pytest.TempPathFactory, table: pd.DataFrame) -> None:
    folder = tmp_path_factory.mktemp("official")
    result = split(folder, table, source="official")
    assert result["image"].equals(table["image"])
    side = table["split_style"]
    assert (result.loc[side == "val", "split"] == "test").all()
    assert result.loc[side == "train", "split"].isin(["train", "val"]).all()
    learning = result[result["split"] != "test"]
    assert (learning.groupby("group")["split"].nunique() == 1).all()


@settings(deadline=None, max_examples=80)
@given(lists())
def test_laws_of_dropping_leaks(tmp_path_factory: pytest.TempPathFactory, table: pd.DataFrame) -> None:
    folder = tmp_path_factory.mktemp("official")
    whole = split(folder, table, source="official")
    named = set(report(folder)["leaking_into_train_or_val"])
    result = split(folder, table, source="official", drop_leaks=True)
    assert set(whole["image"]) - set(result["image"]) == named
    assert report(folder)["dropped"] == len(named)
    assert (result.groupby("group")["split"].nunique() == 1).all()  # no group on two sides any more
    from_their_train = result[(result["split"] != "test") & (result["split_style"] == "train")]
    assert (from_their_train["split_genre"] != "val").all()
    kept_sides = whole.set_index("image").loc[result["image"], "split"].to_numpy()
    assert np.array_equal(result["split"], kept_sides)


def test_leaks_are_named(tmp_path: Path) -> None:
    table = listed(
        {"style": ["train"] * 8 + ["val"] * 4, "genre": ["val", "train", *[""] * 8, "train", ""]},
        groups=[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 3],
    )
    table["image"] = [f"{i}/{i}.jpg" for i in range(10)] + ["x/2.jpg", "x/3(1).jpg"]
    official(tmp_path, table)
    leaks = report(tmp_path)["leaks"]
    assert leaks["cross_attribute"] == {"style > genre": ["0/0.jpg"], "genre > style": ["x/2.jpg"]}
    assert leaks["duplicate_groups"] == {"style": [["3/3.jpg", "x/3(1).jpg"]], "genre": []}
    assert leaks["same_file_name"] == {"style": ["2.jpg", "3.jpg"], "genre": []}
    assert report(tmp_path)["leaking_into_train_or_val"] == ["0/0.jpg", "3/3.jpg"]


def test_a_source_without_a_split_cannot_be_followed(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="no split_ATTRIBUTE column"):
        official(tmp_path, table_of({"style": ["a"] * 9}, list(range(9))))


def test_a_list_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"no split of 'artist' \(only style\)"):
        official(tmp_path, listed({"style": ["train", "val"] * 5}), official_attribute="artist")


def test_an_unknown_part_is_named_with_its_row(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"clean\.csv, row 4: split_style is 'dev'; it must be"):
        official(tmp_path, listed({"style": ["train", "val", "dev", "train"]}))


@pytest.mark.parametrize("attribute", [None, "split", "style"])
def test_one_split_of_the_source_for_all_attributes_is_followed(tmp_path: Path, attribute: str | None) -> None:
    side = ["train", "val", "test", "test", "train"] * 6
    table = listed({"style": side}).rename(columns={"split_style": "split"})
    found = split(tmp_path, table, source="official", official_attribute=attribute)
    assert found["split"].tolist() == found["split_source"].tolist() == side
