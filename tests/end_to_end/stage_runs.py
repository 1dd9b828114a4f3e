"""Every stage as a command to interrupt: what it is run with, what its outputs were before, and what they must become.

In: a small project, built once. Out: per stage a project whose outputs of that stage are of earlier settings, and the
files that an undisturbed run makes of it. How a run is interrupted is left to the tests.
"""

import csv
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cache.errors import CacheError
from stages.core.errors import StageError
from stages.core.records import producers
from stages.core.records.artefacts import Artefact
from stages.core.records.producers import Producer
from stages.core.records.reading import verify
from tests.chain import ARTEFACTS
from tests.conftest import REPOSITORY
from tests.end_to_end.command_server import Command, CommandServer
from tests.end_to_end.conftest import edit_params

TARGET = "style"
# One small network for all stages: what is tested is what happens to files.
SMALL = {
    "targets": [TARGET],
    "demo": {
        "images": 40, "random_state": 0, "broken": 4, "exact_duplicates": 2, "near_duplicates": 2,
        "wrong_labels": 2, "strangers": 2,
    },
    "backbone.arch": "resnet18", "backbone.weights": "random", "backbone.calibration_images": 8,
    "backbone.finetune.epochs": 2, "backbone.finetune.unfreeze": "layer4",
    "features.resize_px": 40, "features.crop_px": 32, "features.tokens": 1, "features.batch_size": 8,
    "features.flush_every_s": 0.001, "features.decoder": "exact",
    "train.epochs": 8, "evaluate.resamples": 100, "outliers.folds": 2, "outliers.neighbours": 2,
    "tune.trials": 3, "tune.startup_trials": 2, "report.gallery_size": 8, "parallel.n_jobs": 1,
}  # fmt: skip
BUILD = (
    "paint-demo", "ingest", "clean", "split", "prepare-backbone", "extract-features", f"train-head --target {TARGET}",
    f"evaluate --target {TARGET}", f"find-outliers --target {TARGET}",
)  # fmt: skip
# Where stages write. The images are under data/demo and never change.
FOLDERS = ("data", "models", "reports", ".features", ".scan", ".training", ".tuning")
# Seconds and images per second differ from run to run.
TIMING = {"seconds.tsv", "images_per_s.tsv"}
TIMED_KEYS = {"seconds", "images_per_s"}
TABLE = re.compile(r"<table.*?</table>", re.DOTALL)
TRAINING_TIME = re.compile(rb"(training took\s*(?:<[^>]*>\s*)*)[\d.]+ s")
# The store's shards are as many as there were interruptions, and SQLite's files hold times. None is an output: later
# stages read features.h5, clean.csv and trials.csv. SQLite removes its -wal and -shm at the interpreter's end, which a
# forked command does not wait for.
HISTORY = re.compile(r"shard-\w+\.h5|.*\.sqlite(-\w+)?")


@dataclass(frozen=True)
class StageRun:
    """A stage and how to interrupt it.

    Attributes
    ----------
    name, arguments
        The stage, and the arguments of `pipeline`.
    earlier
        Settings that the outputs are of before the run; empty: there are none.
    producers
        Whose records the run writes.
    """

    name: str
    arguments: str
    earlier: str
    producers: tuple[Producer, ...] = ()

    @property
    def command(self) -> list[str]:
        """The arguments of `pipeline`."""
        return self.arguments.split()


STAGES = (
    StageRun("ingest", "ingest", "dataset.no_label=[dots]", (producers.INGEST,)),
    StageRun("clean", "clean", "clean.min_side_px=400", (producers.CLEAN,)),
    StageRun("split", "split", "split.random_state=1", (producers.SPLIT,)),
    StageRun(
        "prepare-backbone",
        f"prepare-backbone --set backbone.finetune.target={TARGET}",
        "backbone.random_state=1",
        (producers.BACKBONE,),
    ),
    StageRun("extract-features", "extract-features", "features.random_state=1", (producers.EXTRACT,)),
    StageRun("train-head", f"train-head --target {TARGET}", "train.random_state=1", (producers.TRAIN,)),
    StageRun("evaluate", f"evaluate --target {TARGET}", "evaluate.resamples=200", (producers.EVALUATE,)),
    StageRun("find-outliers", f"find-outliers --target {TARGET}", "outliers.list_share=0.5", (producers.OUTLIERS,)),
    # Without --write: the settings that it writes make the next run another search.
    StageRun("tune", f"tune --target {TARGET}", ""),
    StageRun("report", "report", "report.map_random_state=1", (producers.COORDINATES,)),
)


