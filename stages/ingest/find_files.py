"""Give every listed image the file that it names, and tell which files no row names.

In: cells with names as the source writes them, and the image root. Out: cells with names as tables use them; what
matched how. A row whose path can name no file is left out; one whose file is not there stays, for `clean` to reject.
"""

from collections import Counter
from collections.abc import Container, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pandas as pd

from stages.core.errors import StageError
from stages.core.patience import PATIENCE_S, each_in_time
from stages.core.tables.problems import Problems
from stages.ingest.image_files import DiskFiles, files_under, has_image_suffix, is_system
from stages.ingest.label_cells import check_paths
from stages.ingest.match_names import AMBIGUOUS, EXACT, FORM, Match, identity, match_names

MISSING = "no such file under dataset.images"
UNLISTED = "file is in no row of the labels"


class FoundFiles(NamedTuple):
    """What became of the listed names.

    Attributes
    ----------
    cells
        With the names that tables use.
    matched
        How many names each step found.
    unlisted
        Names of image files that no row names.
    """

    cells: pd.DataFrame
    matched: Counter[str]
    unlisted: list[str]

    def lines(self) -> Iterator[str]:
        """The lines of ingest's table."""
        if self.matched:
            ranked = sorted(self.matched.items(), key=lambda step: (-step[1], step[0]))
            yield "files: " + ", ".join(f"{count:,} by {how}" for how, count in ranked)
        if self.unlisted:
            more = ", …" if len(self.unlisted) > 3 else ""
            yield f"unlisted: {len(self.unlisted):,} image files are in no row ({', '.join(self.unlisted[:3])}{more})"


def find_files(
    cells: pd.DataFrame, images: Path, allow_missing: bool, problems: Problems, timeout_s: float = PATIENCE_S
) -> FoundFiles:
    """Find every listed image's file.

    Links that leave the image root stay too: `clean` refuses them as `outside_root`.

    Raises
    ------
    StageError
        If none of the images is there, unless `allow_missing`, or the disk does not answer for `timeout_s`.
    """
    files = files_under(images, timeout_s)
    for problem, name in files.problems:
        problems.add(images, 0, problem, name)
    matches = match_names(cells["image"].unique(), [*files.names, *files.leading_out], images)
    names = {name: _table_name(name, match, files) for name, match in matches.items()}
    links = {names[name] for name, match in matches.items() if _leads_out(name, match, files.leading_out)}
    absent = {names[name] for name, match in matches.items() if match.file is None} - links
    unclear = {names[name] for name, match in matches.items() if match.how == AMBIGUOUS}
    cells = check_paths(cells.assign(image=cells["image"].map(names)), problems)
    listed = set(cells["image"])
    absent &= listed
    if files.inner_folder_links:
        waiting = sorted(absent)
        found = each_in_time(((images / name).is_file() for name in waiting), images, timeout_s)
        absent = {name for name, exists in zip(waiting, found, strict=True) if not exists}
    if listed and absent == listed and not allow_missing:
        raise StageError(
            f"none of the {len(listed)} listed images is under {images}, {sorted(absent)[0]!r} for one: "
            "check dataset.images, or take the labels alone with --allow-missing"
        )
    _note_rows(cells, links, "link leads out of dataset.images", problems)
    if not allow_missing:
        _note_rows(cells, absent, MISSING, problems, unclear)
    matched = _note_matches(matches, files, images, problems)
    unlisted = [] if allow_missing else _unlisted(matches, files)  # lists alone are not compared with what is there
    for name in unlisted:
        problems.add(images, 0, UNLISTED, name)
    return FoundFiles(cells, matched, unlisted)


def _table_name(name: str, match: Match, files: DiskFiles) -> str:
    """The name that tables use for a listed one; without a file, its one spelling."""
    return files.names.get(match.file, match.file) if match.file is not None else identity(name)


def _leads_out(name: str, match: Match, links: set[str]) -> bool:
    """Whether the file, or a folder on the way to it, is one of the links."""
    if not links:
        return False
    return match.file in links or any(parent.as_posix() in links for parent in PurePosixPath(identity(name)).parents)


def _note_rows(
    cells: pd.DataFrame, images: set[str], problem: str, problems: Problems, unclear: Container[str] = ()
) -> None:
    """Note the first row of each image."""
    first = cells[cells["image"].isin(images)].drop_duplicates("image")
    for file, row, image in zip(first["file"], first["row"], first["image"], strict=True):
        problems.add(file, row, problem, f"{image} ({AMBIGUOUS})" if image in unclear else image)


def _note_matches(matches: Mapping[str, Match], files: DiskFiles, images: Path, problems: Problems) -> Counter[str]:
    """Note names that are not the file's, and count what found how many."""
    matched = Counter(match.how for match in matches.values() if match.file is not None)
    for name, (file, how) in matches.items():
        if file is not None and how not in (EXACT, FORM):
            detail = f"{identity(name)} is {files.names.get(file, file)} ({how})"
            problems.add(images, 0, "file name differs from the list's (matched)", detail)
    return matched


def _unlisted(matches: Mapping[str, Match], files: DiskFiles) -> list[str]:
    named = {match.file for match in matches.values()}
    free = (image for name, image in files.names.items() if name not in named and not is_system(name))
    return sorted(image for image in free if has_image_suffix(image))
