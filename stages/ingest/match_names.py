"""Find the file on the disk that a listed name means: exactly that, or by one forgiving step after another.

In: names as listed, and names as the disk has them. Out: for each listed name its file and how it was found, or none. A
file that a row names outright is no other row's; a forgiving step counts only if one file and one row fit each other.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote

from stages.ingest.image_files import has_image_suffix, is_system
from stages.ingest.mojibake import misread, read_bytes_as

EXACT = "exact name"
FORM = "Unicode form"
AMBIGUOUS = "several files or rows fit"
_SPACES = re.compile(r"[ \t\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]+")
_ZERO_WIDTH = re.compile(r"[\u200b\u200e\u200f\u2060\ufeff]")
_DRIVE = re.compile(r"^[A-Za-z]:")
Keys = Callable[[str], set[str]]


class Match(NamedTuple):
    """A listed name's file.

    Attributes
    ----------
    file
        Its name on the disk; None where there is none, or more than one can be meant.
    how
        The step that found it, or `AMBIGUOUS`; empty where there is none.
    """

    file: str | None
    how: str = ""


class Step(NamedTuple):
    """A forgiving step: a listed name and a file fit if they share a key."""

    how: str
    of_listed: Keys
    of_file: Keys


def identity(name: str) -> str:
    """What makes two listed names one: they differ by Unicode form, spaces around them, or `./` at most."""
    name = unicodedata.normalize("NFC", name).strip(" ")
    return PurePosixPath(name).as_posix() if name else ""


def match_names(listed: Iterable[str], on_disk: Iterable[str], root: Path = Path()) -> dict[str, Match]:
    """Find each listed name's file.

    Parameters
    ----------
    listed
        Names as the source writes them.
    on_disk
        Names of the existing files, relative to the root, as the disk has them.
    root
        The image root, which names may have in front.

    Returns
    -------
    dict
        A match for each listed name.
    """
    listed, files = list(dict.fromkeys(listed)), dict.fromkeys(on_disk)
    found = {name: Match(name, EXACT) for name in listed if name in files}
    _match_forms(listed, files, found)
    taken = {match.file for match in found.values()}
    waiting = defaultdict(list)
    for name in listed:
        if name not in found:
            waiting[identity(name)].append(name)
    free = [file for file in files if file not in taken and not is_system(file)]
    for name, match in _match_forgivingly(list(waiting), free, root).items():
        found |= dict.fromkeys(waiting[name], match)
    return {name: found.get(name, Match(None)) for name in listed}


def _match_forms(listed: Iterable[str], files: Iterable[str], found: dict[str, Match]) -> None:
    """Match names that are the file's name in another Unicode form, or with spaces or `./` around it."""
    by_form: dict[str, list[str]] = defaultdict(list)
    for file in files:
        by_form[unicodedata.normalize("NFC", file)].append(file)
    for name in listed:
        if name not in found and (fitting := by_form.get(identity(name))):
            found[name] = Match(fitting[0], FORM) if len(fitting) == 1 else Match(None, AMBIGUOUS)


def _match_forgivingly(listed: list[str], files: list[str], root: Path) -> dict[str, Match]:
    """Match by step after step; names and files with several fits are out of the later steps."""
    found: dict[str, Match] = {}
    for step in _steps(root):
        if not listed or not files:
            break
        files_of, listed_of = _fits(listed, files, step)
        settled = {name for name in listed if files_of[name]}
        for name in settled:
            file = next(iter(files_of[name]))
            only = len(files_of[name]) == 1 and len(listed_of[file]) == 1
            found[name] = Match(file, step.how) if only else Match(None, AMBIGUOUS)
        used = {file for name in settled for file in files_of[name]}
        listed = [name for name in listed if name not in settled]
        files = [file for file in files if file not in used]
    return found


def _fits(listed: list[str], files: list[str], step: Step) -> tuple[Mapping[str, set[str]], Mapping[str, set[str]]]:
    """The files that fit each listed name, and the reverse."""
    by_key: dict[str, set[str]] = defaultdict(set)
    for name in listed:
        for key in step.of_listed(name):
            by_key[key].add(name)
    files_of: dict[str, set[str]] = defaultdict(set)
    listed_of: dict[str, set[str]] = defaultdict(set)
    for file in files:
        for name in {name for key in step.of_file(file) for name in by_key.get(key, ())}:
            files_of[name].add(file)
            listed_of[file].add(name)
    return files_of, listed_of


def _steps(root: Path) -> list[Step]:
    """The steps in their order; each forgives what those before it do."""
    return [
        Step("spaces", lambda name: {_spaced(name)}, lambda file: {_spaced(file)}),
        Step("case", lambda name: {_folded(name)}, lambda file: {_folded(file)}),
        Step("mis-decoded", _decoded, _decoded),
        Step("URL-encoded", _unquoted, _unquoted),
        Step("backslashes", _slashed, _unquoted),
        Step("missing ending", _listed_without_ending, _file_without_ending),
        Step("root in front", lambda name: _below_root(name, root), _unquoted),
    ]


def _spaced(name: str) -> str:
    """One plain space where there are others, none around the parts; what mis-decoding leaves behind stays."""
    if name.isascii() and " " not in name and "\t" not in name:
        return name
    name = _SPACES.sub(" ", _ZERO_WIDTH.sub("", unicodedata.normalize("NFC", name)))
    return "/".join(part.strip(" ") for part in name.split("/"))


def _folded(name: str) -> str:
    name = _spaced(name)
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name.casefold())


def _decoded(name: str) -> set[str]:
    return {_folded(name)} if name.isascii() else set(map(_folded, [name, *misread(name), *read_bytes_as(name)]))


def _unquoted(name: str) -> set[str]:
    plain = unquote(name, errors="surrogateescape") if "%" in name else name
    return _decoded(name) | _decoded(plain)


def _slashed(name: str) -> set[str]:
    slashed = name.replace("\\", "/")
    return _unquoted(slashed) | _unquoted(slashed.removeprefix("./"))


def _listed_without_ending(name: str) -> set[str]:
    """Keys of a listed name that lacks the file's ending, or has one that the file lacks."""
    plain = name.replace("\\", "/")
    if has_image_suffix(plain):
        return {f"{key}/file" for key in _slashed(plain.rpartition(".")[0])}
    return {f"{key}/listed" for key in _slashed(plain)}


def _file_without_ending(file: str) -> set[str]:
    """The keys that such listed names share with a file."""
    if has_image_suffix(file):
        return {f"{key}/listed" for key in _unquoted(file.rpartition(".")[0])}
    return {f"{key}/file" for key in _unquoted(file)}


def _below_root(name: str, root: Path) -> set[str]:
    """Keys of what follows the root's path, or a part of its end, at the start of a name."""
    parts = [part for part in _DRIVE.sub("", name.replace("\\", "/")).split("/") if part not in ("", ".")]
    folder = root.absolute().name.casefold()
    return {
        key
        for number, part in enumerate(parts[:-1])
        if folder and part.casefold() == folder
        for key in _slashed("/".join(parts[number + 1 :]))
    }
