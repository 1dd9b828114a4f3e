"""Read and write the CSV tables that the stages hand to one another.

All values are text and an empty cell is the empty string, so a class named `NA` or `None` stays a class.
What the columns mean is left to the stages.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from cache.atomic import atomic_path
from stages.core.errors import StageError

OWN_SPLIT_PREFIX = "split_"


def read_table(path: Path, *, required: Iterable[str] = (), made_by: str) -> pd.DataFrame:
    """Read a stage's table with every value as text.

    Parameters
    ----------
    path
        The CSV file.
    required
        Columns that must be there.
    made_by
        The command that writes this file, for the message when it is missing.

    Raises
    ------
    StageError
        If the file is missing, is no CSV table, has no rows, or lacks a required column.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except FileNotFoundError:
        raise StageError(f"{path} does not exist: run `{made_by}` first") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise StageError(f"{path} is not a readable CSV table ({error}): run `{made_by}` again") from None
    missing = [column for column in required if column not in table.columns]
    if missing:
        raise StageError(f"{path} has no column {missing[0]!r} (it has {', '.join(table.columns)})")
    if table.empty:
        raise StageError(f"{path} lists no images: check `dataset` in params.yaml, then run `{made_by}` again")
    return table


def read_text_table(path: Path, required: Sequence[str], command: str, header: int | None = 0) -> pd.DataFrame:
    """Read a CSV table as text; unlike one of `read_table` it may have no rows, as when nothing was rejected."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8", header=header)
    except FileNotFoundError:
        raise StageError(f"{path} does not exist: run `{command}` first") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise StageError(f"{path} is not a readable CSV table ({error}): run `{command}` again") from None
    if missing := [column for column in required if column not in table.columns]:
        raise StageError(f"{path} has no column {missing[0]!r}: run `{command}` again")
    return table


def with_numbers(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The same table with these columns as floats, NaN where a cell is no number."""
    return table.assign(**{column: pd.to_numeric(table[column], errors="coerce") for column in columns})


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as UTF-8 CSV with `\\n` line ends, atomically; floats keep six significant digits."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n", float_format="%.6g", encoding="utf-8")


def is_own_split(column: str) -> bool:
    """Whether a column holds the source's own split (`split`, `split_style`, …): kept, and never a label column."""
    return column == "split" or column.startswith(OWN_SPLIT_PREFIX)
