"""Find the file on disk that a listed name means, despite another Unicode form, case or decoding.

In: names as listed, and the image root. Out: names as they are on the disk. A name is matched only where exactly one
file can be meant.
"""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

NOT_ASCII = re.compile(r"[^\x00-\x7f]+")


class DiskFiles(NamedTuple):
    """What lies under an image root.

    Attributes
    ----------
    names
        Every file's path relative to the root, NFC and POSIX, ascending by folder; links to files are among them.
    leading_out
        Links, to files or folders, whose target is not under the root.
    inner_folder_links
        Whether there are links to folders under the root; they are not followed, since they may go round in circles.
    problems
        What it is and on what, of entries that cannot be named or read.
    """

    names: list[str]
    leading_out: set[str]
    inner_folder_links: bool
    problems: list[tuple[str, str]]


def files_under(root: Path) -> DiskFiles:
    """List the files under a folder; none if the folder does not exist."""
    found = DiskFiles([], set(), False, [])
    if not root.is_dir():
        return found
    real_root = root.resolve()
    waiting, inner_folder_links = [""], False
    while waiting:
        folder = waiting.pop()
        subfolders = []
        for entry in _entries(root, folder, found.problems):
            name = unicodedata.normalize("NFC", folder + entry.name)
            if not _is_unicode(name):
                found.problems.append(("file name is not UTF-8: rename it", name))
            elif entry.is_symlink():
                target = Path(os.path.realpath(entry.path))  # Path.resolve raises an error where links go in circles
                if not target.is_relative_to(real_root):
                    found.leading_out.add(name)
                elif target.is_file():
                    found.names.append(name)
                else:
                    inner_folder_links |= target.is_dir()
            elif entry.is_file():
                found.names.append(name)
            elif entry.is_dir():
                subfolders.append(f"{folder}{entry.name}/")
        waiting += reversed(subfolders)
    return found._replace(inner_folder_links=inner_folder_links)


def _entries(root: Path, folder: str, problems: list[tuple[str, str]]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(root / folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        problems.append(("folder cannot be read", f"{folder or '.'}: {error.strerror}"))
        return []


def _is_unicode(name: str) -> bool:
    """A name of other bytes than UTF-8 has lone surrogates, and can stand in no table."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def match_names(listed: Iterable[str], on_disk: Iterable[str]) -> dict[str, str | None]:
    """Find each listed name's file.

    Parameters
    ----------
    listed
        NFC names.
    on_disk
        NFC names of the existing files.

    Returns
    -------
    dict
        Listed name to file name; None where no file, or more than one, can be meant.
    """
    files = set(on_disk)
    listed = list(dict.fromkeys(listed))
    by_skeleton: dict[str, list[str]] = defaultdict(list)
    for name in files - set(listed):
        by_skeleton[skeleton(name)].append(name)
    wanted: dict[str, int] = defaultdict(int)
    for name in listed:
        if name not in files:
            wanted[skeleton(name)] += 1
    found: dict[str, str | None] = {}
    for name in listed:
        candidates = [name] if name in files else by_skeleton.get(skeleton(name), [])
        unique = len(candidates) == 1 and (name in files or wanted[skeleton(name)] == 1)
        found[name] = candidates[0] if unique else None
    return found


def skeleton(name: str) -> str:
    """What survives lower-casing, another Unicode form, and UTF-8 read as Latin-1: the ASCII letters.

    `Grégoire`, its decomposed form, and `grã©goire` all become `gr*goire`.
    """
    return NOT_ASCII.sub("*", unicodedata.normalize("NFC", name)).lower()
