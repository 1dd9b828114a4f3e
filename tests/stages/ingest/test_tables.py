"""Label tables as programs write them are read, or refused by name; what is guessed is noted."""

import bz2
import datetime
import decimal
import gzip
import io
import json
import lzma
import zipfile

import numpy as np
import openpyxl
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest

from stages.core.errors import StageError
from stages.ingest.settings import DatasetSettings
from stages.ingest.tables.cells import NoText, cell_text
from tests.stages.ingest.conftest import Workplace

NAMES = ["cubism/léger.png", "cubism/two.png", "dada/three.png"]
ROWS = "".join(f"{name},{style}\n" for name, style in zip(NAMES, "aba", strict=True))


def read(place: Workplace, text: str | bytes, name: str = "labels.csv", **settings: object) -> dict[str, str]:
    """Ingest a table; the style of each image."""
    (place.root / name).write_bytes(text.encode() if isinstance(text, str) else text)
    table = place.ingest("csv", labels=str(place.root / name), **settings)
    return dict(zip(table["image"], table["style"], strict=True))


EXPECTED = dict(zip(NAMES, "aba", strict=True))
READ = {
    "trailing separators in rows": "image,style\n" + ROWS.replace("\n", ",\n"),
    "trailing separators everywhere": "image,style,,\n" + ROWS.replace("\n", ",,\n"),
    "blank lines first": "\n\n \nimage,style\n" + ROWS,
    "sep=; first": "sep=;\nimage;style\n" + ROWS.replace(",", ";"),
    "sep=, quoted": '"sep=,"\nimage,style\n' + ROWS,
    "comment lines first": "# exported by TMS, 2024\n# see www\nimage,style\n" + ROWS,
    "a title line first": "Collection of prints; 2024\n\nimage,style\n" + ROWS,
    "a commented header": "#image,style\n" + ROWS,
    "other case and spaces in the header": " Image , style\n" + ROWS,
    "everything quoted": 'image,style\n"' + ROWS.replace(",", '","').replace("\n", '"\n"')[:-1],
    "no line end at the end": "image,style\n" + ROWS[:-1],
    "two marks of byte order": "\ufeff\ufeffimage,style\n" + ROWS,
    "row names as R writes them": "image,style\n" + "".join(f"{n},{row}\n" for n, row in enumerate(ROWS.splitlines())),
    "the header again in the middle": "image,style\n" + ROWS.replace("\ncub", "\nimage,style\ncub", 1),
    "tabs, with commas in a title": "image\ttitle, year\tstyle\n" + ROWS.replace(",", "\tx, y\t"),
    "bars": "image|style\n" + ROWS.replace(",", "|"),
    "a column twice, alike": "image,style,style\n" + "".join(f"{row},{row[-1]}\n" for row in ROWS.splitlines()),
    "a column without a name": "image,,style\n" + ROWS.replace(",", ",7,"),
    "spaces behind separators": "image, title, style\n" + ROWS.replace(",", ', "x, y", '),
    "NUL at the end": "image,style\n" + ROWS + "\0\0\0",
    "a cell over lines": "image,title,style\n" + ROWS.replace(",", ',"A title,\nof two lines; 1.5",'),
    "marks doubled": "image,title,style\n" + ROWS.replace(",", ',"a ""b"", c",'),
    "marks with a backslash": "image,title,style\n" + ROWS.replace(",", ',"a \\"b\\", c",'),
    "marks within a cell": "image,title,style\n" + ROWS.replace(",", ',5" plate,'),
    "a mark out of place": "image,title,style\n" + ROWS.replace(",", ',"Nude" study,'),
    "UTF-16 LE without a mark": ("image,style\n" + ROWS).encode("utf-16-le"),
    "UTF-16 BE without a mark": ("image,style\n" + ROWS).encode("utf-16-be"),
    "UTF-32": ("image,style\n" + ROWS).encode("utf-32"),
    "Windows-1252": ("image,style\n" + ROWS).encode("cp1252"),
    "gzip": gzip.compress(("image,style\n" + ROWS).encode()),
    "bzip2": bz2.compress(("image,style\n" + ROWS).encode()),
    "xz": lzma.compress(("image,style\n" + ROWS).encode()),
}


@pytest.mark.parametrize("text", READ.values(), ids=READ)
def test_a_table_is_read_as_its_program_meant_it(place: Workplace, text: str | bytes) -> None:
    assert read(place, text, columns={"style": "style"}) == EXPECTED


