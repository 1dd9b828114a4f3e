"""Git revisions and DVC experiments are compared from git and DVC's cache; the working tree stays as it is."""

import shutil
from pathlib import Path

import pytest

from stages.core.errors import StageError
from tests.end_to_end.conftest import command, commit_all
from tests.stages.compare.conftest import Runs

DVC_YAML = """
stages:
  evaluate:
    cmd: cp -r runs/${run}/data runs/${run}/models runs/${run}/reports .
    params: [run]
    outs:
      - data/splits.csv
      - data/records/split.json
      - models/heads/style/head.json
      - models/heads/style/records/train.json
      - reports/style/predictions.csv
      - reports/style/records/evaluate.json
    metrics:
      - reports/style/metrics.json
"""
IGNORED = "/data/\n/models/\n/reports/\n/runs/\n.gitconfig-test\n"


@pytest.fixture(scope="module")
def committed(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose commit holds the run `one`, and an experiment the run `two`."""
    folder = tmp_path_factory.mktemp("repository") / "project"
    shutil.copytree(trained, folder / "runs")
    for name, text in {"dvc.yaml": DVC_YAML, "params.yaml": "run: one\n", ".gitignore": IGNORED}.items():
        (folder / name).write_text(text, encoding="utf-8")
    command("git", "init", "-q", "-b", "main", cwd=folder)
    for key, value in {"user.name": "t", "user.email": "t@example.org"}.items():
        command("git", "config", key, value, cwd=folder)
    command("dvc", "init", "-q", cwd=folder)
    command("dvc", "repro", "-q", cwd=folder)
    commit_all(folder, "one")
    command("dvc", "exp", "run", "-q", "-S", "run=two", "-n", "better", cwd=folder)
    return folder


def test_a_revision_and_an_experiment_give_what_their_folders_give(committed: Path) -> None:
    runs = Runs(committed)
    before = {path: path.read_bytes() for path in committed.rglob("*") if path.is_file() and ".dvc" not in path.parts}
    runs.compare("runs/one", "runs/two")
    of_folders = runs.summary()
    text = runs.compare("main", "better")
    of_revisions = runs.summary()
    assert {key: found for key, found in of_revisions.items() if key not in ("a", "b")} == {
        key: found for key, found in of_folders.items() if key not in ("a", "b")
    }
    assert "train.random_state 1 → 2" in of_revisions["settings_words"]
    assert "A is main (revision " in text
    assert {path: path.read_bytes() for path in before} == before
    # The experiment left its results in the working tree.
    assert "A and B predict the same class for every image" in runs.compare("better", "workspace")


def test_a_name_that_is_nothing_is_refused_with_where_to_look(committed: Path) -> None:
    with pytest.raises(
        StageError, match=r"B: 'bettr' is no folder, and no git revision or DVC experiment .*`dvc exp list`"
    ):
        Runs(committed).compare("main", "bettr")


def test_results_that_are_damaged_or_not_in_the_cache_are_refused(committed: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(committed, tmp_path / "copy", symlinks=True))
    wanted = (copy / "reports/style/predictions.csv").read_bytes()
    (cached,) = (
        path for path in (copy / ".dvc/cache/files").rglob("*") if path.is_file() and path.read_bytes() == wanted
    )
    cached.chmod(0o644)
    cached.write_bytes(wanted.replace(b"dots", b"dabs", 1))
    with pytest.raises(
        StageError, match=r"B, revision \w{7} of 'better': reports/style/predictions.csv is not what `pipeline evaluate"
    ):
        Runs(copy).compare("main", "better")
    cached.unlink()
    with pytest.raises(
        StageError, match=r"B, revision \w{7} of 'better': its results are not in DVC's cache .*`dvc fetch"
    ):
        Runs(copy).compare("main", "better")
