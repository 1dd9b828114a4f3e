"""Plans of a faulty disk: which calls of a command fail, from which one on, and with which error number.

In: a fault and a folder. Out: the file that the preloaded library of `disk_faults.c` reads, and the calls that it has
counted. What a command must do about a fault is left to the tests.
"""

import errno
import os
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")
# As in disk_faults.c.
GROW, FLUSH, NAME, OPEN, READ, LOOK = 1, 2, 4, 8, 16, 32
LAYOUT = struct.Struct("4096siIqqqq6q")
NEVER = 2**62


@dataclass(frozen=True)
class Fault:
    """A way in which a disk fails.

    Attributes
    ----------
    name
        For people.
    error
        The error number that a call answers with; 0 never answers.
    kinds
        The calls that fail; a bit each.
    lasts
        Whether each later call fails too.
    """

    name: str
    error: int
    kinds: int
    lasts: bool = True


FAULTS = (
    Fault("full disk", errno.ENOSPC, GROW | NAME),
    Fault("quota", errno.EDQUOT, GROW | NAME),
    Fault("failing disk", errno.EIO, GROW | FLUSH | NAME),
    Fault("one failed write", errno.EIO, GROW | FLUSH | NAME, lasts=False),
    Fault("one failed read", errno.EIO, READ, lasts=False),
    Fault("read-only", errno.EROFS, GROW | FLUSH | NAME | OPEN),
)


# As a network mount whose server is gone.
HUNG = Fault("hung mount", 0, LOOK | READ)


def build_library(folder: Path) -> Path | None:
    """Compile the library; None where that cannot be done."""
    compiler, library = shutil.which("cc"), folder / "disk_faults.so"
    if compiler is None or not hasattr(os, "pidfd_open"):
        return None
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"], check=True)
    return library


def write_plan(path: Path, folder: Path, fault: Fault = FAULTS[0], first: int = NEVER) -> None:
    """Plan that calls on files under a folder fail from the one with number `first`; without it none does."""
    last = NEVER if fault.lasts else first
    name = os.fsencode(f"{folder.resolve()}/")
    path.write_bytes(LAYOUT.pack(name, fault.error, fault.kinds, first, last, 0, 0, *[0] * 6))


def count_calls(path: Path, kinds: int) -> int:
    """How many calls of these kinds a command has made, of those that the plan is about."""
    counted = LAYOUT.unpack(path.read_bytes())[7:]
    return sum(count for bit, count in enumerate(counted) if kinds >> bit & 1)


def count_failed(path: Path) -> int:
    """How many calls have failed."""
    return int(LAYOUT.unpack(path.read_bytes())[6])
