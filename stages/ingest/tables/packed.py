"""Unpack a compressed label table: gzip, bzip2, xz, or a ZIP archive with one table in it.

In: bytes. Out: the bytes of the table. What is packed is told by the content, never by the name.
"""

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO, Any

from stages.core.errors import StageError

LARGEST_TABLE = 1 << 32
STREAMS: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
ZIP = b"PK\x03\x04"


def unpack(content: bytes, path: Path) -> bytes:
    """Unpack what is packed, also twice (`.csv.gz` in a ZIP archive).

    Raises
    ------
    StageError
        If the archive is damaged, encrypted, too large, or does not hold exactly one table.
    """
    for _ in range(3):
        unpacked = _unpack_once(content, path)
        if unpacked is None:
            return content
        content = unpacked
    raise StageError(f"{path} is packed more than twice: unpack it")


def _unpack_once(content: bytes, path: Path) -> bytes | None:
    try:
        for start, stream in STREAMS.items():
            if content.startswith(start):
                return _read(stream(io.BytesIO(content)), path)
        if content.startswith(ZIP) and not is_excel(content):
            return _read_member(content, path)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError) as error:
        raise StageError(f"{path} cannot be unpacked: {str(error)[:200]}") from None
    except NotImplementedError as error:
        raise StageError(f"{path} cannot be unpacked: {error}") from None
    return None


def is_excel(content: bytes) -> bool:
    """Whether the bytes are an .xlsx workbook, which is a ZIP archive too."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return "xl/workbook.xml" in archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def unpacked_size(content: bytes) -> int:
    """The bytes that a ZIP archive declares to hold."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return sum(member.file_size for member in archive.infolist())


def _read(file: Any, path: Path) -> bytes:
    with file:
        content: bytes = file.read(LARGEST_TABLE + 1)
    if len(content) > LARGEST_TABLE:
        raise StageError(f"{path} holds more than {LARGEST_TABLE >> 30} GiB unpacked: it is no label table")
    return content


def _read_member(content: bytes, path: Path) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [member for member in archive.infolist() if not member.is_dir() and not _is_system(member.filename)]
        if len(members) != 1:
            names = ", ".join(member.filename for member in members[:5]) or "none"
            raise StageError(f"{path} must hold one table; it holds {len(members)} files ({names}): unpack it")
        return _read(archive.open(members[0]), path)


def _is_system(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or any(part.startswith(".") for part in parts)
