"""Keep spreadsheets from running a cell of our tables: an apostrophe before what they take for a formula.

In: the text of a cell. Out: the text to write, and back. `csv_files` applies it to every table, its header included.
Labels and file names keep their exact text: nothing is removed.
"""

import re
from collections.abc import Callable

import pandas as pd

# What Excel, LibreOffice or Google Sheets take for a formula: also in full width, and behind spaces or a line break.
_FORMULA = r"(?:\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n])"
_TO_ESCAPE = re.compile(rf"'*{_FORMULA}")
_ESCAPED = re.compile(rf"''*{_FORMULA}")
# A plain number is shown as one, and runs nothing: -500 stays -500.
_NUMBER = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?")


def escape_formula(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would run, or that begins as an escaped one does.

    >>> [escape_formula(text) for text in ("=1+1", "'=1+1", "-500", "'s-Hertogenbosch", "Cubism")]
    ["'=1+1", "''=1+1", '-500', "'s-Hertogenbosch", 'Cubism']
    """
    return f"'{text}" if _TO_ESCAPE.match(text) and not _NUMBER.fullmatch(text) else text


def unescape_formula(text: str) -> str:
    """Give back the exact text that `escape_formula` was given.

    >>> [unescape_formula(text) for text in ("'=1+1", "''=1+1", "-500", "'s-Hertogenbosch")]
    ['=1+1', "'=1+1", '-500', "'s-Hertogenbosch"]
    """
    return text[1:] if _ESCAPED.match(text) else text


def escape_table(table: pd.DataFrame) -> pd.DataFrame:
    """The same table with every text escaped, column names included; numbers are no texts."""
    return _map_texts(table, escape_formula)


def unescape_table(table: pd.DataFrame) -> pd.DataFrame:
    """The inverse of `escape_table`."""
    return _map_texts(table, unescape_formula)


def _map_texts(table: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    columns = [_map_column(table.iloc[:, place], change) for place in range(table.shape[1])]
    mapped = pd.concat(columns, axis=1) if columns else table.copy()
    mapped.columns = pd.Index([change(name) if isinstance(name, str) else name for name in table.columns])
    return mapped


def _map_column(column: pd.Series, change: Callable[[str], str]) -> pd.Series:
    """Map the texts of a column, each distinct one once; the column itself where nothing changes."""
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return column
    changed = {text: new for text in column.unique() if isinstance(text, str) and (new := change(text)) != text}
    return (
        column.map(lambda value: changed.get(value, value) if isinstance(value, str) else value) if changed else column
    )
