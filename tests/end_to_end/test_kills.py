"""Every stage is killed at random moments: it leaves the old files, the new ones, or refused ones; resumed, the same.

`KILLS=30` kills each stage so often, and appends a line per stage to the file that `KILLS_TABLE` names.
"""

import collections
import csv
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path

import pytest

from stages.core.tables.decisions import Decision, read_decisions
from stages.core.tables.problems import Problems
from tests.end_to_end.command_server import Command, living_in_session
from tests.end_to_end.conftest import command, commit_all, copy_of_the_repository, edit_params
from tests.end_to_end.stage_runs import (
    SMALL,
    STAGES,
    TARGET,
    BuiltProject,
    Rehearsal,
    StageRun,
    clone,
    digests,
    places,
    run_undisturbed,
    wait_for_commit,
)

LONG = "KILLS" in os.environ
KILLS = int(os.environ.get("KILLS", "1"))
# The stage itself takes seconds; the rest is a machine that does other things too.
TIMEOUT_S = 300.0
# How long workers may outlive the process that started them.
SURVIVAL_S = 10.0

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for processes as only Linux can")


class Trials:
    """Kills of one stage, and what they have come to."""

    def __init__(self, rehearsal: Rehearsal, project: Path) -> None:
        self.rehearsal, self.project = rehearsal, project
        self.seconds = rehearsal.seconds
        self.seen: collections.Counter[str] = collections.Counter()

    def kill_and_resume(self, moment: random.Random, number: int) -> None:
        """Start the stage, kill it, look at what it has left, and run it again to its end."""
        rehearsal = self.rehearsal
        rehearsal.reset(self.project)
        command = rehearsal.built.server.start(rehearsal.stage.command, self.project)
        self._wait(command, moment, number)
        command.kill(whole_group=number % 2 == 0)
        ended = time.monotonic()
        assert command.wait(TIMEOUT_S)
        if command.status() == -signal.SIGKILL:
            self.seen["killed"] += 1
        else:  # quicker than in the rehearsal
            self.seen["too late"] += 1
            self.seconds *= 0.8
        rehearsal.check_interrupted(self.project)
        self.seen["mixed and refused"] += rehearsal.is_mixed(self.project)
        run_undisturbed(rehearsal.built.server, rehearsal.stage.command, self.project)
        rehearsal.check_resumed(self.project)
        check_nothing_lives(command, ended)

    def _wait(self, command: Command, moment: random.Random, number: int) -> None:
        """Of three kills two come at any time, and the second while the outputs are put in place."""
        if number % 3 != 1:
            command.wait(moment.uniform(0.0, self.seconds))
        else:
            wait_for_commit(command, self.project, places(self.rehearsal.before))
            command.wait(moment.uniform(0.0, (1 - self.rehearsal.commit_s / self.rehearsal.seconds) * self.seconds))


def check_nothing_lives(command: Command, ended: float) -> None:
    """Check that neither a process of a killed command nor its shared memory is left after a while."""
    deadline = ended + SURVIVAL_S
    while (left := command.survivors()) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == [], f"processes outlive the command by {SURVIVAL_S} s"
    assert [path.name for path in Path("/dev/shm").glob(f"*[_-]{command.pid}[_-]*")] == []


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_killed_stage_resumes_to_the_same_bytes(small: BuiltProject, tmp_path: Path, stage: StageRun) -> None:
    trials, moment = Trials(Rehearsal(small, stage), tmp_path / "project"), random.Random(f"{stage.name} {KILLS}")
    started = time.monotonic()
    for number in range(5 * KILLS):
        if trials.seen["killed"] < KILLS:
            trials.kill_and_resume(moment, number)
    note(stage.name, trials.seen, time.monotonic() - started)
    assert trials.seen["killed"] == KILLS


def note(stage: str, seen: collections.Counter[str], seconds: float) -> None:
    """Append a line to the long form's table."""
    if "KILLS_TABLE" in os.environ:
        with Path(os.environ["KILLS_TABLE"]).open("a", encoding="utf-8") as table:
            counts = ", ".join(f"{count} {name}" for name, count in sorted(seen.items()))
            print(f"| {stage} | {counts} | {seconds:.0f} |", file=table)


# Two runs at once


@pytest.mark.parametrize(
    "name", ["split", "prepare-backbone", "extract-features", "train-head", "evaluate", "find-outliers"]
)
def test_of_two_runs_at_once_one_finishes_and_the_other_names_it(
    small: BuiltProject, tmp_path: Path, name: str
) -> None:
    stage = next(stage for stage in STAGES if stage.name == name)
    rehearsal, project = Rehearsal(small, stage), tmp_path / "project"
    rehearsal.reset(project)
    both = [small.server.start(stage.command, project) for _ in range(2)]
    assert all(command.wait(TIMEOUT_S) for command in both)
    first, second = sorted(both, key=lambda command: command.status())
    assert (first.status(), second.status()) == (0, 1), first.output() + second.output()
    last = second.output().strip().splitlines()[-1]
    assert last.startswith("Error: ")
    assert f"process {first.pid} on " in last
    assert "Traceback" not in second.output()
    rehearsal.check_resumed(project)


# Decisions of a person


