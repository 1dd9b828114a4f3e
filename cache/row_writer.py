"""Write the rows of a feature file in order; a thread flushes them to the disk early.

In: a file's path, the offset of the features in it, and the features. Out: the same bytes in the file. The rest of the
file, and its final name, are left to the caller.
"""

import os
from concurrent.futures import Executor, Future, wait
from pathlib import Path
from types import TracebackType

import numpy as np

_WRITE_BYTES = 4 * 2**20
_FLUSH_BYTES = 8 * 2**20
_flush_data = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


class RowWriter:
    """Write features into the gap that HDF5's structure leaves for them.

    Early flushes leave little work for the caller's `fsync`, after which all rows are on the disk.

    Parameters
    ----------
    path
        The file. It is created if it does not exist.
    offset
        Where the features begin, in bytes.
    threads
        Run the early flushes, one at a time.

    Raises
    ------
    OSError
        Any OSError. Write errors may surface later, on flush or close, and only once.
    """

    def __init__(self, path: Path, offset: int, threads: Executor) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        self._offset, self._unflushed, self._closed = offset, 0, False
        self._threads = threads
        self._flushing: Future[None] | None = None

    def __enter__(self) -> "RowWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(failed=error is not None)

    def write(self, features: np.ndarray, position: int) -> None:
        """Write features.

        Parameters
        ----------
        features
            Shape (m, views, tokens, channels), float16.
        position
            Where they go, in bytes after the first feature of the file.

        Raises
        ------
        OSError
            If a write fails, or an earlier flush has failed.
        """
        if self._closed:
            raise ValueError("the file is closed")
        content = np.ascontiguousarray(features).data.cast("B")
        for start in range(0, len(content), _WRITE_BYTES):
            piece = content[start : start + _WRITE_BYTES]
            _write_at(self._descriptor, piece, self._offset + position + start)
            self._unflushed += len(piece)
            self._flush_early()

    def close(self, *, failed: bool = False) -> None:
        """Wait for a flush that is running and close the file.

        Parameters
        ----------
        failed
            The file is no longer wanted: ignore the flush's error.

        Raises
        ------
        OSError
            If the flush failed.
        """
        if self._flushing is not None:
            wait([self._flushing])
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
        self._flushing, self._unflushed = self._threads.submit(_flush_data, self._descriptor), 0


def _write_at(descriptor: int, content: memoryview, offset: int) -> None:
    """Write all of `content`: the system may write a part only, and is then called again."""
    os.lseek(descriptor, offset, os.SEEK_SET)
    while content:
        content = content[os.write(descriptor, content) :]
