"""Read a large file piece by piece from the disk, where a small one is held in memory.

In: an open descriptor. Out: a `LargeFile` that decoders read from as from any file. Which files are large, and what is
under the image root, is left to `files`.
"""

import errno
import hashlib
import io
import os
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

BLOCK_BYTES = 1 << 20
# A network mount may recover: how often is read what a disk fails to give, and the pause before each further time.
READ_ATTEMPTS, READ_PAUSE_S = 3, 0.2
HEAD_BYTES = 512


def read_patiently(read: Callable[[], bytes]) -> bytes:
    """Read again where the disk fails, a few times.

    Raises
    ------
    OSError
        If it fails each time.
    """
    for _ in range(READ_ATTEMPTS - 1):
        try:
            return read()
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            time.sleep(READ_PAUSE_S)
    return read()


class LargeFile:
    """A file that stays on the disk; its descriptor is closed when nothing reads from it any more.

    Parameters
    ----------
    descriptor
        Of a regular file; it is duplicated.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = os.dup(descriptor)
        self._state = self._look()

    def __del__(self) -> None:
        os.close(self._descriptor)

    def __len__(self) -> int:
        return self._state[0]

    def __getitem__(self, part: slice) -> bytes:
        start, end, _ = part.indices(len(self))
        return self.read_at(start, max(0, end - start))

    def _look(self) -> tuple[int, int]:
        found = os.fstat(self._descriptor)
        return found.st_size, found.st_mtime_ns

    def read_at(self, start: int, size: int) -> bytes:
        """Read at most so many bytes from a position on.

        Raises
        ------
        OSError
            If the disk fails, or the file has changed since it was opened: digest and pixels would not belong together.
        """
        if self._look() != self._state:
            raise OSError("the file has changed while it was read")
        return read_patiently(lambda: os.pread(self._descriptor, size, start))

    def blocks(self) -> Iterator[bytes]:
        """The content, piece by piece."""
        start = 0
        while block := self.read_at(start, BLOCK_BYTES):
            yield block
            start += len(block)


class _Reader(io.RawIOBase):
    """A position in a `LargeFile`."""

    def __init__(self, file: LargeFile) -> None:
        self._file, self._at = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._file)}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        content = self._file.read_at(self._at, len(view))
        view[: len(content)] = content
        self._at += len(content)
        return len(content)


Encoded = bytes | LargeFile


def as_file(encoded: Encoded) -> BinaryIO:
    """Open the content for reading, from its start."""
    return io.BufferedReader(_Reader(encoded)) if isinstance(encoded, LargeFile) else io.BytesIO(encoded)


def head_of(encoded: Encoded) -> bytes:
    """The first bytes, by which formats are recognised."""
    return encoded.read_at(0, HEAD_BYTES) if isinstance(encoded, LargeFile) else encoded[:HEAD_BYTES]


def digest_of(encoded: Encoded) -> str:
    """SHA-256 of the content, hexadecimal.

    >>> digest_of(b"")[:16]
    'e3b0c44298fc1c14'
    """
    digest = hashlib.sha256()
    for block in encoded.blocks() if isinstance(encoded, LargeFile) else [encoded]:
        digest.update(block)
    return digest.hexdigest()
