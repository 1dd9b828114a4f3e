"""Which file on the disk a listed name means, though Unicode form, case or a mis-decoding stand between them.

In: names as listed, and the image root. Out: names as they are on the disk. A name is matched only where exactly one
file can be meant.
"""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

NOT_ASCII = re.compile(r"[^\x00-\x7f]+")


def files_under(root: Path) -> Iterator[str]:
    """Every file's path relative to the root, NFC and POSIX; links to folders are not followed."""
    for folder, subfolders, names in os.walk(root):
        subfolders.sort()
        for name in sorted(names):
            path = Path(folder, name).relative_to(root).as_posix()
            yield unicodedata.normalize("NFC", path)


def match_names(listed: Iterable[str], on_disk: Iterable[str]) -> dict[str, str | None]:
    """Find each listed name's file.

    Parameters
    ----------
    listed
        NFC names.
    on_disk
        NFC names of the files that there are.

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
