"""Read text files of unknown origin, and report it where their encoding is a guess.

In: a path. Out: its text. How bytes become text is left to `encodings`.
"""

import codecs
from pathlib import Path

from stages.core.errors import StageError
from stages.core.tables.encodings import decode_text
from stages.core.tables.problems import Problems


def read_bytes(path: Path) -> bytes:
    """Read a label file.

    Raises
    ------
    StageError
        If it does not exist, or cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise StageError(f"{path} does not exist: set dataset.labels to where the labels are") from None
    except OSError as error:
        raise StageError(f"{path} cannot be read: {error.strerror or error}") from None


def read_text(path: Path, problems: Problems) -> str:
    """Read a whole text file, whatever its encoding.

    Raises
    ------
    StageError
        If it does not exist, or cannot be read.
    """
    return as_text(read_bytes(path), path, problems)


def as_text(content: bytes, path: Path, problems: Problems) -> str:
    """Decode a file's content; a guess is noted with the row that it rests on."""
    found = decode_text(content)
    if found.guessed_row:
        where = "in part read" if found.mixed else "read"
        name = codecs.lookup(found.encoding).name.replace("cp125", "Windows-125")
        problems.add(path, found.guessed_row, f"file is not UTF-8: {where} as {name}", f"byte 0x{found.byte:02x}")
    return found.text
