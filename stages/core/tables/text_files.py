"""Read text files of unknown origin: with or without a byte-order mark, UTF-8 or not."""

import re
from pathlib import Path

from stages.core.errors import StageError
from stages.core.tables.problems import Problems

LINE_END = re.compile(rb"\r\n|\n|\r")
BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}


def encoding_of(path: Path, problems: Problems) -> str:
    """Name a file's encoding: by its byte-order mark, else UTF-8, else Latin-1, which is noted as a problem.

    Raises
    ------
    StageError
        If the file does not exist.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise StageError(f"{path} does not exist: set dataset.labels to where the labels are") from None
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            return encoding
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        row = len(LINE_END.findall(content[: error.start])) + 1
        problems.add(path, row, "file is not UTF-8: read as Latin-1", f"byte 0x{content[error.start]:02x}")
        return "latin-1"
    return "utf-8"


def read_text(path: Path, problems: Problems) -> str:
    """Read a whole text file, whatever its encoding."""
    encoding = encoding_of(path, problems)
    return path.read_bytes().decode(encoding, errors="replace")