class BuiltProject:
    """A project after every stage, made by forked commands in seconds; tests work on clones of it.

    Parameters
    ----------
    server
        The warm process.
    home
        Where the project is, or is to be made.
    root
        A folder for what one process's tests make of it.
    """

    def __init__(self, server: CommandServer, home: Path, root: Path) -> None:
        self.server, self.home, self.root = server, home, root
        done = home.with_suffix(".done")
        if done.exists():  # another process has made it
            return
        (self.home / "data").mkdir(parents=True)
        shutil.copy(REPOSITORY / "params.yaml", self.home)
        shutil.copy(REPOSITORY / "data/review.csv", self.home / "data")
        edit_params(self.home, SMALL)
        for arguments in BUILD:
            run_undisturbed(server, arguments.split(), self.home)
        done.touch()


def run_undisturbed(server: CommandServer, arguments: list[str], folder: Path) -> float:
    """Run a command that must succeed; the seconds that it takes."""
    started = time.monotonic()
    code, printed = server.run(arguments, folder)
    assert code == 0, f"{arguments}: {code}\n{printed[-3000:]}"
    return time.monotonic() - started


class Rehearsal:
    """A stage before its run, and after an undisturbed one.

    Parameters
    ----------
    built
        The project to take a clone of.
    stage
        The stage.
    faults
        A plan without a fault, which counts the calls of the undisturbed run.
    """

    def __init__(self, built: BuiltProject, stage: StageRun, faults: Path | None = None) -> None:
        self.built, self.stage = built, stage
        self.before, self.after = (built.root / f"{stage.name}-{when}" for when in ("before", "after"))
        for folder in (self.before, self.after):  # of another test of the stage
            shutil.rmtree(folder, ignore_errors=True)
        clone(built.home, self.before)
        if stage.earlier:
            run_undisturbed(built.server, [*stage.command, "--set", stage.earlier], self.before)
        for kept in (".scan", ".training", ".tuning", ".features"):
            shutil.rmtree(self.before / kept, ignore_errors=True)
        clone(self.before, self.after)
        started, command = time.monotonic(), built.server.start(stage.command, self.after, faults)
        self.commit_s = wait_for_commit(command, self.after, places(self.before)) - started
        assert command.wait(300)
        assert command.status() == 0, command.output()
        self.seconds = time.monotonic() - started
        self.commit_s = min(self.commit_s, self.seconds)

    def reset(self, project: Path) -> None:
        """Make a project that is as before the run."""
        shutil.rmtree(project, ignore_errors=True)
        clone(self.before, project)

    @cached_property
    def old(self) -> dict[str, str]:
        """Digests of what the outputs are before the run."""
        return digests(self.before)

    @cached_property
    def new(self) -> dict[str, str]:
        """Digests of what an undisturbed run makes."""
        return digests(self.after)

    def check_interrupted(self, project: Path) -> None:
        """Check that every file is the old or the new one, and that a later stage takes the one run or the other."""
        now = digests(project)
        for name in self.old.keys() | self.new.keys():
            known = {self.old.get(name), self.new.get(name)}
            assert now.get(name) in known, f"{name} is neither the old file nor the new one"
        accepted = set(self._accepted(project))
        changed = {name for name in accepted if self.old.get(name) != self.new.get(name)}
        versions = {name: "old" if now[name] == self.old.get(name) else "new" for name in changed}
        assert len(set(versions.values())) <= 1, f"files of two runs are taken together: {versions}"

    def is_mixed(self, project: Path) -> bool:
        """Whether some outputs are those of the new run, and others those of the old one."""
        now = digests(project)
        changed = [name for name in self.old.keys() & self.new.keys() if self.old[name] != self.new[name]]
        return len({now.get(name) == self.new[name] for name in changed}) == 2

    def _accepted(self, project: Path) -> Iterator[str]:
        """The files that later stages read and take; each other one is refused by name, with the command."""
        for artefact in ARTEFACTS:
            path = project / artefact.path_for(TARGET)
            if artefact.producer in self.stage.producers:
                if (refusal := refusal_of(path, artefact)) is None:
                    yield path.relative_to(project).as_posix()
                else:
                    assert artefact.command_for(TARGET) in refusal
                    named = (path, artefact.producer.record_in(artefact.home_of(path)))
                    assert any(str(name) in refusal for name in named), refusal

    def check_finished(self, project: Path) -> None:
        """Check that every output is that of the undisturbed run; memories of a stage may lack what was not written."""
        now = digests(project)
        differing = [name for name, digest in self.new.items() if is_output(name) and now.get(name) != digest]
        assert differing == [], f"it reports success, but these are not those of an undisturbed run: {differing}"

    def check_resumed(self, project: Path) -> None:
        """Check that every file is that of the undisturbed run, and that there is no other."""
        now = digests(project)
        left, missing = sorted(now.keys() - self.new.keys()), sorted(self.new.keys() - now.keys())
        assert left == missing == [], f"left behind: {left}; missing: {missing}"
        differing = sorted(name for name in now if now[name] != self.new[name])
        assert differing == [], f"other bytes than those of an undisturbed run: {differing}"


