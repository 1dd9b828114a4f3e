"""Read text files of unknown origin, and report it where their encoding is a guess.

In: a path, and an encoding if it is known. Out: its text. How an unknown one is told is left to `encodings`.
"""

import codecs
from pathlib import Path

from stages.core.errors import StageError
from stages.core.tables.encodings import LINE_END, decode_text
from stages.core.tables.problems import Problems

# How a problem begins that reports a guess.
GUESSED = "file is not UTF-8"


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


def read_text(path: Path, problems: Problems, encoding: str | None = None) -> str:
    """Read a whole text file, whatever its encoding, or in the one that is given.

    Raises
    ------
    StageError
        If it does not exist, cannot be read, or is not in the encoding.
    """
    return as_text(read_bytes(path), path, problems, encoding)


def as_text(content: bytes, path: Path, problems: Problems, encoding: str | None = None) -> str:
    """Decode a file's content; a guess is noted with the row that it rests on.

    Raises
    ------
    StageError
        If the content is not in the encoding that is given.
    """
    if encoding is not None:
        return _in_encoding(content, path, encoding)
    found = decode_text(content)
    if found.guessed_row:
        where = "in part read" if found.mixed else "read"
        name = codecs.lookup(found.encoding).name.replace("cp125", "Windows-125")
        problems.add(
            path,
            found.guessed_row,
            f"{GUESSED}: {where} as {name}",
            f"byte 0x{found.byte:02x}; if letters are wrong, save it as UTF-8",
        )
    return found.text


def _in_encoding(content: bytes, path: Path, encoding: str) -> str:
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = len(LINE_END.findall(content[: error.start])) + 1
        raise StageError(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} is not in {encoding}: set dataset.encoding to the "
            "file's encoding, or to null, which detects it"
        ) from None
