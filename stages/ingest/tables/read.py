"""The registry of table formats: a file's content decides which reads it.

In: a file. Out: a `RawTable`. To add a format, write its module here and its entry in `FORMATS`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from stages.core.errors import StageError
from stages.core.tables.problems import Problems
from stages.core.tables.text_files import as_text, read_bytes
from stages.ingest.tables.csv_text import read_csv_text
from stages.ingest.tables.excel import read_excel
from stages.ingest.tables.json_records import read_json
from stages.ingest.tables.packed import LARGEST_TABLE, is_excel, unpack, unpacked_size
from stages.ingest.tables.parquet import read_parquet
from stages.ingest.tables.raw_table import RawTable, Wanted

# First bytes of files that are tables, but of a kind that is not read here.
REFUSED = {
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an old Excel file (.xls): save it as .xlsx or CSV",
    b"ARROW1": "an Arrow file: save it as parquet",
    b"SQLite format 3": "an SQLite database: export the table as CSV",
    b"\x89HDF": "an HDF5 file: export the table as CSV or parquet",
    b"%PDF": "a PDF file: export the table as CSV",
    b"\x80\x04\x95": "a pickle, which is never read: save the table as CSV or parquet",
    b"\x80\x05\x95": "a pickle, which is never read: save the table as CSV or parquet",
    b"\xff\xd8\xff": "a picture",
    b"\x89PNG": "a picture",
}
MARKUP = (b"<!doctype", b"<html", b"<?xml", b"<table")


class Format(NamedTuple):
    """A format of label tables: how it is recognised, and how it is read from its bytes."""

    recognises: Callable[[bytes], bool]
    read: Callable[[bytes, Wanted, Path, Problems], RawTable]


def _read_text(reader: Callable[[str, Wanted, Path, Problems], RawTable]) -> Callable[..., RawTable]:
    return lambda content, wanted, path, problems: reader(
        as_text(content, path, problems, wanted.encoding), wanted, path, problems
    )


def _looks_like_json(content: bytes) -> bool:
    start = content[:4096].lstrip(b"\xef\xbb\xbf \t\r\n\x00\xff\xfe")
    return start.startswith((b"{", b"[{", b"[\n", b"[ ", b"[\r", b"[]", b"[\x00"))


FORMATS = {
    "excel": Format(is_excel, read_excel),
    "json": Format(_looks_like_json, _read_text(read_json)),
    "csv": Format(lambda content: True, _read_text(read_csv_text)),
}


def read_raw_table(path: Path, wanted: Wanted, problems: Problems) -> RawTable:
    """Read a label table of any format.

    Raises
    ------
    StageError
        If the file is missing, no table, or of a kind that is not read.
    """
    if path.is_dir():
        raise StageError(f"dataset.labels is {path}, a folder: set it to the label table")
    if _starts(path) == b"PAR1":
        return read_parquet(path, wanted, problems)
    content = unpack(read_bytes(path), path)
    if content.startswith(b"PAR1"):
        raise StageError(f"{path} is a packed parquet table: unpack it")
    if problem := _refusal(content):
        raise StageError(f"{path} is {problem}")
    if is_excel(content) and unpacked_size(content) > LARGEST_TABLE:
        raise StageError(f"{path} holds more than {LARGEST_TABLE >> 30} GiB unpacked: it is no label table")
    kind = next(kind for kind in FORMATS.values() if kind.recognises(content))
    return kind.read(content, wanted, path, problems)


def _starts(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(4)
    except OSError:
        return b""


def _refusal(content: bytes) -> str:
    if content[:64].lstrip().lower().startswith(MARKUP):
        return "a web page or XML, not a table: download the table itself"
    return next((what for start, what in REFUSED.items() if content.startswith(start)), "")