class Reviewer:
    """A review server, and a person at its page."""

    def __init__(self, small: BuiltProject, project: Path) -> None:
        self.command = small.server.start(["review", "--target", TARGET, "--no-browser"], project)
        while (found := re.search(r"http://\S+", self.command.output())) is None:
            assert not self.command.wait(0.01), self.command.output()
        self.url = found.group()

    def decide(self, number: int) -> bool:
        """Decide about one suspect; whether the server has acknowledged it."""
        body = json.dumps({"number": number, "decision": "fine"}).encode()
        origin = "/".join(self.url.split("/")[:3])
        headers = {"Content-Type": "application/json", "Origin": origin}
        try:
            with urllib.request.urlopen(urllib.request.Request(f"{self.url}decisions", body, headers), timeout=60):
                return True
        except (OSError, HTTPException):  # the server was killed meanwhile
            return False

    def decide_all(self, suspects: int) -> list[int]:
        """Decide about one suspect after another; the numbers of those that were acknowledged."""
        return [number for number in range(suspects) if self.decide(number)]


def read_rows(review: Path) -> list[Decision]:
    """The decisions in the file, which must all be readable; their times are left out."""
    problems = Problems()
    rows = [replace(decision, when="") for _, decision in read_decisions(review, problems)]
    assert not problems
    return rows


def test_a_killed_review_has_every_decision_that_it_acknowledged(small: BuiltProject, tmp_path: Path) -> None:
    moment, seen, begun = random.Random(f"review {KILLS}"), collections.Counter[str](), time.monotonic()
    table = csv.DictReader((small.home / "reports" / TARGET / "outliers.csv").open(encoding="utf-8"))
    suspects = len({row["image"] for row in table})
    for number in range(KILLS):
        project = tmp_path / str(number)
        clone(small.home, project)
        before = sorted(os.listdir(project / "data"))
        reviewer = Reviewer(small, project)
        with ThreadPoolExecutor() as person:
            decided = person.submit(reviewer.decide_all, suspects)
            time.sleep(moment.uniform(0.0, 0.01 * suspects))
            reviewer.command.kill(whole_group=number % 2 == 0)
            acknowledged = decided.result()
        assert reviewer.command.status() == -signal.SIGKILL
        seen["killed"] += 1
        seen["decisions acknowledged"] += len(acknowledged)
        assert len(acknowledged) <= len(read_rows(project / "data/review.csv")) <= len(acknowledged) + 1
        assert finish_review(small, project, suspects) == suspects
        assert [name for name in os.listdir(project / "data") if name not in before] == []
    note("review", seen, time.monotonic() - begun)


def finish_review(small: BuiltProject, project: Path, suspects: int) -> int:
    """Make every decision, end the server as a person does, and count the rows."""
    reviewer = Reviewer(small, project)
    assert reviewer.decide_all(suspects) == list(range(suspects))
    os.kill(reviewer.command.pid, signal.SIGTERM)
    assert reviewer.command.wait(TIMEOUT_S)
    assert reviewer.command.status() == 0, reviewer.command.output()
    return len(read_rows(project / "data/review.csv"))


# All stages, as DVC runs them


class Repro:
    """A project under DVC: everything is up to date but the split; in the long form there is nothing yet."""

    def __init__(self, small: BuiltProject, root: Path) -> None:
        self.root, self.before = root, root / "before"
        self.before.mkdir()
        copy_of_the_repository(self.before)
        edit_params(self.before, SMALL)
        command("git", "init", "-q", "-b", "main", cwd=self.before)
        commit_all(self.before, "before")
        self.part = [] if LONG else ["split"]
        if not LONG:
            for folder in ("data", "models", "reports"):
                shutil.rmtree(self.before / folder, ignore_errors=True)
                shutil.copytree(small.home / folder, self.before / folder)
            command("dvc", "commit", "--force", "--with-deps", "split", cwd=self.before)
            edit_params(self.before, {"split.random_state": 1})
        self.after = self.start_again("after")
        started = time.monotonic()
        assert self.run(self.after) == 0, self.log.read_text()
        self.seconds = time.monotonic() - started

    @property
    def log(self) -> Path:
        return self.root / "repro.log"

    def start_again(self, name: str) -> Path:
        """Make a project that is as before."""
        shutil.rmtree(self.root / name, ignore_errors=True)
        return Path(shutil.copytree(self.before, self.root / name, symlinks=True))

    def run(self, project: Path, kill_after_s: float | None = None, *, whole_group: bool = True) -> int:
        """Run `dvc repro` in a session of its own, to its end or until it is killed; its exit code."""
        environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                ["dvc", "repro", *self.part],
                cwd=project, env=environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            return process.wait(kill_after_s or 4 * TIMEOUT_S)
        except subprocess.TimeoutExpired:
            (os.killpg if whole_group else os.kill)(process.pid, signal.SIGKILL)
        code = process.wait()
        while living_in_session(process.pid):  # the stage that DVC had started runs to its end
            time.sleep(0.1)
        return code


def test_a_killed_repro_resumes_to_the_same_bytes(small: BuiltProject, tmp_path: Path) -> None:
    moment, seen, begun = random.Random(f"repro {KILLS}"), collections.Counter[str](), time.monotonic()
    repro = Repro(small, tmp_path)
    project = repro.start_again("project")
    while seen["killed"] < KILLS:
        code = repro.run(project, moment.uniform(0.0, 0.7 * repro.seconds), whole_group=seen["killed"] % 2 == 0)
        seen["killed" if code == -signal.SIGKILL else "too late"] += 1
        if code == 0:
            check_repro(repro, project)
            project = repro.start_again("project")
    assert repro.run(project) == 0, repro.log.read_text()
    check_repro(repro, project)
    note("dvc repro", seen, time.monotonic() - begun)


def check_repro(repro: Repro, project: Path) -> None:
    """Check that every output is that of the undisturbed run, and that DVC has nothing to do."""
    now, wanted = digests(project), digests(repro.after)
    assert now.keys() == wanted.keys()
    assert {name for name in now if now[name] != wanted[name]} == set()
    assert "up to date" in command("dvc", "repro", *repro.part, cwd=project).stdout
