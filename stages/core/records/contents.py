"""What a file holds, in a size and a digest.

In: a file. Out: its `Content`. Which files are compared is left to `reading`.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple


class Content(NamedTuple):
    """What a file holds.

    Attributes
    ----------
    bytes
        Its size.
    digest
        SHA-256, hexadecimal: of all bytes, unless the artefact defines another.
    """

    bytes: int
    digest: str


def digest_bytes_of(path: Path) -> Content:
    """Compute the size and the SHA-256 of a file's bytes.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Content(file.tell(), digest)
