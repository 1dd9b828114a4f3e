"""Read label tables in parquet, whatever program wrote them.

In: a parquet file. Out: a `RawTable`. Only the columns asked for are read; an index of pandas is a column like others.
Sizes that a file declares are checked before memory is asked for.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages.core.errors import StageError
from stages.core.tables.problems import Problems, one_line
from stages.ingest.tables.raw_table import RawTable, Wanted, typed_columns

# An unnamed index of pandas.
INDEX = "__index_level_0__"
METADATA_LIMIT = 1 << 26
TABLE_LIMIT = 1 << 33
ROWS_LIMIT = 1 << 30


def read_parquet(path: Path, wanted: Wanted, problems: Problems) -> RawTable:
    """Read the wanted columns of a parquet file.

    Raises
    ------
    StageError
        If the file is no parquet table, or declares sizes that no label table has.
    """
    import pyarrow

    try:
        with open_parquet(path) as file:
            names = _names(file, wanted, path, problems)
            check_sizes(file, list(names), path)
            rows = list(range(2, file.metadata.num_rows + 2))  # as a spreadsheet: from 1, the header included
            columns = ((name, _values(file, column)) for column, name in names.items())
            return typed_columns(columns, file.schema_arrow.names, rows, path, problems)
    except (pyarrow.ArrowException, OSError, ValueError, KeyError, OverflowError, MemoryError) as error:
        raise StageError(f"{path} is not a parquet table: {one_sentence(error)}") from None


def open_parquet(path: Path) -> Any:
    """Open a parquet file with bounded metadata; pages that have a checksum are checked as they are read."""
    import pyarrow.parquet

    return pyarrow.parquet.ParquetFile(
        path,
        thrift_string_size_limit=METADATA_LIMIT,
        thrift_container_size_limit=METADATA_LIMIT // 64,
        page_checksum_verification=True,
    )


def check_sizes(file: Any, columns: list[str], path: Path) -> None:
    """Refuse a file that declares more rows or bytes in these columns than can be held.

    Raises
    ------
    StageError
        With what it declares.
    """
    groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
    chunks = [group.column(number) for group in groups for number in range(group.num_columns)]
    size = sum(
        max(chunk.total_uncompressed_size, 0) for chunk in chunks if chunk.path_in_schema.split(".")[0] in columns
    )
    rows = file.metadata.num_rows
    if not 0 <= rows <= ROWS_LIMIT or size > TABLE_LIMIT or rows != sum(group.num_rows for group in groups):
        raise StageError(
            f"{path} declares {rows:,} rows and {size:,} bytes of labels: it is damaged, or no label table"
        )


def one_sentence(error: BaseException) -> str:
    """An error's first line, without the dump of bytes that may follow."""
    return one_line((str(error).strip().splitlines() or [type(error).__name__])[0])


def _names(file: Any, wanted: Wanted, path: Path, problems: Problems) -> dict[str, str]:
    """The columns to read, and what they are called: pandas' unnamed index holds the paths if nothing else does."""
    present = list(dict.fromkeys(file.schema_arrow.names))
    names = {name: name for name in present if wanted.includes(name) and name != INDEX}
    if wanted.image not in present and INDEX in present and _is_text(file.schema_arrow.field(INDEX).type):
        problems.add(path, 0, "no column of paths: the table's index is taken", wanted.image)
        names = {INDEX: wanted.image} | names
    return names


def _is_text(kind: Any) -> bool:
    import pyarrow.types

    return bool(pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind))


def _values(file: Any, column: str) -> Iterator[object]:
    """A column's values, a row group at a time."""
    import numpy as np

    for group in range(file.num_row_groups):
        for batch in file.iter_batches(row_groups=[group], columns=[column]):
            array = batch.column(batch.schema.get_field_index(column))
            values = array.to_pylist()
            if str(array.type) in (
                "float",
                "halffloat",
            ):  # shortest digits of their own precision: 0.1, not 0.10000000149
                values = [value if value is None else float(str(np.float32(value))) for value in values]
            yield from values