def refusal_of(path: Path, artefact: Artefact) -> str | None:
    """Why later stages refuse a file; None if they take it."""
    try:
        verify(path, artefact, TARGET)
    except (StageError, CacheError) as error:
        return str(error)
    return None


def clone(source: Path, destination: Path) -> None:
    """Copy a project; its files are hard links, because every stage replaces files and changes none in place."""

    def link(file: str, copy: str) -> None:
        # SQLite's files and the table of decisions are the exceptions.
        (shutil.copy2 if ".sqlite" in file else os.link)(file, copy)

    shutil.copytree(source, destination, copy_function=link)


def files_of(project: Path) -> Iterator[Path]:
    """Every file that a stage may have written."""
    yield project / "params.yaml"
    for folder in FOLDERS:
        for path in (project / folder).rglob("*"):
            if path.is_file() and "images" not in path.relative_to(project).parts:
                yield path


def places(project: Path) -> dict[str, int]:
    """The outputs' inodes: another one is another file. What is hidden is no output."""
    found = {}
    for path in files_of(project):
        name = path.relative_to(project).as_posix()
        if not any(part.startswith(".") for part in path.relative_to(project).parts[1:]):
            found[name] = path.stat(follow_symlinks=False).st_ino
    return found


def is_output(name: str) -> bool:
    """Whether a file is no memory of a stage."""
    return not name.startswith((".features/", ".scan/", ".training/")) and ".sqlite" not in name


def wait_for_commit(command: Command, project: Path, before: dict[str, int]) -> float:
    """Wait until the first output is in place, or the command ends; the time of the clock then."""
    while not command.wait(0.002):
        try:
            if any(before.get(name) != place for name, place in places(project).items() if is_output(name)):
                break
        except OSError:  # a file went while the folders were listed
            continue
    return time.monotonic()


def digests(project: Path) -> dict[str, str]:
    """A digest of every file by its name, of what does not depend on time."""
    found = {}
    for path in files_of(project):
        name = path.relative_to(project).as_posix()
        if path.name not in TIMING and not HISTORY.fullmatch(path.name):
            found[name] = _digest(path)
    return found


_known: dict[tuple[int, int, int], str] = {}


def _digest(path: Path) -> str:
    found = path.stat()
    key = (found.st_ino, found.st_size, found.st_mtime_ns)
    if key not in _known:
        _known[key] = hashlib.sha256(_without_times(path)).hexdigest()
    return _known[key]


def _without_times(path: Path) -> bytes:
    content = path.read_bytes()
    try:
        if path.parts[-2:] == ("log", "metrics.json"):
            values = json.loads(content)
            return json.dumps({key: values[key] for key in values.keys() - TIMED_KEYS}, sort_keys=True).encode()
        if path.parts[-2:] == ("records", "train.json"):
            values = json.loads(content)
            del values["digest"]
            for name in list(values["outputs"]):
                if Path(name).name in TIMING or name == "log/metrics.json":
                    del values["outputs"][name]
            return json.dumps(values, sort_keys=True).encode()
        if path.parts[-2] == "pages":
            return TRAINING_TIME.sub(rb"\1", content)
        if path.parts[-3] == ".tuning" and path.suffix == ".csv":
            return repr(list(_without_seconds(csv.reader(content.decode().splitlines())))).encode()
        if path.parts[-3] == ".tuning" and path.suffix == ".html":
            page = content.decode()
            return TABLE.sub(lambda table: repr(list(_without_seconds(_rows(table.group())))), page).encode()
    except (ValueError, KeyError, OSError):  # damaged: its bytes tell
        pass
    return content


def _rows(table: str) -> Iterator[list[str]]:
    """The cells of each row of a table in HTML."""
    for row in table.split("</tr>"):
        yield re.findall(r"<t[hd]>(.*?)</t[hd]>", row)


def _without_seconds(rows: Iterable[list[str]]) -> Iterator[list[str]]:
    """A search's table without how long each trial took."""
    header, *others = rows
    place = header.index("seconds")
    for row in (header, *others):
        yield row[:place] + row[place + 1 :]
