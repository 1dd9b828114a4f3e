"""A file that exists only as the list of what was written to it.

HDF5 writes a feature file's few kilobytes of structure here, never to the disk: on a full disk HDF5 can fail while it
closes a file, or take the interpreter with it. The log is then replayed with plain file calls, whose errors are clean,
and the gap that HDF5 left for the features is filled row by row without ever being in memory.
"""

import io
import os
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from typing_extensions import Buffer  # collections.abc has it from Python 3.12


class WriteLog(io.RawIOBase):
    """What h5py asks of a file-like object, for a file that is written once from an empty start.

    A gap that was never written costs no memory, however large it is.
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
            return 0  # as in a real file, nothing written beyond the end does not move the end
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
        # What is cut off stays cut off, should the file grow again.
        self._writes = [(offset, content[: max(0, self.size - offset)]) for offset, content in self._writes]
        return self.size

    def replay(self, file: BinaryIO) -> None:
        """Write to `file`, opened empty, what was written here; gaps read as zeros."""
        for offset, content in self._writes:
            file.seek(offset)
            file.write(content)
        file.truncate(self.size)
        file.seek(0, io.SEEK_SET)
