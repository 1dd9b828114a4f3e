"""List the files under the image root, as the disk names them.

In: the image root. Out: every file's name on the disk, and its name in tables. What a listed name means is left to
`match_names`.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from stages.core.images.formats import IMAGE_SUFFIXES
from stages.core.patience import PATIENCE_S, each_in_time
from stages.core.tables.file_names import image_names

# Folders and files that systems make next to pictures, besides those that begin with a dot.
SYSTEM_NAMES = frozenset(
    name.casefold()
    for name in (
        "__MACOSX", "@eaDir", "@Recycle", "@Recently-Snapshot", "@tmp", "@sharebin", "#recycle", "#snapshot",
        "$RECYCLE.BIN", "RECYCLER", "System Volume Information", "lost+found", "Thumbs.db", "ehthumbs.db",
        "desktop.ini", "Icon\r", "__pycache__", "Network Trash Folder", "Temporary Items",
    )
)  # fmt: skip

# What an entry of a folder is, as far as it is listed.
Kind = Literal["file", "leads out", "folder link"]


class DiskFiles(NamedTuple):
    """What lies under an image root.

    Attributes
    ----------
    names
        Every file's name in tables (`image_names`), by its path relative to the root as the disk has it, POSIX;
        ascending by folder. Links to files are among them.
    leading_out
        Links, to files or folders, whose target is not under the root; names as the disk has them.
    inner_folder_links
        Whether there are links to folders under the root; they are not followed, since they may go round in circles.
    problems
        What it is and on what, of entries that cannot be named or read.
    """

    names: dict[str, str]
    leading_out: set[str]
    inner_folder_links: bool
    problems: list[tuple[str, str]]


def files_under(root: Path, timeout_s: float = PATIENCE_S) -> DiskFiles:
    """List the files under a folder; none if the folder does not exist.

    Raises
    ------
    StageError
        If the disk does not answer for so long.
    """
    found: dict[Kind, list[str]] = {kind: [] for kind in get_args(Kind)}
    problems: list[tuple[str, str]] = []
    for kind, name in each_in_time(_walk(root, problems), root, timeout_s):
        found[kind].append(name)
    names = _named(found["file"], problems)
    return DiskFiles(names, set(found["leads out"]), bool(found["folder link"]), problems)


def _walk(root: Path, problems: list[tuple[str, str]]) -> Iterator[tuple[Kind, str]]:
    """Each file and link under a folder, and what it is."""
    if not root.is_dir():
        return
    real_root = root.resolve()
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        subfolders = []
        for entry in _entries(root, folder, problems):
            name = folder + entry.name
            if entry.is_symlink():
                target = Path(os.path.realpath(entry.path))  # Path.resolve raises an error where links go in circles
                if not target.is_relative_to(real_root):
                    yield "leads out", name
                elif target.is_file():
                    yield "file", name
                elif target.is_dir():
                    yield "folder link", name
            elif entry.is_file():
                yield "file", name
            elif entry.is_dir():
                subfolders.append(f"{name}/")
        waiting += reversed(subfolders)


def _entries(root: Path, folder: str, problems: list[tuple[str, str]]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(root / folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        problems.append(("folder cannot be read", f"{folder or '.'}: {error.strerror}"))
        return []


def _named(listed: Iterable[str], problems: list[tuple[str, str]]) -> dict[str, str]:
    names = {}
    for name, image in image_names(listed).items():
        if image is None:
            problems.append(("two files have one name: rename one", name))
        else:
            names[name] = image
            if not _is_unicode(name):
                problems.append(("file name is not UTF-8: its other bytes are written as \\x..", image))
    return names


def _is_unicode(name: str) -> bool:
    """A name of other bytes than UTF-8 has lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_system(name: str) -> bool:
    """Whether a path leads through a hidden or system folder, or is such a file.

    >>> [is_system(name) for name in (".ipynb_checkpoints/a.jpg", "Cubism/@eaDir/a.jpg", "Cubism/._a.jpg", "a/b.jpg")]
    [True, True, True, False]
    """
    return any(part.startswith(".") or part.casefold() in SYSTEM_NAMES for part in name.split("/"))


def has_image_suffix(name: str) -> bool:
    """Whether a file is called as an image is."""
    stem, dot, suffix = name.rpartition(".")
    return bool(stem) and not stem.endswith("/") and f"{dot}{suffix}".lower() in IMAGE_SUFFIXES
