"""Read and write the CSV tables that the stages hand to one another.

In: a path and the table's contract. Out: a table of text, verified against the record of the stage that wrote it. An
empty cell is the empty text, so a class named `NA` or `None` stays a class. Which columns a table has is left to
`columns`.
"""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cache.atomic import atomic_path
from stages.core.errors import StageError
from stages.core.records.reading import read_verified
from stages.core.tables.columns import TableContract
from stages.core.tables.spreadsheet import escape_table, unescape_table


def read_table(
    path: Path, contract: TableContract, *, target: str = "", columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """Read a stage's table with every value as text.

    Parameters
    ----------
    path
        The CSV file.
    contract
        The columns that it must have, and the command that writes it.
    target
        The label column, where the contract is for one target's file.
    columns
        The columns that the caller needs, if not all of the contract's.

    Raises
    ------
    StageError
        If the file is missing, is not what its stage wrote, is no CSV table, lacks a column, has no rows although it
        must, or a column holds a text that it may not hold.
    """
    command = contract.command_for(target)
    table = _read(path, contract, target, header=0)
    for column in contract.names if columns is None else columns:
        if column not in table.columns:
            present = ", ".join(table.columns)
            raise StageError(f"{path} has no column {column!r} (it has {present}): run `{command}` again")
    if table.empty and not contract.may_be_empty:
        raise StageError(f"{path} lists no images: check `dataset` in params.yaml, then run `{command}` again")
    for row, problem in _find_problems(table, contract):
        raise StageError(f"{path}, row {row}: {problem}: run `{command}` again")
    return table


def _find_problems(table: pd.DataFrame, contract: TableContract) -> Iterator[tuple[int, str]]:
    """Find texts that a column may not hold; each with its row, from 1, the header included."""
    for column, allowed in contract.values.items():
        if column in table and (wrong := np.flatnonzero(~table[column].isin(list(allowed)))).size:
            yield int(wrong[0]) + 2, f"{table[column].iloc[wrong[0]]!r} is no {column} ({', '.join(allowed)})"
    for column in contract.unique:
        if column in table and (wrong := np.flatnonzero(table[column].duplicated())).size:
            yield int(wrong[0]) + 2, f"{column} {table[column].iloc[wrong[0]]!r} occurs twice"


def read_cells(path: Path, contract: TableContract, *, target: str = "") -> pd.DataFrame:
    """Read a table by position, its header as the first row: for tables whose columns are named by classes.

    Raises
    ------
    StageError
        If the file is missing, is not what its stage wrote, or is no CSV table.
    """
    return _read(path, contract, target, header=None)


def _read(path: Path, contract: TableContract, target: str, *, header: int | None) -> pd.DataFrame:
    command = contract.command_for(target)
    content = read_verified(path, contract, target)
    try:
        table = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False, encoding="utf-8", header=header)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise StageError(f"{path} is not a readable CSV table ({error}): run `{command}` again") from None
    return unescape_table(table)


def with_numbers(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The same table with these columns as floats, NaN where a cell is no number.

    >>> with_numbers(pd.DataFrame({"x": ["0.5", ""]}), ["x"])["x"].tolist()
    [0.5, nan]
    """
    return table.assign(**{column: pd.to_numeric(table[column], errors="coerce") for column in columns})


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as UTF-8 CSV with `\\n` line ends, atomically; floats keep six significant digits.

    What a spreadsheet would run is escaped; `read_table` gives the exact texts back.
    """
    with atomic_path(path) as temporary:
        escape_table(table).to_csv(temporary, index=False, lineterminator="\n", float_format="%.6g", encoding="utf-8")
