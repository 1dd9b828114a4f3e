"""Give up on a disk that does not answer: a call to a network mount whose server is gone may never return.

In: work that looks at files, and the folder they are in. Out: its results, or a `StageError` that names the folder.
Decoding, which processes do that can be killed, is left to `core.images.decoding`.
"""

import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from stages.core.errors import RERUN, StageError

# The default of clean.timeout_s.
PATIENCE_S = 60.0

Result = TypeVar("Result")


def each_in_time(results: Iterable[Result], folder: Path, timeout_s: float = PATIENCE_S) -> Iterator[Result]:
    """Iterate in a thread, and stop waiting for it when the next result takes too long.

    Parameters
    ----------
    results
        What looks at files as it is iterated over.
    folder
        Where the files are, for the message.
    timeout_s
        Longest time for one result, in seconds.

    Raises
    ------
    StageError
        If that time passes. The thread is left to the system, and ends with the process.

    Examples
    --------
    >>> list(each_in_time(map(str.upper, "ab"), Path("images")))
    ['A', 'B']
    """
    made: queue.SimpleQueue[tuple[Result] | BaseException | None] = queue.SimpleQueue()

    def make() -> None:
        try:
            for result in results:
                made.put((result,))
            made.put(None)
        except BaseException as error:  # the thread that waits raises it
            made.put(error)

    threading.Thread(target=make, name="looks-at-files", daemon=True).start()
    while True:
        try:
            found = made.get(timeout=timeout_s)
        except queue.Empty:
            raise StageError(
                f"{folder} does not answer: it could not be read for {timeout_s:g} s; "
                f"check the disk or network mount and {RERUN}"
            ) from None
        if found is None:
            return
        if isinstance(found, BaseException):
            raise found
        yield found[0]


def in_time(work: Callable[[], Result], folder: Path, timeout_s: float = PATIENCE_S) -> Result:
    """Do work that looks at files, as `each_in_time` does.

    >>> in_time(lambda: 1, Path("images"))
    1
    """
    (result,) = each_in_time((work() for _ in range(1)), folder, timeout_s)
    return result


def ensure_it_answers(folder: Path, timeout_s: float) -> None:
    """Read a byte of any file in a folder.

    Raises
    ------
    StageError
        If that takes too long.
    """
    in_time(lambda: _read_any(folder), folder, timeout_s)


def _read_any(folder: Path) -> None:
    for here, _, names in os.walk(folder):
        for name in names:
            path = Path(here, name)
            try:
                if path.is_file():
                    with path.open("rb", buffering=0) as file:
                        file.read(1)
                    return
            except OSError:  # it answers
                return
