"""Label tables: CSV or parquet, with a path column and label columns by any name.

In: the file and how its columns are called. Out: label cells. Labels are names, or indices into a class file.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from stages.core.errors import StageError
from stages.core.tables.columns import is_source_split
from stages.core.tables.problems import Problems
from stages.core.tables.text_files import encoding_of, read_text
from stages.ingest.label_cells import SourceLabels, check_attribute, make_cells


def read_label_table(
    problems: Problems,
    *,
    labels: str,
    image_column: str,
    columns: Mapping[str, str] | None,
    class_files: Mapping[str, str],
) -> SourceLabels:
    """Read a label table and give its columns the attributes' names.

    Parameters
    ----------
    problems
        Where bad rows are noted.
    labels
        A CSV file, or a parquet file by its ending.
    image_column
        The column with the paths.
    columns
        Attribute to column; None takes every column but the image's under its own name.
    class_files
        Attribute to the file whose lines name its classes, where labels are indices.

    Raises
    ------
    StageError
        If the file is missing, is no table, or lacks a column.
    """
    path = Path(labels)
    wanted = None if columns is None else [image_column, *columns.values()]
    table = _read_parquet(path, wanted) if path.suffix.lower() == ".parquet" else _read_csv(path, problems)
    if columns is None:
        columns = {name: name for name in table.columns if name != image_column}
    _check_columns(table, path, image_column, columns, class_files)
    rows = table.index.to_series() + 2  # from 1, and the header is row 1
    values = {attribute: table[name] for attribute, name in columns.items()}
    for attribute, file in class_files.items():
        classes = read_classes(Path(file), problems)
        values[attribute] = _names(values[attribute], classes, attribute, path, rows, problems)
    return SourceLabels(make_cells(table[image_column], values, path, rows), list(columns))


def _check_columns(
    table: pd.DataFrame, path: Path, image_column: str, columns: Mapping[str, str], class_files: Mapping[str, str]
) -> None:
    """Refuse columns that the table lacks, attributes that cannot be targets, and class files of no attribute."""
    for name in (image_column, *columns.values()):
        if name not in table.columns:
            raise StageError(f"{path} has no column {name!r}; it has: {', '.join(map(str, table.columns))}")
    for attribute in columns:
        if not is_source_split(attribute):
            check_attribute(attribute, path)
    for attribute in set(class_files) - set(columns):
        raise StageError(f"dataset.class_files names {attribute!r}, which is no label column of {path}")


def _read_csv(path: Path, problems: Problems) -> pd.DataFrame:
    encoding = encoding_of(path, problems)
    separator = _separator(path, encoding)
    try:
        # Blank lines are read, so that the rows' numbers are those that a spreadsheet shows, and dropped.
        table = pd.read_csv(
            path, dtype=str, keep_default_na=False, encoding=encoding, sep=separator, skip_blank_lines=False
        )
        return table[(table != "").any(axis=1)]
    except pd.errors.EmptyDataError:
        raise StageError(f"{path} is empty: it needs a header line and a row per image") from None
    except (pd.errors.ParserError, UnicodeDecodeError, ValueError) as error:
        raise StageError(f"{path} is not a CSV table: {str(error).strip()}") from None


def _separator(path: Path, encoding: str) -> str:
    """Comma, semicolon or tab: whichever the header has most of."""
    with path.open(encoding=encoding, newline=None) as file:
        header = file.readline()
    return max(",;\t", key=header.count)


def _read_parquet(path: Path, columns: list[str] | None) -> pd.DataFrame:
    import pyarrow
    import pyarrow.parquet

    try:
        present = pyarrow.parquet.read_schema(path).names
        wanted = present if columns is None else [name for name in dict.fromkeys(columns) if name in present]
        table = pyarrow.parquet.read_table(path, columns=wanted).to_pandas()
    except FileNotFoundError:
        raise StageError(f"{path} does not exist: set dataset.labels to the label table") from None
    except (pyarrow.ArrowException, OSError) as error:
        raise StageError(f"{path} is not a parquet table: {error}") from None
    return table.reset_index(drop=True).map(_as_text)


def _as_text(value: object) -> str:
    if value is None or value != value:  # NaN
        return ""
    # A column of whole numbers with a gap comes as floats.
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def read_classes(path: Path, problems: Problems) -> dict[str, str]:
    """Class names by index, as text: lines of `index name`, or a name per line, counted from 0."""
    lines = [line.strip() for line in read_text(path, problems).splitlines() if line.strip()]
    split = [line.replace(",", " ").split(maxsplit=1) for line in lines]
    if all(len(parts) == 2 and parts[0].isdecimal() for parts in split):
        return {str(int(index)): name for index, name in split}
    return {str(index): name for index, name in enumerate(lines)}


def _names(
    column: pd.Series, classes: dict[str, str], attribute: str, path: Path, rows: pd.Series, problems: Problems
) -> pd.Series:
    names = column.str.strip().map(classes)
    for index in column.index[names.isna() & (column.str.strip() != "")]:
        problems.add(path, rows[index], "class index is not in the class file", f"{attribute} {column[index]}")
    return names.fillna("")
