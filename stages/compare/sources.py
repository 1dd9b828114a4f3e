"""Open one side of a comparison: a folder, a git revision, or the name of a DVC experiment.

In: what a person typed. Out: a `Side`, which knows its targets and where their files lie. Files of a revision come from
git or DVC's cache and are copied to a temporary folder; the working tree is not touched. Reading is left to `runs`.
"""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.core.errors import StageError
from stages.core.records import producers
from stages.core.scratch import large_files_folder

# Names of the present files, as DVC uses them.
PRESENT = "workspace"
PREDICTIONS = "predictions.csv"
# What is read of a revision: the first list must be there, the second tells groups and settings.
RESULTS = (PREDICTIONS, "metrics.json", "records/evaluate.json")
SHARED = (
    "data/splits.csv",
    *(f"data/records/{stage}.json" for stage in ("ingest", "clean", "split", "extract")),
    "models/records/backbone.json",
)
HEAD = ("head.json", "records/train.json")


@dataclass(frozen=True)
class Side:
    """One of the two runs.

    Attributes
    ----------
    letter
        `A` or `B`.
    name
        As it was given.
    kind
        `folder`, or `revision` with the first digits of its commit.
    project
        The folder that is laid out as a project, for the files behind the results.
    results
        By target, the folder with its `predictions.csv`.
    """

    letter: str
    name: str
    kind: str
    project: Path
    results: Mapping[str, Path]

    @contextlib.contextmanager
    def errors_named(self) -> Iterator[None]:
        """Let errors name the revision in place of the temporary folder that holds its files."""
        try:
            yield
        except StageError as error:
            if self.kind == "folder":
                raise
            text = str(error).replace(f"{self.project}{os.sep}", "")
            raise StageError(f"{self.letter}, {self.kind} of {self.name!r}: {text}") from None


@contextlib.contextmanager
def open_side(letter: str, name: str, root: Path, targets: Sequence[str] = ()) -> Iterator[Side]:
    """Find the results of one run.

    Parameters
    ----------
    letter
        `A` or `B`.
    name
        A project's folder, a reports folder, `reports/TARGET`, `workspace`, or a git revision or DVC experiment. A
        folder that holds results comes before a revision of the same name.
    root
        The current project, whose revisions are meant.
    targets
        The label columns wanted; none stands for all.

    Raises
    ------
    StageError
        If there are no results, with what to do.
    """
    folder = root if name == PRESENT else root / name
    project, results = _find_results(folder)
    if results:
        yield Side(letter, name, "folder", project, results)
        return
    if folder.exists() and folder.samefile(root):
        raise StageError(f"{letter}: reports/ holds no results of evaluate: run `dvc repro` first")
    with tempfile.TemporaryDirectory(prefix="compare-", dir=large_files_folder()) as temporary:
        copy = Path(temporary)
        kind = _copy_revision(letter, name, root, targets, copy, is_folder=folder.is_dir())
        yield Side(letter, name, kind, *_find_results(copy))


def _find_results(folder: Path) -> tuple[Path, dict[str, Path]]:
    """The project around a folder, and the folders of its targets; none if it holds no results."""
    if (folder / PREDICTIONS).is_file():
        return _up(folder, 2), {_target_of(folder): folder}
    for reports, project in ((folder / "reports", folder), (folder, _up(folder, 1))):
        if results := {path.parent.name: path.parent for path in sorted(reports.glob(f"*/{PREDICTIONS}"))}:
            return project, results
    return folder, {}


def _up(folder: Path, levels: int) -> Path:
    return Path(os.path.normpath(folder.joinpath(*[".."] * levels)))


def _target_of(folder: Path) -> str:
    """A copied folder may have another name: its record knows the target."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        command = json.loads(producers.EVALUATE.record_in(folder).read_text(encoding="utf-8"))["command"]
        return str(command).rpartition(" ")[2]
    return folder.absolute().name


def _copy_revision(letter: str, name: str, root: Path, targets: Sequence[str], copy: Path, *, is_folder: bool) -> str:
    """Copy the results of a revision, and what they were made with; return what kind of side it is."""
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from scmrepo.exceptions import SCMError

    try:
        files = DVCFileSystem(repo=str(root), rev=name)
        commit = files.repo.get_rev()
    except (DvcException, SCMError, OSError) as error:
        what = "a folder without results of evaluate" if is_folder else "no folder"
        raise StageError(
            f"{letter}: {name!r} is {what}, and no git revision or DVC experiment ({_one_line(error)}): name a folder "
            "with reports/TARGET/predictions.csv, or a name from `git log` or `dvc exp list`"
        ) from None
    kind = f"revision {commit[:7]}"
    try:
        _copy_files(files, targets, copy)
    except (DvcException, SCMError, OSError) as error:
        raise StageError(
            f"{letter}, {kind} of {name!r}: its results are not in DVC's cache ({_one_line(error)}): run "
            "`dvc fetch --all-commits` or `dvc exp pull`, or check it out and run `dvc repro`"
        ) from None
    if not _find_results(copy)[1]:
        raise StageError(
            f"{letter}, {kind} of {name!r} has no reports/TARGET/{PREDICTIONS}: check it out, run `dvc repro` and "
            "commit dvc.lock"
        )
    return kind


def _copy_files(files: Any, targets: Sequence[str], copy: Path) -> None:
    """Copy what the revision lists; a listed result that cannot be had is an error, another file is left out."""
    listed = {Path(path).name for path in files.ls("reports", detail=False)} if files.exists("reports") else set()
    for target in sorted(listed & set(targets) if targets else listed):
        if not files.exists(f"reports/{target}/{PREDICTIONS}"):
            continue
        for name in RESULTS:
            _copy_file(files, f"reports/{target}/{name}", copy)
        for name in HEAD:
            _copy_optional(files, f"models/heads/{target}/{name}", copy)
    for name in SHARED:
        _copy_optional(files, name, copy)


def _copy_file(files: Any, name: str, copy: Path) -> None:
    if files.exists(name):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        files.get_file(name, str(copy / name))


def _copy_optional(files: Any, name: str, copy: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        _copy_file(files, name, copy)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
