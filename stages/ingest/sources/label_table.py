"""Label tables: CSV, Excel, JSON or parquet, with a path column and label columns by any name.

In: the file and how its columns are called. Out: label cells. Labels are names, or indices into a class file.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from stages.core.errors import StageError
from stages.core.tables.columns import is_source_split
from stages.core.tables.problems import Problems
from stages.core.tables.text_files import read_text
from stages.ingest.label_cells import SourceLabels, attribute_problem, check_attribute, make_cells
from stages.ingest.tables.raw_table import RawTable, Wanted
from stages.ingest.tables.read import read_raw_table


def read_label_table(
    problems: Problems,
    *,
    labels: str,
    image_column: str,
    columns: Mapping[str, str] | None,
    class_files: Mapping[str, str],
    encoding: str | None,
) -> SourceLabels:
    """Read a label table and give its columns the attributes' names.

    Parameters
    ----------
    problems
        Where bad rows are noted.
    labels
        The table, of any format that `stages.ingest.tables` reads.
    image_column
        The column with the paths.
    columns
        Attribute to column; None takes every column but the image's that can be one, under its own name.
    class_files
        Attribute to the file whose lines name its classes, where labels are indices.
    encoding
        In which encoding a table of text and the class files are read; None detects it.

    Raises
    ------
    StageError
        If the file is missing, is no table, or lacks a column.
    """
    path = Path(labels)
    wanted = Wanted(image_column, None if columns is None else list(columns.values()), encoding)
    raw = read_raw_table(path, wanted, problems)
    _check_asked(raw, path, image_column, columns or {})
    if columns is None:
        columns = _usable_columns(raw, path, image_column, problems)
    for attribute in columns:
        if not is_source_split(attribute):
            check_attribute(attribute, path)
    for attribute in set(class_files) - set(columns):
        raise StageError(f"dataset.class_files names {attribute!r}, which is no label column of {path}")
    table = raw.frame()
    values = {attribute: table[name] for attribute, name in columns.items()}
    for attribute, file in class_files.items():
        classes = read_classes(Path(file), problems, encoding)
        values[attribute] = _names(values[attribute], classes, attribute, path, problems)
    return SourceLabels(make_cells(table[image_column], values, path, table.index.to_series()), list(columns))


def _check_asked(raw: RawTable, path: Path, image_column: str, columns: Mapping[str, str]) -> None:
    """Refuse a table without a column that the settings name, or with one that cannot be read."""
    for name in (image_column, *columns.values()):
        if problem := raw.unusable.get(name):
            hint = " (with the images inside, set dataset.source to huggingface)" if "record" in problem else ""
            raise StageError(f"{path}: column {name!r} cannot be read: {problem}{hint}")
        if name not in raw.columns:
            present = ", ".join(raw.present)[:1000] or "none"
            hint = ". Set dataset.image_column to the column of paths" if name == image_column else ""
            raise StageError(f"{path} has no column {name!r}; it has: {present}{hint}")


def _usable_columns(raw: RawTable, path: Path, image_column: str, problems: Problems) -> dict[str, str]:
    """Every column that can be a label column; the others, which nobody asked for, are noted."""
    for name, problem in raw.unusable.items():
        problems.add(path, 0, "column is left out", f"{name!r}: {problem}")
    columns = {}
    for name in raw.columns:
        problem = "" if name == image_column or is_source_split(name) else attribute_problem(name)
        if problem:
            problems.add(path, 0, "column is left out", problem)
        elif name != image_column:
            columns[name] = name
    if not columns:
        raise StageError(
            f"{path} has no label column besides {image_column!r}: map the columns you need with dataset.columns, such "
            f"as {{style: 'Art Style'}}; it has: {', '.join([*raw.columns, *raw.unusable])[:1000]}"
        )
    return columns


def read_classes(path: Path, problems: Problems, encoding: str | None = None) -> dict[str, str]:
    """Class names by index, as text: lines of `index name`, or a name per line, counted from 0."""
    lines = [line.strip() for line in read_text(path, problems, encoding).splitlines() if line.strip()]
    split = [line.replace(",", " ").split(maxsplit=1) for line in lines]
    if all(len(parts) == 2 and parts[0].isdecimal() for parts in split):
        return {str(int(index)): name for index, name in split}
    return {str(index): name for index, name in enumerate(lines)}


def _names(column: pd.Series, classes: dict[str, str], attribute: str, path: Path, problems: Problems) -> pd.Series:
    indices = column.str.strip()
    names = indices.map(classes)
    for row, index in indices[names.isna() & (indices != "")].items():
        problems.add(path, row, "class index is not in the class file", f"{attribute} {index}")
    return names.fillna("")
