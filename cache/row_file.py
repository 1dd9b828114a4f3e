"""The features of a file on their way to the disk: written one behind the other, the disk at work from early on.

In: a file's path, where in it the features begin, and the features. Out: the same bytes in the file. What stands around
them, and when the file gets its name, is left to the caller.
"""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import numpy as np

_WRITE_BYTES = 4 * 2**20
_FLUSH_BYTES = 8 * 2**20
_flush_data = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


class RowFile:
    """Write features to a file, into the gap that HDF5's structure leaves for them.

    What was written is on the disk once the caller has called `fsync`, for which there is little left to do.

    Parameters
    ----------
    path
        The file; made if there is none.
    offset
        Where the features begin, in bytes.

    Raises
    ------
    OSError
        Whatever the disk objects to; it tells an error of an earlier write later, and only once.
    """

    def __init__(self, path: Path, offset: int) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        self._offset, self._unflushed, self._closed = offset, 0, False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="flush")
        self._flushing: Future[None] | None = None

    def __enter__(self) -> "RowFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(failed=error is not None)

    def write(self, features: np.ndarray, position: int) -> None:
        """Write features so many bytes behind the first of all."""
        if self._closed:
            raise ValueError("the file is closed")
        content = memoryview(np.ascontiguousarray(features)).cast("B")
        for start in range(0, len(content), _WRITE_BYTES):
            piece = content[start : start + _WRITE_BYTES]
            _write_at(self._descriptor, piece, self._offset + position + start)
            self._unflushed += len(piece)
            self._flush_early()

    def close(self, *, failed: bool = False) -> None:
        """Wait for the disk's word on what it has been given, and close the file.

        Parameters
        ----------
        failed
            The file is not wanted any more, nor what the disk has to say.
        """
        self._thread.shutdown()
        if self._closed:
            return
        self._closed = True
        os.close(self._descriptor)
        if self._flushing is not None and not failed:
            self._flushing.result()

    def _flush_early(self) -> None:
        if self._unflushed < _FLUSH_BYTES or (self._flushing is not None and not self._flushing.done()):
            return
        if self._flushing is not None:
            self._flushing.result()
        self._flushing, self._unflushed = self._thread.submit(_flush_data, self._descriptor), 0


def _write_at(descriptor: int, content: memoryview, offset: int) -> None:
    """Write all of it; the system may take a part only, and is asked again."""
    os.lseek(descriptor, offset, os.SEEK_SET)
    while content:
        content = content[os.write(descriptor, content) :]
