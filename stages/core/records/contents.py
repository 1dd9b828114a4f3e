"""What a file holds, in a size and a digest; and what some columns of a table hold.

In: a file. Out: its `Content`. Which files are compared is left to `reading`.
"""

import csv
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Content(NamedTuple):
    """What a file holds.

    Attributes
    ----------
    bytes
        Its size.
    digest
        SHA-256, hexadecimal: of all bytes, unless the artefact defines another.
    """

    bytes: int
    digest: str


def digest_bytes_of(path: Path) -> Content:
    """Compute the size and the SHA-256 of a file's bytes.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Content(file.tell(), digest)


def digest_columns_of(path: Path, columns: Sequence[str]) -> str:
    """Compute the SHA-256 of some columns of a CSV table: a change in another column does not matter to their reader.

    Raises
    ------
    OSError
        If the file cannot be read.
    KeyError
        If the table has no such column.
    UnicodeDecodeError, csv.Error
        If it is no CSV table.
    """
    digest = hashlib.sha256()
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            digest.update(json.dumps([row[column] for column in columns]).encode())
    return digest.hexdigest()
