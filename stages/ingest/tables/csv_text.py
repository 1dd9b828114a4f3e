"""Read tables written as text with separators, as programs write them.

In: the text. Out: a `RawTable`. A quotation mark that swallows rows is an error with its line; a row that does not fit
the header is left out and noted; what is guessed (separator, header, shifted columns) is noted.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from stages.core.errors import StageError
from stages.core.tables.problems import Problems
from stages.ingest.tables.raw_table import RawTable, Wanted, named_columns

if TYPE_CHECKING:
    import _csv

SEPARATORS = ",;\t|"
EXCEL_SEPARATOR = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
COMMENT = re.compile(r"\s*(#|//|--)")
LINE_END = re.compile(r"\r\n|\n|\r")  # str.splitlines would cut mis-decoded names in two at 0x85
# Lines before the header: titles, notes, blank ones.
HEADER_WITHIN = 100
SUFFIX = re.compile(r"\.\w{1,5}$")
LARGEST_CELL = 1 << 30


class Record(NamedTuple):
    """A row and where it begins."""

    row: int
    line: int
    cells: list[str]


def read_csv_text(text: str, wanted: Wanted, path: Path, problems: Problems) -> RawTable:
    """Read a table of text.

    Raises
    ------
    StageError
        If there is no row, or a quotation mark swallows rows.
    """
    lines = LINE_END.split(text)
    separator, first = _separator(lines, wanted.image)
    records = list(_records(lines, separator, first, path, problems))
    filled = [record for record in records if any(cell.strip() for cell in record.cells)]
    if not filled:
        raise StageError(f"{path} is empty: it needs a header line and a row per image")
    place = _header_place(filled, wanted.image)
    header, body = filled[place], filled[place + 1 :]
    names = _names(header, wanted.image)
    for skipped in filled[:place]:
        problems.add(path, skipped.row, "line before the header is left out", separator.join(skipped.cells))
    body = [record for record in body if record.cells != header.cells]
    _check_swallowed(body, names, wanted.image, separator, path)
    body = _fit(names, body, wanted.image, path, problems)
    columns = [[record.cells[number] for record in body] for number in range(len(names))]
    return named_columns(names, columns, [record.row for record in body], wanted)


def _separator(lines: Sequence[str], image: str) -> tuple[str, int]:
    """The separator, and the first line of the table: Excel's `sep=;`, else that which the header has most of."""
    for number, line in enumerate(lines[:HEADER_WITHIN]):
        if excel := EXCEL_SEPARATOR.fullmatch(line.strip("\ufeff ")):
            return excel[1], number + 1
        if line.strip():
            break
    named = [line for line in lines[:HEADER_WITHIN] if _plain(image) in line.casefold()]
    filled = [line for line in lines[:HEADER_WITHIN] if line.strip() and not COMMENT.match(line)]
    candidates = [
        (_plain(image) in map(_plain, line.split(separator)), line.count(separator), separator)
        for line in (named or filled)[:1] + named
        for separator in SEPARATORS
    ]
    best = max(candidates, key=lambda found: found[:2], default=(False, 0, ","))
    return (best[2] if best[1] else ","), 0


def _plain(name: str) -> str:
    """A column's name without spaces, quotes, comment sign or byte-order mark around it, lower-case."""
    return name.strip(" \t\ufeff\"'#").casefold()


def _records(lines: list[str], separator: str, first: int, path: Path, problems: Problems) -> Iterator[Record]:
    """Give the rows in order; a line without quotation marks is a row as it stands."""
    number, row = first, first
    while number < len(lines):
        row += 1
        if '"' not in lines[number]:
            yield Record(row, number + 1, lines[number].split(separator))
            number += 1
            continue
        cells, taken = _quoted(lines, number, separator, row, path, problems)
        yield Record(row, number + 1, cells)
        number += taken


def _quoted(
    lines: list[str], number: int, separator: str, row: int, path: Path, problems: Problems
) -> tuple[list[str], int]:
    """Read a row with quotation marks; the number of lines it takes.

    By the standard first, then with `\\"` for a mark within a cell, then with marks as ordinary characters.
    """
    unclosed = False
    for escape in (None, "\\"):
        reader = _reader(lines, number, separator, escape)
        try:
            cells = next(reader)
        except csv.Error as error:
            unclosed |= "unexpected end" in str(error)
            continue
        if escape:
            problems.add(path, row, 'quotation marks are written \\": read so', lines[number])
        return cells, reader.line_num
    if unclosed and any(line.strip() for line in lines[number + 1 :]):
        raise StageError(_swallowed(path, number + 1, "to the end of the file"))
    problems.add(path, row, "quotation mark out of place: taken as a character", lines[number])
    return lines[number].split(separator), 1


