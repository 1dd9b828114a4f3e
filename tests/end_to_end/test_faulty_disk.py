"""Every stage meets a disk that is full, over its quota, failing or read-only, at a random call.

It ends with one line that names the file, and on a full disk the room; the files are the old ones or the new ones;
with the disk in order, the same command finishes. `DISK_FAULTS=20` makes so many trials for each stage and fault.
`DISK_FAULTS_TABLE` names a file to append a line for each to.
"""

import collections
import contextlib
import os
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.disk_faults import FAULTS, Fault, count_calls, count_failed, write_plan
from tests.end_to_end.stage_runs import STAGES, BuiltProject, Rehearsal, StageRun, run_undisturbed
from tests.end_to_end.test_kills import check_nothing_lives

TRIALS = int(os.environ.get("DISK_FAULTS", "0"))
TIMEOUT_S = 120.0
ROOM = re.compile(r"needs (at least )?[\d.,]+ [KM]iB, .* is free|[\d.,]+ [KM]iB needed, .* free")


class FaultyRuns:
    """Runs of a stage on faulty disks, and what they have come to."""

    def __init__(self, small: BuiltProject, stage: StageRun, folder: Path) -> None:
        self.plan, self.project = folder / "plan", folder / "project"
        write_plan(self.plan, small.root / f"{stage.name}-after")
        self.rehearsal = Rehearsal(small, stage, self.plan)
        self.problems: list[str] = []
        self.calls = {fault: count_calls(self.plan, fault.kinds) for fault in FAULTS}

    def run(self, fault: Fault, first: int) -> str:
        """Run the stage with a fault at a call, check what it says and leaves, and run it again; the outcome's name."""
        rehearsal = self.rehearsal
        rehearsal.reset(self.project)
        write_plan(self.plan, self.project, fault, first)
        command = rehearsal.built.server.start(rehearsal.stage.command, self.project, self.plan)
        assert command.wait(TIMEOUT_S), f"it hangs; so far it has printed {command.output()}"
        code, ended = command.status(), time.monotonic()
        with self.noting("lost"):
            rehearsal.check_interrupted(self.project)
        if code == 0:
            with self.noting("silent"):
                rehearsal.check_finished(self.project)
        else:
            with self.noting("unclear"):
                check_message(fault, command.output(), code, self.project)
        with self.noting("lost"):
            run_undisturbed(rehearsal.built.server, rehearsal.stage.command, self.project)
            rehearsal.check_resumed(self.project)
            check_nothing_lives(command, ended)
        return "refused in one line" if code else "unharmed" if count_failed(self.plan) else "finished before"

    @contextlib.contextmanager
    def noting(self, outcome: str) -> Iterator[None]:
        """Note a failed check, so that the other trials are made too."""
        try:
            yield
        except AssertionError as failed:
            self.problems.append(f"{outcome}: {failed}")


def choose_call(calls: int, moment: random.Random) -> int:
    """Choose the first call to fail: half of them early, where a stage prepares its work."""
    return int(calls ** moment.random() - 1 if moment.random() < 0.5 else calls * moment.random())


def check_message(fault: Fault, printed: str, code: int, project: Path) -> None:
    """Check that a person is told in one line which file it is and, on a full disk, which room it needs."""
    assert code == 1, printed
    assert not re.search("Traceback|unexpected|Exception ignored", printed), printed
    errors = [line for line in printed.splitlines() if line.startswith("Error: ")]
    assert errors == printed.splitlines()[-1:], printed
    assert re.search(rf"{re.escape(str(project))}|\b(data|models|reports)\b|\.\w+[/:]|params\.yaml", errors[0]), errors[
        0
    ]
    if fault.name in ("full disk", "quota"):
        assert ROOM.search(errors[0]), errors[0]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_faulty_disk_costs_no_finished_file_and_is_named(
    small: BuiltProject, tmp_path: Path, stage: StageRun
) -> None:
    if small.server.preload is None:
        pytest.skip("needs a C compiler, and Linux")
    runs, moment = FaultyRuns(small, stage, tmp_path), random.Random(f"{stage.name} {TRIALS}")
    # The short form has one trial for each stage; which fault it is differs from stage to stage.
    for fault in FAULTS if TRIALS else moment.sample(FAULTS, 1):
        seen, started = collections.Counter[str](), time.monotonic()
        for _ in range(TRIALS or 1):
            seen[runs.run(fault, choose_call(runs.calls[fault], moment))] += 1
        note(stage.name, fault.name, seen, runs.problems, time.monotonic() - started)
        assert sum(seen.values()) == (TRIALS or 1)
    assert runs.problems == [], "\n".join(runs.problems)


def note(stage: str, fault: str, seen: collections.Counter[str], problems: list[str], seconds: float) -> None:
    """Append a line to the long form's table."""
    if "DISK_FAULTS_TABLE" in os.environ:
        with Path(os.environ["DISK_FAULTS_TABLE"]).open("a", encoding="utf-8") as table:
            counts = ", ".join(f"{count} {name}" for name, count in sorted(seen.items()))
            print(f"| {stage} | {fault} | {counts} | {len(problems)} | {seconds:.0f} |", file=table)
