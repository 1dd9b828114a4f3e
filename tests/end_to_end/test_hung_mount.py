"""The disk of the images stops answering, as a network mount does whose server is gone: no command waits for it."""

import time
from pathlib import Path

import pytest

from tests.end_to_end.disk_faults import HUNG, count_failed, write_plan
from tests.end_to_end.stage_runs import TARGET, BuiltProject, clone
from tests.end_to_end.test_kills import check_nothing_lives

TIMEOUT_S = 1.0
# Of a stage with a few dozen images, of which each may take TIMEOUT_S and 3 s more.
LONGEST_S = 60.0
COMMANDS = {
    "ingest": "ingest",
    "clean": "clean",
    "prepare-backbone": "prepare-backbone",
    "extract-features": "extract-features --set features.random_state=1",
    "find-outliers": f"find-outliers --target {TARGET}",
    "report": "report",
    "predict": "predict data/demo/images",
}


@pytest.mark.parametrize(
    ("command", "first"), [*((name, 0) for name in COMMANDS), ("clean", 9), ("extract-features", 9)]
)
def test_no_command_waits_for_a_disk_that_does_not_answer(
    small: BuiltProject, tmp_path: Path, command: str, first: int
) -> None:
    if small.server.preload is None:
        pytest.skip("needs a C compiler, and Linux")
    project, plan = tmp_path / "project", tmp_path / "plan"
    clone(small.home, project)
    picture = sorted((project / "data/demo/images").rglob("*.jpg"))[0]
    arguments = COMMANDS[command].replace("data/demo/images", str(picture.relative_to(project)))
    write_plan(plan, project / "data/demo/images", HUNG, first)
    limits = ["--set", f"clean.timeout_s={TIMEOUT_S}", "--set", f"dataset.timeout_s={TIMEOUT_S}"]
    running = small.server.start([*arguments.split(), *limits], project, plan)
    ended = running.wait(LONGEST_S)
    over = time.monotonic()
    running.kill(whole_group=True)
    assert ended, f"it waits; so far it has printed {running.output()}"
    if count_failed(plan):
        assert running.status() == 1, running.output()
        last = running.output().strip().splitlines()[-1]
        assert "data/demo/images does not answer" in last or "1 of 1 files could not be read" in last
    else:  # it looks at fewer files
        assert running.status() == 0, running.output()
    assert "Traceback" not in running.output()
    check_nothing_lives(running, over)
