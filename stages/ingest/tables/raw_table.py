"""What every table reader gives: columns of text, and the row of the file that each row comes from.

In: cells of any type. Out: a `RawTable`. What the columns mean is left to `sources.label_table`.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from stages.core.tables.problems import Problems
from stages.ingest.tables.cells import NoText, cell_text


class Wanted(NamedTuple):
    """What is looked for in a table.

    Attributes
    ----------
    image
        The column of paths.
    columns
        The label columns; None for every column.
    encoding
        In which encoding text is read; None detects it.
    """

    image: str
    columns: Sequence[str] | None
    encoding: str | None = None

    def includes(self, name: str) -> bool:
        """Whether a column is read at all."""
        return self.columns is None or name == self.image or name in self.columns


class RawTable(NamedTuple):
    """A table as its file has it.

    Attributes
    ----------
    columns
        Name to texts, in order; every column has as many.
    rows
        The row of each, as a spreadsheet or an editor counts them.
    unusable
        Columns that are left out, and why.
    present
        The names of all columns of the file, those not looked for included.
    """

    columns: dict[str, list[str]]
    rows: list[int]
    unusable: dict[str, str]
    present: list[str]

    def frame(self) -> pd.DataFrame:
        """The texts as a DataFrame without empty rows, its index the rows' numbers."""
        table = pd.DataFrame(self.columns, index=pd.Index(self.rows, dtype=int), dtype=str)
        return table[(table != "").any(axis=1)]


def named_columns(names: Sequence[str], columns: Sequence[list[str]], rows: list[int], wanted: Wanted) -> RawTable:
    """Make a table of columns whose names may be missing or repeated; equal columns of one name are one."""
    by_name: dict[str, list[list[str]]] = {}
    for name, column in zip(names, columns, strict=True):
        by_name.setdefault(name, []).append(column)
    unusable = {}
    if any(any(column) for column in by_name.pop("", [])):
        unusable[""] = "it has no name"
    for name, alike in by_name.items():
        if wanted.includes(name) and any(column != alike[0] for column in alike[1:]):
            unusable[name] = f"{len(alike)} columns have this name, and different cells"
    kept = {name: alike[0] for name, alike in by_name.items() if wanted.includes(name) and name not in unusable}
    return RawTable(kept, rows, unusable, [name for name in names if name])


def typed_columns(
    columns: Iterable[tuple[str, Iterable[object]]], present: list[str], rows: list[int], path: Path, problems: Problems
) -> RawTable:
    """Make a table of columns of any type; a column none of whose cells has a text is unusable."""
    texts, unusable = {}, {}
    for name, values in columns:
        texts[name], failures = _texts(values, rows)
        if failures and not any(texts[name]):
            del texts[name]
            unusable[name] = f"its cells are {failures[0][1]}"
            continue
        for row, failure in failures:
            problems.add(path, row, "cell is no label", f"{name}: {failure}")
    return RawTable(texts, rows, unusable, present)


def _texts(values: Iterable[object], rows: Sequence[int]) -> tuple[list[str], list[tuple[int, str]]]:
    texts, failures = [], []
    for row, value in zip(rows, values, strict=True):
        try:
            texts.append(cell_text(value))
        except (NoText, ValueError, OverflowError, RecursionError) as error:
            texts.append("")
            failures.append((row, str(error)))
    return texts, failures


def from_records(
    records: Sequence[Mapping[str, object]], wanted: Wanted, path: Path, rows: list[int], problems: Problems
) -> RawTable:
    """Make a table of records, which need not have the same keys."""
    names = list(dict.fromkeys(key for record in records for key in record))
    columns = ((name, [record.get(name) for record in records]) for name in names if wanted.includes(name))
    return typed_columns(columns, names, rows, path, problems)
