"""The text of a table's cell, whatever type the format gives it: numbers, dates, truth values, lists.

In: a value as a parquet, JSON or Excel reader gives it. Out: its text as a person writes it. 1, 1.0 and the text "1"
are one label; a cell that holds several labels, or a record, has no text.
"""

import datetime
import decimal
import math

import numpy as np


class NoText(Exception):
    """A value that is no label; the message names what it is."""


def cell_text(value: object) -> str:
    """Give a value's text; empty for a gap (None, NaN, NaT).

    Raises
    ------
    NoText
        For lists of several values, records, and bytes that are no text.

    Examples
    --------
    >>> [cell_text(value) for value in (1, 1.0, "1", 0.5, -500, None, ["Cubism"], datetime.datetime(1889, 6, 1))]
    ['1', '1', '1', '0.5', '-500', '', 'Cubism', '1889-06-01']
    """
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool | int):
        return _integer(value)
    if isinstance(value, float | decimal.Decimal):
        return _number(value)
    if isinstance(value, datetime.date | datetime.time | datetime.timedelta):
        return _date(value)
    if isinstance(value, bytes):
        return _bytes(value)
    if isinstance(value, list | tuple | set | np.ndarray):
        return _only_one(list(value))
    if isinstance(value, dict):
        raise NoText("a record")
    return str(value)


def _integer(value: int) -> str:
    try:
        return str(value)
    except ValueError:  # Python writes no integer of more than 4,300 digits
        raise NoText("a number of thousands of digits") from None


def _number(value: float | decimal.Decimal) -> str:
    """A whole number without a point, as the same column without a gap has it; others with the fewest digits."""
    if not math.isfinite(value):
        return "" if math.isnan(value) else str(value).lower()
    if isinstance(value, decimal.Decimal):
        plain = f"{value:f}"
        return plain.rstrip("0").rstrip(".") if "." in plain else plain
    return str(int(value)) if value.is_integer() and abs(value) < 1e16 else repr(value)


def _date(value: datetime.date | datetime.time | datetime.timedelta) -> str:
    """ISO 8601; a moment at midnight is a date."""
    if isinstance(value, datetime.timedelta):
        return str(value)
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    return value.isoformat()


def _bytes(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise NoText("bytes") from None


def _only_one(values: list[object]) -> str:
    texts = list(dict.fromkeys(filter(None, map(cell_text, values))))
    if len(texts) > 1:
        raise NoText("a list of several labels")
    return texts[0] if texts else ""
