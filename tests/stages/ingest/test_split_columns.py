"""The source's own split, under any name, becomes `split` or is refused by name; it is no class and is not dropped."""

import pytest

from stages.ingest.split_names import clean_split
from tests.stages.ingest.conftest import Workplace

NAMES = ["cubism/léger.png", "cubism/two.png", "dada/three.png"]


def ingest(place: Workplace, column: str, parts: list[str], **settings: object) -> list[str] | None:
    rows = "".join(f"{name},a,{part}\n" for name, part in zip(NAMES, parts, strict=True))
    table = place.ingest("csv", labels=place.write("labels.csv", f"image,style,{column}\n{rows}"), **settings)
    if column != "split":
        assert column not in table.columns or "split" not in table.columns
    return table["split"].tolist() if "split" in table.columns else None


COLUMNS = {
    "split": ["train", "val", "test"],
    "subset": ["train", "valid", "test"],
    "Set": ["Training", "Validation", "Testing"],
    "partition": ["0", "1", "2"],
    "data_split": ["train_set", "dev", "hold-out"],
    "usage": ["TRAIN", "dev", "eval"],
    "phase": ["trn", "development", "held-out"],
    "Sub-set": ["train_clean", "val_unseen", "public test"],
    "fold": ["train2014", "val2014", "test2015"],
}


@pytest.mark.parametrize("column", COLUMNS)
def test_a_split_under_any_name_is_the_sources_split(place: Workplace, column: str) -> None:
    assert ingest(place, column, COLUMNS[column]) == ["train", "val", "test"]
    if column != "split":
        assert "column is the source's split" in [problem for _, problem in place.problems()]


def test_a_flag_of_training_is_a_split(place: Workplace) -> None:
    assert ingest(place, "is_training_image", ["1", "0", "1"]) == ["train", "test", "train"]
    assert ingest(place, "is_test", ["True", "False", "True"]) == ["test", "train", "test"]


@pytest.mark.parametrize("parts", [["Landscapes", "Portraits", "Train"], ["1", "2", "3"], ["1", "0", "1"]])
def test_a_column_of_other_words_stays_a_label_column(place: Workplace, parts: list[str]) -> None:
    assert ingest(place, "set", parts) is None


def test_an_unknown_word_is_refused_by_name_and_named_by_the_map(place: Workplace) -> None:
    assert ingest(place, "split", ["train", "fold7", "2"]) == ["train", "", ""]
    unknown = "split is not known as train, val or test: left empty (dataset.map can name it)"
    assert [entry for entry in place.details() if entry[1] == unknown] == [
        (3, unknown, "split: fold7"),
        (4, unknown, "split: 2"),
    ]
    named = {"split": {"fold7": "val", "2": "test"}}
    assert ingest(place, "split", ["train", "fold7", "2"], map=named) == ["train", "val", "test"]


def test_a_column_that_names_two_parts_is_a_split_and_its_other_words_are_refused(place: Workplace) -> None:
    assert ingest(place, "subset", ["train", "holdout", "public_round7"]) == ["train", "test", ""]
    assert (4, "subset: public_round7") in [(row, detail) for row, _, detail in place.details() if row]


def test_a_second_split_is_left_out_by_name(place: Workplace) -> None:
    rows = "".join(f"{name},a,train,test\n" for name in NAMES)
    table = place.ingest("csv", labels=place.write("labels.csv", f"image,style,split,subset\n{rows}"))
    assert list(table.columns) == ["image", "style", "split"]
    assert (0, "column holds a second split: left out", "subset") in place.details()


@pytest.mark.parametrize("word", ["", "Cubism", "trainer", "valley", "testament", "contest", "3", "evaluated"])
def test_a_word_that_is_no_part_is_none(word: str) -> None:
    assert clean_split(word) == ""
