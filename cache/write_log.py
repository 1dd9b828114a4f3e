"""A file-like object that records what is written to it, to be written to a real file later.

In: HDF5's writes, a few kilobytes of structure per feature file. Out: the same bytes in a real file, by plain file
calls, whose errors are clean; HDF5 can crash the interpreter on a full disk. The features, for which HDF5 leaves a gap,
are left to `cache.row_writer`.
"""

import io
import os
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from typing_extensions import Buffer  # collections.abc has it from Python 3.12


class WriteLog(io.RawIOBase):
    """A file-like object with the methods that h5py calls, for a file that starts empty and is written once.

    Bytes that were never written read as zeros and cost no memory.

    Examples
    --------
    >>> log = WriteLog()
    >>> log.seek(3), log.write(b"end"), log.size
    (3, 3, 6)
    >>> with io.BytesIO() as file:
    ...     log.replay(file)
    ...     file.getvalue()
    b'\\x00\\x00\\x00end'
    """

    def __init__(self) -> None:
        super().__init__()
        self._writes: list[tuple[int, bytes]] = []
        self._position = 0
        self.size = 0

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def write(self, data: "Buffer") -> int:
        content = bytes(data)
        if not content:
            return 0  # as in a real file, an empty write beyond the end does not move the end
        self._writes.append((self._position, content))
        self._position += len(content)
        self.size = max(self.size, self._position)
        return len(content)

    def readinto(self, target: "Buffer") -> int:
        view = memoryview(target).cast("B")
        count = max(0, min(len(view), self.size - self._position))
        view[:count] = bytes(count)
        for offset, content in self._writes:  # in order: a later write covers an earlier one
            start, stop = max(offset, self._position), min(offset + len(content), self._position + count)
            if start < stop:
                view[start - self._position : stop - self._position] = content[start - offset : stop - offset]
        self._position += count
        return count

    def truncate(self, size: int | None = None) -> int:
        self.size = self._position if size is None else size
        # Bytes that are cut off stay cut off if the file grows again.
        self._writes = [(offset, content[: max(0, self.size - offset)]) for offset, content in self._writes]
        return self.size

    def replay(self, file: BinaryIO) -> None:
        """Write everything to `file`, from its start; bytes that were never written keep their value there."""
        for offset, content in self._writes:
            file.seek(offset)
            file.write(content)
        file.truncate(self.size)
        file.seek(0, io.SEEK_SET)
