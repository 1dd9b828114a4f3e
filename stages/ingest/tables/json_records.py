"""Read label tables in JSON: an array of records, one record a line, or columns as pandas writes them.

In: the text. Out: a `RawTable`; rows are counted from 1 (lines, where each is a record).
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stages.core.errors import StageError
from stages.core.tables.problems import Problems
from stages.ingest.tables.raw_table import RawTable, Wanted, from_records


def read_json(text: str, wanted: Wanted, path: Path, problems: Problems) -> RawTable:
    """Read records.

    Raises
    ------
    StageError
        If the text is no JSON, or holds no records.
    """
    try:
        listed = list(_records(json.loads(text)))
    except RecursionError:
        raise StageError(f"{path} is nested too deeply for a table of labels") from None
    except ValueError as error:
        lines = text.splitlines()
        if sum(1 for line in lines if line.strip()) < 2 or not lines[0].strip().startswith("{"):
            raise StageError(f"{path} is not JSON: {error}") from None
        return _read_lines(lines, wanted, path, problems)
    if not listed:
        raise StageError(f'{path} has no records: it needs an array of objects, such as {{"image": "a.jpg"}}')
    return from_records(listed, wanted, path, list(range(1, len(listed) + 1)), problems)


def _read_lines(lines: list[str], wanted: Wanted, path: Path, problems: Problems) -> RawTable:
    """Read JSON Lines; a line that is no record is noted."""
    records, rows = [], []
    for row, line in enumerate(lines, start=1):
        try:
            record = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError):
            record = line
        if isinstance(record, dict):
            records.append(record)
            rows.append(row)
        elif record is not None:
            problems.add(path, row, "line is no JSON record: left out", line)
    if not records:
        raise StageError(f"{path} has no JSON record")
    return from_records(records, wanted, path, rows, problems)


def _records(content: Any) -> Iterator[Mapping[str, object]]:
    """The records of an array, of the one array in an object, or of pandas' `columns`, `index` and `split` layouts."""
    if isinstance(content, list):
        yield from (record for record in content if isinstance(record, dict))
    elif not isinstance(content, dict):
        return
    elif isinstance(names := content.get("columns"), list) and isinstance(rows := content.get("data"), list):
        yield from (dict(zip(map(str, names), row, strict=False)) for row in rows if isinstance(row, list))
    elif content and all(isinstance(value, dict) for value in content.values()):
        yield from _of_layers(content)
    elif len(arrays := [value for value in content.values() if _holds_records(value)]) == 1:
        yield from _records(arrays[0])
    elif content and all(isinstance(value, list) for value in content.values()):
        yield from (dict(zip(content, row, strict=False)) for row in zip(*content.values(), strict=False))
    elif content:
        yield content


def _holds_records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(record, dict) for record in value)


def _of_layers(content: dict[str, dict[str, object]]) -> Iterator[Mapping[str, object]]:
    """pandas' `columns` layout (name, row, value), or a record per key, which may be the path."""
    first = next(iter(content.values()))
    if first and all(key.isdecimal() for key in first) and not all(key.isdecimal() for key in content):
        for key in dict.fromkeys(key for column in content.values() for key in column):
            yield {name: column.get(key) for name, column in content.items()}
    else:
        yield from content.values()
