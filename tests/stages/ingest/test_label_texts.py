"""No cell becomes another without a line: labels keep what can be seen, and files keep labels."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.core.errors import StageError
from stages.core.records.outputs import adopt
from stages.core.tables.columns import CONFUSION, MANIFEST
from stages.core.tables.csv_files import read_cells, read_table, write_table
from stages.core.tables.labels import clean_label
from stages.core.tables.spreadsheet import escape_formula, unescape_formula
from stages.ingest.spellings import groups_alike, spelling_key
from tests.stages.ingest.conftest import Workplace

RISKY = ["=1+1", "+x", "-x", "@x", "\tx", "\rx", "\nx", " =x", "\uff1dx", "'=x", "''=x", "-", "+", "=", "'", "''"]
PLAIN = ["-500", "+1", "1,5", "-1.5e3", "'s-Hertogenbosch", "Cubism", "", "a=b", "1-2", '"x"', "'x"]
TEXTS = st.text("=+-@'\t\r\n \"a,;1\uff1d\u0301", max_size=6) | st.text(max_size=12)


@given(TEXTS)
def test_escaping_is_undone_exactly_and_leaves_no_formula(text: str) -> None:
    escaped = escape_formula(text)
    assert unescape_formula(escaped) == text
    assert escaped == text or escaped == f"'{text}"


@pytest.mark.parametrize("text", RISKY)
def test_what_a_spreadsheet_runs_is_escaped(text: str) -> None:
    assert escape_formula(text)[:1] not in ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d")


@pytest.mark.parametrize("text", PLAIN)
def test_numbers_and_names_are_written_as_they_are(text: str) -> None:
    assert escape_formula(text) == text


@given(st.lists(TEXTS.filter(lambda text: "\r" not in text), min_size=1, max_size=6, unique=True))
def test_a_table_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = tmp_path_factory.mktemp("table") / "manifest.csv"
    texts = [text for text in texts if text.isprintable() or text.strip()] or ["x"]
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return
    table = pd.DataFrame({"image": texts, "style": texts[::-1], "score": [-0.5] * len(texts)})
    write_table(table, path)
    adopt(path, MANIFEST)
    read = read_table(path, replace(MANIFEST, unique=()))
    assert read["image"].tolist() == texts
    assert read["style"].tolist() == texts[::-1]
    assert set(read["score"]) == {"-0.5"}


def test_column_names_are_escaped_too(tmp_path: Path) -> None:
    path = tmp_path / "confusion.csv"
    write_table(pd.DataFrame({"y_true": ["=a", "-5"], "=a": [1, 0], "-5": [0, 1]}), path)
    assert path.read_text(encoding="utf-8").splitlines() == ["y_true,'=a,-5", "'=a,1,0", "-5,0,1"]
    adopt(path, CONFUSION)
    assert read_cells(path, CONFUSION).iloc[0].tolist() == ["y_true", "=a", "-5"]


LABELS = [
    "-500",
    "500",
    "+1",
    "1",
    "+",
    "=",
    "@x",
    "x",
    "'x",
    "\u2018x",
    "C",
    "C++",
    "C#",
    "a\u00adb",
    "Ã\x81",
    "Ã\x82",
]


def test_labels_that_differ_to_the_eye_stay_apart(place: Workplace) -> None:
    place.add(*(f"{number}.png" for number in range(len(LABELS))))
    rows = "".join(f'{number}.png,"{label}"\n' for number, label in enumerate(LABELS))
    found = place.ingest("csv", labels=place.write("labels.csv", "image,style\n" + rows))
    assert found["style"].nunique() == len(LABELS)
    assert dict(zip(found["image"], found["style"], strict=True))["0.png"] == "-500"


@given(st.text(max_size=10), st.text(max_size=10))
def test_two_labels_become_one_only_if_one_of_them_changes(first: str, second: str) -> None:
    if clean_label(first) == clean_label(second):
        changed = [clean_label(text) != text for text in (first, second)]
        assert first == second or any(changed)


INVISIBLE = [
    *("Art Nouveau", "Art  Nouveau", "Art\u00a0Nouveau", "Art Nouveau\u200b", "\ufeffArt Nouveau", "Art\tNouveau"),
    *("Art Nou\u00adveau", "Art\u3000Nouveau", "\u200eArt Nouveau\u200f", "Art\u2009Nouveau", "Art Nouveau\u2060"),
]


def test_invisible_differences_make_no_class_and_each_is_listed(place: Workplace) -> None:
    place.add(*(f"{number}.png" for number in range(len(INVISIBLE))))
    rows = "".join(f'{number}.png,"{label}"\n' for number, label in enumerate(INVISIBLE))
    found = place.ingest("csv", labels=place.write("labels.csv", "image,style\n" + rows))
    assert set(found["style"]) == {"Art Nouveau"}
    noted = [row for row, problem in place.problems() if problem.startswith("label had invisible")]
    assert noted == list(range(3, len(INVISIBLE) + 2))


def test_joiners_between_letters_that_need_them_stay() -> None:
    for label in ("\u0645\u06cc\u200c\u062e", "\u0d9a\u0dca\u200d\u0dc2", "\U0001f469\u200d\U0001f3a8"):
        assert clean_label(label) == label
    assert clean_label("Cub\u200dism") == "Cubism"


def test_long_labels_stay_two_and_a_longer_one_is_left_out_by_name(place: Workplace) -> None:
    start = "Workshop of the Master of the Legend, " * 8
    rows = f'cubism/two.png,"{start}Bruges"\ndada/three.png,"{start}Ghent"\ncubism/léger.png,{"x" * 200_000}\n'
    labels = place.write("labels.csv", f"image,style\n{rows}")
    found = place.ingest("csv", labels=labels).set_index("image")["style"]
    assert found["cubism/two.png"] == f"{start}Bruges"
    assert found["dada/three.png"] == f"{start}Ghent"
    assert found["cubism/léger.png"] == ""
    assert (4, "label is longer than 1000 characters: left out") in place.problems()


SPELLINGS = ["Art Nouveau", "art nouveau", "ART NOUVEAU", "Art-Nouveau", "Art_Nouveau", "Art Nouveau.", "Árt Nouveau",
             "ArtNouveau", "Art\u2010Nouveau"]  # fmt: skip


def test_spellings_of_one_label_are_kept_apart_and_reported_with_the_line_that_joins_them(place: Workplace) -> None:
    place.add(*(f"{number}.png" for number in range(len(SPELLINGS) + 1)))
    listed = [*SPELLINGS, SPELLINGS[0]]
    rows = "image,style\n" + "".join(f"{number}.png,{label}\n" for number, label in enumerate(listed))
    labels = place.write("labels.csv", rows)
    assert place.ingest("csv", labels=labels)["style"].nunique() == len(SPELLINGS)
    assert "style: spelled alike, kept apart: Art Nouveau (2), ART NOUVEAU (1)" in place.summary
    line = next(line for line in place.summary.splitlines() if "dataset.map" in line)
    import yaml  # the line is what params.yaml takes

    setting = yaml.safe_load(line.split("dataset.map: ", 1)[1])
    found = place.ingest("csv", labels=labels, map=setting)
    assert set(found["style"]) == {"Art Nouveau"}
    assert "label is renamed by dataset.map" in [problem for _, problem in place.problems()]


@pytest.mark.parametrize("pair", list(combinations(["J.M.W. Turner", "J. M. W. Turner", "JMW Turner"], 2)))
def test_initials_are_spelled_alike(pair: tuple[str, str]) -> None:
    assert spelling_key(pair[0]) == spelling_key(pair[1])


@pytest.mark.parametrize("pair", [("-500", "500"), ("1.5", "15"), ("C", "C++"), ("1", "2"), ("か", "が")])
def test_other_labels_are_not_spelled_alike(pair: tuple[str, str]) -> None:
    assert spelling_key(pair[0]) != spelling_key(pair[1])


def test_a_mis_decoded_label_is_reported_with_what_it_was() -> None:
    assert groups_alike({"Café": 2, "Caf&eacute;": 1}) == [["Café", "Caf&eacute;"]]
    assert groups_alike({"André Derain": 9, "AndrÃ© Derain": 1, "Other": 2}) == [["André Derain", "AndrÃ© Derain"]]


def test_a_map_of_an_attribute_that_is_not_there_is_refused_and_of_a_label_noted(place: Workplace) -> None:
    labels = place.write("labels.csv", "image,style\ncubism/two.png,Cubism\n")
    with pytest.raises(StageError, match=r"dataset\.map names 'genre', which is no label column; it has: style"):
        place.ingest("csv", labels=labels, map={"genre": {"a": "b"}})
    place.ingest("csv", labels=labels, map={"style": {"Dada": "Cubism"}})
    assert (0, "no cell has the label to rename") in place.problems()


NOT_KNOWN = [
    "nan",
    "NaN",
    "None",
    "NULL",
    "null",
    "N/A",
    "n/a",
    "NA",
    "-",
    "?",
    "<NA>",
    "#N/A",
    "n.a.",
    "Unknown Artist",
]


@pytest.mark.parametrize("word", NOT_KNOWN)
def test_a_word_for_not_known_is_unlabelled_reported_and_a_setting(place: Workplace, word: str) -> None:
    labels = place.write("labels.csv", f"image,style\ncubism/two.png,{word}\ndada/three.png,Dada\n")
    assert place.ingest("csv", labels=labels)["style"].tolist() == ["", "Dada"]
    assert (2, "not known, by dataset.no_label: unlabelled", f"style: '{word}' in 1 cells") in place.details()
    assert "not known, by dataset.no_label" in place.summary
    assert place.ingest("csv", labels=labels, no_label=[])["style"].tolist() == [word, "Dada"]