def _reader(lines: list[str], number: int, separator: str, escape: str | None) -> _csv.Reader:
    rest = (lines[place] + "\n" for place in range(number, len(lines)))
    csv.field_size_limit(LARGEST_CELL)
    return csv.reader(rest, delimiter=separator, strict=True, escapechar=escape)


def _swallowed(path: Path, line: int, until: str) -> str:
    return (
        f"{path}, line {line}: a quotation mark opens a cell that runs {until} and swallows rows: "
        'remove the mark, or write "" for one within a quoted cell'
    )


def _header_place(filled: Sequence[Record], image: str) -> int:
    """The first row that has the image column's name; else the first that is no comment."""
    for place, record in enumerate(filled[:HEADER_WITHIN]):
        if _plain(image) in map(_plain, record.cells):
            return place
    return next((place for place, record in enumerate(filled) if not COMMENT.match(record.cells[0])), 0)


def _names(header: Record, image: str) -> list[str]:
    """The columns' names; the image column's as the settings write it, where case or spaces differ."""
    names = [cell.strip(" \t\ufeff") for cell in header.cells]
    if names[0].startswith("#"):
        names[0] = names[0].lstrip("# ")
    alike = [name for name in names if _plain(name) == _plain(image)]
    return [image if len(alike) == 1 and name == alike[0] and image not in names else name for name in names]


def _fit(names: list[str], body: list[Record], image: str, path: Path, problems: Problems) -> list[Record]:
    """Give every row as many cells as the header: trailing separators and a column of row names are removed."""
    sizes = Counter(len(record.cells) for record in body)
    if sizes and set(sizes) == {len(names) + 1} and _is_shifted(names, body, image):
        problems.add(path, 0, "header lacks a name for the first column, which is left out", body[0].cells[0])
        body = [record._replace(cells=record.cells[1:]) for record in body]
    fitting = []
    for record in body:
        if any(cell.strip() for cell in record.cells[len(names) :]):
            problems.add(path, record.row, "row has more cells than the header: left out", record.cells[-1])
            continue
        if len(record.cells) < len(names):
            problems.add(path, record.row, "row has fewer cells than the header", record.cells[0])
        gap = [""] * (len(names) - len(record.cells))
        fitting.append(record._replace(cells=record.cells[: len(names)] + gap))
    return fitting


def _is_shifted(names: list[str], body: list[Record], image: str) -> bool:
    """Whether the paths stand one column to the right of their name (as R writes row names)."""
    if image not in names or all(not record.cells[-1].strip() for record in body):
        return False
    place = names.index(image)
    here, right = (sum(bool(SUFFIX.search(record.cells[place + step])) for record in body) for step in (0, 1))
    return right > here


def _check_swallowed(body: list[Record], names: list[str], image: str, separator: str, path: Path) -> None:
    """Refuse a cell over several lines that holds what looks like another row: a path where the paths stand."""
    if image not in names:
        return
    place = names.index(image)
    paths = (record.cells[place].strip() for record in body if place < len(record.cells))
    suffixes = {found[0].lower() for text in paths if (found := SUFFIX.search(text))}
    for record in body:
        for number, cell in enumerate(record.cells):
            if "\n" in cell and _holds_row(cell, number, place, len(names), separator, suffixes):
                until = f"over {cell.count(chr(10))} more lines"
                raise StageError(_swallowed(path, record.line, until))


def _holds_row(cell: str, number: int, place: int, width: int, separator: str, suffixes: set[str]) -> bool:
    first, *rest = cell.split("\n")
    lines = [(number, first), *((0, line) for line in rest)]
    for start, line in lines:
        fields = line.split(separator)
        wanted = place - start
        if not (0 <= wanted < len(fields)) or (start == number and wanted == 0):
            continue
        if not suffixes and len(fields) == width:
            return True
        found = SUFFIX.search(fields[wanted].strip().strip('"'))
        if found and found[0].lower() in suffixes and len(fields) > 1:
            return True
    return False
