"""A power cut at any moment of any stage leaves the old files, the new ones, or a mixture that later stages refuse.

Each command runs under strace once, and what it told the disk is replayed: at every moment, in every state that the
changes not yet flushed allow. `POWER_CUTS=all` replays all stages, not only the quickest, and appends what it found to
the file that `POWER_CUTS_TABLE` names.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.core.records import producers
from tests.chain import ARTEFACTS
from tests.conftest import REPOSITORY
from tests.end_to_end.command_server import ENVIRONMENT
from tests.end_to_end.disk_after_power_cut import ABSENT, OLD, TORN, Disk
from tests.end_to_end.stage_runs import STAGES, TARGET, BuiltProject, Rehearsal, StageRun, clone, refusal_of
from tests.end_to_end.system_calls import Call, record_calls

# Our own temporary names, and safetensors'.
TEMPORARY = re.compile(r"\..*\.partial|\.tmp\w{6}")
SHORT = ("split", "extract-features", "train-head")
CHOSEN = [stage for stage in STAGES if "POWER_CUTS" in os.environ or stage.name in SHORT]


def can_trace() -> bool:
    """Whether strace is installed and may trace."""
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not can_trace(), reason="strace is not installed, or may not trace processes here")


class Cuts:
    """Power cuts of one stage: what its outputs may be after each."""

    def __init__(self, rehearsal: Rehearsal, project: Path, scratch: Path) -> None:
        self.rehearsal, self.project, self.scratch = rehearsal, project, scratch
        self.calls = self._trace()
        self.written = self._written()
        records = [name for name in self.written if name.split("/")[-2:-1] == ["records"]]
        disk = Disk(
            {str(path): path.is_dir() for path in (rehearsal.before, *rehearsal.before.rglob("*"))},
            [str(rehearsal.before / name) for name in self.written],
            str(rehearsal.before / records[0]) if records else "",
        )
        moved = [self._as_if_before(call) for call in self.calls]
        self.states = {tuple(state.values()) for state in disk.replay(moved)}
        disk.check_finished()
        self.breaches = disk.breaches
        self.final = self._final(disk)

    def _trace(self) -> list[Call]:
        clone(self.rehearsal.before, self.project)
        environment = os.environ | ENVIRONMENT | {"PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
        code, calls, printed = record_calls(
            [sys.executable, "-m", "pipeline", *self.rehearsal.stage.command],
            self.project,
            self.project.with_suffix(".strace"),
            environment,
        )
        assert code == 0, printed
        return calls

    def _as_if_before(self, call: Call) -> Call:
        """The call with the paths of the project before the run."""
        old, new = str(self.project), str(self.rehearsal.before)
        return Call(call.kind, call.path.replace(old, new, 1), call.other.replace(old, new, 1))

    def _written(self) -> list[str]:
        """Files that got their names in this run, without SQLite's, locks, scratch, and what is staged or temporary."""
        found = set()
        for call in self.calls:
            path = Path(call.other or call.path).relative_to(self.project)
            named = call.kind in ("rename", "link", "create")
            passing = any(TEMPORARY.fullmatch(part) for part in path.parts)
            passing |= path.parts[:1] == (".scratch",) or ".lock" in path.name or ".sqlite" in path.name
            if named and not passing:
                found.add(path.as_posix())
        return sorted(found)

    def _final(self, disk: Disk) -> dict[str, str]:
        """What each file is in the end, in the words of the states."""
        state = list(disk.replay([]))[-1]
        return {name: state[str(self.rehearsal.before / name)] for name in self.written}

    def check_states(self) -> int:
        """Check every state as later stages read it; return how many held files of both runs, or lost ones."""
        recorded = self._recorded()
        for state in self.states:
            held = dict(zip(self.written, state, strict=True))
            for name, kind in held.items():
                if name not in recorded:
                    assert kind != TORN, f"{name} is half a file"
                    assert kind != ABSENT or self.final[name] == ABSENT or not (self.rehearsal.before / name).exists()
            self._check_recorded({name: kind for name, kind in held.items() if name in recorded})
        return sum(not {*state} <= {OLD} and list(state) != list(self.final.values()) for state in self.states)

    def _recorded(self) -> set[str]:
        """The files that the stage's records list, and the records."""
        found = set()
        for producer in self.rehearsal.stage.producers:
            home = self.project / producer.home.replace(producers.TARGET, TARGET)
            record = producer.record_in(home)
            names = json.loads(record.read_text(encoding="utf-8"))["outputs"]
            found |= {path.relative_to(self.project).as_posix() for path in (record, *(home / name for name in names))}
        return found

    def _check_recorded(self, held: dict[str, str]) -> None:
        """Put the files as they are after the cut, and read them as later stages do."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        for name, kind in held.items():
            self._put(name, kind)
        versions = {held[name] for name in self._accepted() if not self._is_unchanged(name)}
        assert versions <= {OLD, *self.final.values()}, f"a file that is not whole is taken: {held}"
        assert OLD not in versions or len(versions) == 1, f"files of two runs are taken together: {held}"

    def _put(self, name: str, kind: str) -> None:
        if kind == ABSENT:
            return
        path, old, new = (folder / name for folder in (self.scratch, self.rehearsal.before, self.project))
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind in (OLD, self.final[name]):
            os.link(old if kind == OLD else new, path)
        else:
            content = new.read_bytes()
            path.write_bytes(content[: len(content) // 2].ljust(len(content), b"\0"))

    def _is_unchanged(self, name: str) -> bool:
        old, new = self.rehearsal.before / name, self.project / name
        return old.exists() and old.read_bytes() == new.read_bytes()

    def _accepted(self) -> Iterator[str]:
        for artefact in ARTEFACTS:
            if artefact.producer in self.rehearsal.stage.producers:
                name = artefact.path_for(TARGET)
                if refusal_of(self.scratch / name, artefact) is None:
                    yield name


@pytest.mark.parametrize("stage", CHOSEN, ids=lambda stage: stage.name)
def test_a_power_cut_leaves_nothing_that_is_taken_for_whole(
    small: BuiltProject, tmp_path: Path, stage: StageRun
) -> None:
    cuts = Cuts(Rehearsal(small, stage), tmp_path / "project", tmp_path / "after-cut")
    mixed = cuts.check_states()
    note(stage.name, cuts, mixed)
    assert cuts.breaches == []
    assert cuts.written


def note(stage: str, cuts: Cuts, mixed: int) -> None:
    """Append a line to the long form's table."""
    if "POWER_CUTS_TABLE" in os.environ:
        with Path(os.environ["POWER_CUTS_TABLE"]).open("a", encoding="utf-8") as table:
            numbers = (stage, len(cuts.written), len(cuts.calls), len(cuts.states), mixed, len(cuts.breaches))
            print(f"| {' | '.join(map(str, numbers))} |", file=table)