def zipped(*files: tuple[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files:
            archive.writestr(name, text)
    return buffer.getvalue()


def test_an_archive_with_one_table_is_read_and_with_two_refused(place: Workplace) -> None:
    table = ("labels/a.csv", "image,style\n" + ROWS)
    assert read(place, zipped(table, ("__MACOSX/._a.csv", "x"), (".DS_Store", "x")), "labels.zip") == EXPECTED
    with pytest.raises(StageError, match=r"must hold one table; it holds 2 files \(labels/a.csv, b.csv\): unpack it"):
        read(place, zipped(table, ("b.csv", "x")), "labels.zip")
    with pytest.raises(StageError, match="cannot be unpacked"):
        read(place, gzip.compress(b"image,style\n" * 99)[:-20], "labels.csv.gz")


def workbook(sheets: dict[str, list[list[object]]]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def test_an_excel_file_is_read_from_the_sheet_with_the_paths(place: Workplace) -> None:
    rows = [["Our prints"], [], ["Image", "style", "year", "seen"]]
    rows += [[name, style, 1889.0, datetime.datetime(1889, 6, 1)] for name, style in EXPECTED.items()]
    content = workbook({"Notes": [["nothing"]], "Labels": rows})
    assert read(place, content, "labels.xlsx") == EXPECTED
    table = place.ingest("csv", labels=str(place.root / "labels.xlsx"))
    assert set(table["year"]) == {"1889"}
    assert set(table["seen"]) == {"1889-06-01"}
    assert (0, "one sheet of several is read", "Labels") in place.details()
    with pytest.raises(StageError, match=r"cannot be unpacked|not a readable Excel file"):
        read(place, content[: len(content) // 2] + content[-200:], "labels.xlsx")


RECORDS = [{"image": name, "style": style} for name, style in EXPECTED.items()]
JSON = {
    "records": json.dumps(RECORDS),
    "lines": "\n".join(map(json.dumps, RECORDS)) + "\n",
    "records in an object": json.dumps({"version": 1, "annotations": RECORDS}),
    "columns of pandas": pd.DataFrame(RECORDS).to_json(),
    "index of pandas": pd.DataFrame(RECORDS).to_json(orient="index"),
    "split of pandas": pd.DataFrame(RECORDS).to_json(orient="split"),
    "lists": pd.DataFrame(RECORDS).to_json(orient="columns").replace("x", "x"),
    "columns as lists": json.dumps({"image": NAMES, "style": list("aba")}),
}


@pytest.mark.parametrize("text", JSON.values(), ids=JSON)
def test_json_in_its_usual_layouts(place: Workplace, text: str) -> None:
    assert read(place, text, "labels.json") == EXPECTED


BROKEN_JSON = {"[{": "is not JSON", "[" * 100_000: "nested too deeply|not JSON|no column", "[{}]": "no column 'image'"}


@pytest.mark.parametrize("text", BROKEN_JSON, ids=["cut off", "nested", "empty"])
def test_json_that_is_no_table_is_refused_by_name(place: Workplace, text: str) -> None:
    with pytest.raises(StageError, match=BROKEN_JSON[text]):
        read(place, text, "labels.json")


REFUSED = {
    "a mark that swallows two": ('image,title,style\na.png,"U,B\nb.png,x,A\nc.png,N",B\n', "line 2: a quotation mark"),
    "a mark that swallows one": ('image,title,style\na.png,"U,B\nc.png,Nude",B\n', "line 2: a quotation mark"),
    "the path behind it": ('title,image\nx,z.png\n"U,a.png\nNude",b.png\n', "line 3: a quotation mark"),
    "to the end": ('image,title,style\na.png,"U,B\nb.png,x,A\nc.png,y,B\n', "line 2: .* to the end of the file"),
    "two columns of one name": ("image,style,style\na.png,x,y\n", "2 columns have this name, and different cells"),
    "no path column": ("file,style\na.png,x\n", "no column 'image'; it has: file, style. Set dataset.image_column"),
    "nothing": ("", "is empty"),
    "blank": ("\n \n\n", "is empty"),
    "a web page": ("<!DOCTYPE html><html>", "a web page"),
    "a pickle": (b"\x80\x04\x95\x00", "a pickle, which is never read"),
    "old Excel": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 99, "save it as .xlsx or CSV"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_table_is_refused_by_name(place: Workplace, text: str | bytes, message: str) -> None:
    with pytest.raises(StageError, match=message):
        read(place, text, columns={"style": "style"})


def test_a_row_that_does_not_fit_is_left_out_and_one_with_a_gap_kept(place: Workplace) -> None:
    text = f"image,title,style\n{NAMES[0]},Untitled, 1920,B\n{NAMES[1]},x\n{NAMES[2]},y,A\n"
    assert read(place, text, columns={"style": "style"}) == {NAMES[1]: "", NAMES[2]: "A"}
    assert (2, "row has more cells than the header: left out") in place.problems()
    assert (3, "row has fewer cells than the header") in place.problems()


def test_lines_of_two_encodings_are_each_read_in_theirs(place: Workplace) -> None:
    lines = [b"image,style", *(f"{name},\u0160\u00edma".encode() for name in NAMES[:2]), b"dada/three.png,L\xe9ger"]
    found = read(place, b"\n".join(lines))
    assert list(found.values()) == ["Šíma", "Šíma", "Léger"]
    assert (4, "file is not UTF-8: in part read as Windows-1252") in place.problems()


ENCODINGS = {
    "cp1251": "Илья Репин Иван Шишкин Казимир Малевич",
    "cp1252": "L\u2019Art Nouveau Œuvre\u2013 Šíma",
    "cp1253": "Νικόλαος Γύζης Ελ Γκρέκο",
    "koi8_r": "Илья Репин Иван Шишкин Казимир Малевич",
    "mac_roman": "André Derain, Fernand Léger, Élisabeth Vigée Le Brun",
    "cp932": "葛飾北斎 歌川広重 喜多川歌麿",
    "gb18030": "齐白石 徐悲鸿 张大千",
    "big5": "齊白石 徐悲鴻 張大千",
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_legacy_encodings_are_recognised_and_noted(place: Workplace, encoding: str) -> None:
    names = ENCODINGS[encoding].replace(",", "").split()
    place.add(*(f"{number}.png" for number in range(len(names))))
    text = "image,style\n" + "".join(f"{number}.png,{name}\n" for number, name in enumerate(names))
    assert list(read(place, text.encode(encoding)).values()) == names
    assert any(problem.startswith("file is not UTF-8: read as") for _, problem in place.problems())


# Types of cells.

CELLS = [
    (1, "1"), (1.0, "1"), ("1", "1"), (-500, "-500"), (-500.0, "-500"), (0.1, "0.1"), (np.float32(0.1), "0.1"),
    (np.int8(3), "3"), (True, "True"), (None, ""), (float("nan"), ""), (pd.NaT, ""), (decimal.Decimal("1.00"), "1"),
    (decimal.Decimal("1.50"), "1.5"), (decimal.Decimal("100"), "100"), (datetime.date(1889, 6, 1), "1889-06-01"),
    (datetime.datetime(1889, 6, 1), "1889-06-01"), (datetime.datetime(1889, 6, 1, 12), "1889-06-01T12:00:00"),
    (["Cubism"], "Cubism"), ([], ""), (["a", None, "a"], "a"), (b"Cubism", "Cubism"), (10**20, "100000000000000000000"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "text"), CELLS, ids=repr)
def test_the_text_of_a_value(value: object, text: str) -> None:
    assert cell_text(value) == text


@pytest.mark.parametrize("value", [["a", "b"], {"a": 1}, b"\xff", 10**5000], ids=["list", "record", "bytes", "huge"])
def test_a_value_that_is_no_label_has_no_text(value: object) -> None:
    with pytest.raises(NoText):
        cell_text(value)


COLUMNS = {
    "text with gaps": (pyarrow.array(["a", None, "b"]), ["a", "", "b"]),
    "large text": (pyarrow.array(["a", None, "b"], pyarrow.large_string()), ["a", "", "b"]),
    "whole numbers with gaps": (pyarrow.array([1, None, 2]), ["1", "", "2"]),
    "floats of whole numbers": (pyarrow.array([1.0, float("nan"), -500.0]), ["1", "", "-500"]),
    "32-bit floats": (pyarrow.array([0.1, None, 2.0], pyarrow.float32()), ["0.1", "", "2"]),
    "truth values": (pyarrow.array([True, None, False]), ["True", "", "False"]),
    "dictionary": (pyarrow.array(["a", None, "b"]).dictionary_encode(), ["a", "", "b"]),
    "decimals": (pyarrow.array([decimal.Decimal("1.50"), None, decimal.Decimal("2.00")]), ["1.5", "", "2"]),
    "dates": (pyarrow.array([datetime.date(1889, 6, 1), None, None]), ["1889-06-01", "", ""]),
    "moments": (pyarrow.array([0, None, 86_400], pyarrow.timestamp("s")), ["1970-01-01", "", "1970-01-02"]),
    "lists": (pyarrow.array([["a"], None, []]), ["a", "", ""]),
    "bytes": (pyarrow.array([b"a", None, b"b"]), ["a", "", "b"]),
}  # fmt: skip


@pytest.mark.parametrize(("column", "texts"), COLUMNS.values(), ids=COLUMNS)
def test_columns_of_every_type_in_parquet(place: Workplace, column: pyarrow.Array, texts: list[str]) -> None:
    path = place.root / "l.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"image": NAMES, "style": column}), path)
    table = place.ingest("parquet", labels=str(path), no_label=[])
    assert table["style"].tolist() == texts


def test_columns_that_nobody_asked_for_are_no_reason_to_stop(place: Workplace) -> None:
    table = pyarrow.table(
        {
            "image": NAMES,
            "style": ["a", "b", "a"],
            "Art Style": ["x", "y", "z"],
            "width": [1, 2, 3],
            "size": pyarrow.array([{"w": 1}] * 3),
            "scan": pyarrow.array([b"\xff\x00"] * 3),
            "tags": pyarrow.array([["p", "q"], ["p"], []]),
        }
    )
    pyarrow.parquet.write_table(table, place.root / "l.parquet")
    found = place.ingest("parquet", labels=str(place.root / "l.parquet"))
    assert list(found.columns) == ["image", "style", "tags"]
    assert found["tags"].tolist() == ["", "p", ""]
    left_out = " ".join(detail for _, problem, detail in place.details() if problem == "column is left out")
    assert all(name in left_out for name in ("'Art Style'", "'width'", "'size'", "'scan'"))
    with pytest.raises(StageError, match="column 'size' cannot be read: its cells are a record"):
        place.ingest("parquet", labels=str(place.root / "l.parquet"), columns={"size": "size"})


@pytest.mark.parametrize("name", ["image", None])
def test_the_path_may_be_the_index_of_pandas(place: Workplace, name: str | None) -> None:
    frame = pd.DataFrame({"style": list("aba")}, index=pd.Index(NAMES, name=name))
    frame.to_parquet(place.root / "l.parquet")
    table = place.ingest("parquet", labels=str(place.root / "l.parquet"))
    assert dict(zip(table["image"], table["style"], strict=True)) == EXPECTED


def test_categories_and_nullable_types_of_pandas(place: Workplace) -> None:
    frame = pd.DataFrame(
        {
            "image": NAMES,
            "style": pd.Categorical(["a", None, "b"]),
            "year": pd.array([1889, None, -500], dtype="Int64"),
            "seen": pd.array([True, None, False], dtype="boolean"),
        }
    )
    frame.to_parquet(place.root / "l.parquet")
    table = place.ingest("parquet", labels=str(place.root / "l.parquet"))
    assert table["style"].tolist() == ["a", "", "b"]
    assert table["year"].tolist() == ["1889", "", "-500"]
    assert table["seen"].tolist() == ["True", "", "False"]


def test_an_encoding_that_is_set_is_no_guess(place: Workplace) -> None:
    text = f"image,style\n{NAMES[1]},\u0418\u043b\u044c\u044f\n".encode("cp1251")
    assert read(place, text, encoding="cp1252")[NAMES[1]] == "Èëüÿ"
    assert read(place, text, encoding="cp1251")[NAMES[1]] == "Илья"
    assert not any(problem.startswith("file is not UTF-8") for _, problem in place.problems())
    assert "encoding is a guess" not in place.summary


def test_a_guess_is_reported_with_the_setting(place: Workplace) -> None:
    read(place, f"image,style\n{NAMES[1]},L\u00e9ger\n".encode("cp1252"))
    assert "if letters are wrong, set dataset.encoding" in place.summary


def test_a_table_in_another_encoding_than_is_set_is_refused_by_its_line(place: Workplace) -> None:
    text = f"image,style\n{NAMES[1]},A\n{NAMES[2]},L\u00e9ger\n".encode("cp1252")
    with pytest.raises(StageError, match=r"line 3: byte 0xe9 is not in utf-8: set dataset\.encoding"):
        read(place, text, encoding="utf-8")


@pytest.mark.parametrize("encoding", ["nonsense", "hex", "rot13", ""])
def test_only_an_encoding_of_text_can_be_set(encoding: str) -> None:
    with pytest.raises(ValueError, match="is no encoding of text"):
        DatasetSettings(encoding=encoding)
