"""Read label tables in Excel's .xlsx: the first sheet that has the column of paths, else the first.

In: the file's bytes. Out: a `RawTable` with the rows' numbers that Excel shows. Formulas give the values that were
saved with them. The reader is openpyxl, the extra `xlsx`.
"""

import io
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stages.core.errors import StageError
from stages.core.tables.problems import Problems
from stages.ingest.tables.raw_table import RawTable, Wanted, typed_columns

HEADER_WITHIN = 100


def read_excel(content: bytes, wanted: Wanted, path: Path, problems: Problems) -> RawTable:
    """Read a sheet.

    Raises
    ------
    StageError
        If openpyxl is not installed, the file is no workbook, or has no row.
    """
    try:
        import openpyxl
    except ImportError:
        raise StageError(
            f"{path} is an Excel file: install openpyxl (uv sync --extra xlsx), or save the table as CSV"
        ) from None
    try:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        sheets = [(sheet.title, _rows(sheet)) for sheet in book.worksheets]
    except Exception as error:  # openpyxl raises whatever a damaged archive or its XML leads to
        raise StageError(f"{path} is not a readable Excel file: {type(error).__name__}: {str(error)[:200]}") from None
    filled = [(title, rows) for title, rows in sheets if rows]
    if not filled:
        raise StageError(f"{path} is empty: it needs a header row and a row per image")
    title, rows = next((sheet for sheet in filled if _header(sheet[1], wanted.image) is not None), filled[0])
    if len(filled) > 1:
        problems.add(path, 0, "one sheet of several is read", title)
    return _table(rows, wanted, path, problems)


def _rows(sheet: Any) -> list[tuple[int, tuple[object, ...]]]:
    """Rows that hold anything, with their numbers."""
    sheet.reset_dimensions()  # what the file declares may be wrong, or hostile
    rows: Iterable[tuple[object, ...]] = sheet.iter_rows(values_only=True)
    return [(number, row) for number, row in enumerate(rows, start=1) if any(cell is not None for cell in row)]


def _header(rows: list[tuple[int, tuple[object, ...]]], image: str) -> int | None:
    wanted = image.strip().casefold()
    for place, (_, row) in enumerate(rows[:HEADER_WITHIN]):
        if wanted in (str(cell).strip().casefold() for cell in row):
            return place
    return None


def _table(rows: list[tuple[int, tuple[object, ...]]], wanted: Wanted, path: Path, problems: Problems) -> RawTable:
    place = _header(rows, wanted.image) or 0
    names = ["" if cell is None else str(cell).strip() for cell in rows[place][1]]
    if wanted.image not in names:
        names = [wanted.image if name.casefold() == wanted.image.casefold() else name for name in names]
    for number, row in rows[:place]:
        problems.add(path, number, "line before the header is left out", next(cell for cell in row if cell is not None))
    body = rows[place + 1 :]
    unusable = {name: "several columns have this name" for name in names if name and names.count(name) > 1}
    cells = itertools.zip_longest(*(row for _, row in body)) if body else iter(())
    columns = [
        (name, column)
        for name, column in itertools.zip_longest(names, cells, fillvalue=())
        if name and wanted.includes(str(name)) and name not in unusable
    ]
    padded = [(str(name), list(column) or [None] * len(body)) for name, column in columns]
    table = typed_columns(padded, [number for number, _ in body], path, problems)
    return table._replace(unusable=unusable | table.unusable)