DECIDE = """
import os
from pathlib import Path
from stages.review.decisions import DecisionFile

review = DecisionFile(Path("data/review.csv"), "style")
for number in range(4):
    review.record(image=f"{number}.jpg", sha256="0" * 64, decision="fine")
    os.mkdir(f"acknowledged-{number}")
review.undo("2.jpg")
os.mkdir("acknowledged-4")
"""


def test_a_decision_that_is_acknowledged_outlives_a_power_cut(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "data").mkdir(parents=True)
    environment = os.environ | ENVIRONMENT | {"PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
    log = tmp_path / "calls.strace"
    code, calls, printed = record_calls([sys.executable, "-c", DECIDE], project, log, environment)
    assert code == 0, printed
    review = str(project / "data/review.csv")
    disk = Disk({str(project): True, str(project / "data"): True}, [review])
    acknowledged, part, versions = ABSENT, list[Call](), list[str]()
    for call in calls:
        part.append(call)
        if Path(call.path).name.startswith("acknowledged-"):
            during = {state[review] for state in disk.replay(part)}
            (after,) = {state[review] for state in disk.replay([])}
            assert during <= {acknowledged, after}, "neither what was acknowledged last, nor the next decision"
            acknowledged, part = after, []
            versions.append(after)
    assert disk.breaches == []
    assert len({*versions, ABSENT}) == 6
