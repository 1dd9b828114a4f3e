"""All heads from one pass of loading are the heads that each target would have got alone."""

import logging
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stages.core.errors import StageError
from stages.core.head.lstm_settings import LSTMSettings
from stages.core.head.recipe import Recipe
from stages.core.head.settings import TrainSettings
from stages.core.parallel import threads_each
from stages.core.records.outputs import adopt
from stages.core.tables.columns import SPLIT_IMAGES
from stages.train.train_head import train_head
from stages.train.train_heads import train_heads
from tests.chain import adopt_features, adopt_project
from tests.conftest import REPOSITORY, run_pipeline
from tests.stages.conftest import Project

MakeProject = Callable[..., Project]
HEAD = LSTMSettings(hidden_size=8, projection=8)
TRAIN = TrainSettings(epochs=3, batch_size=16, lr=0.01)
RECIPE = Recipe(head=HEAD, train=TRAIN)
TARGETS = ["style", "genre", "period"]
FILES = ["head.safetensors", "head.json"]


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    """Three targets, one of them labelled for half of the images only."""
    project = make_project(["dabs", "dots", "glaze"] * 20)
    genres = [name.upper() if row % 2 else "" for row, name in enumerate(project.truth)]
    project.table = project.table.assign(genre=genres, period=[str(row % 2) for row in range(60)])
    project.table.to_csv(project.splits, index=False)
    adopt(project.splits, SPLIT_IMAGES)
    return project


def summaries_of(
    project: Project, folder: str, n_jobs: int = 1, targets: list[str] = TARGETS, recipe: Recipe = RECIPE
) -> Iterator[str]:
    root = project.splits.parent / folder
    return train_heads(
        targets=targets,
        recipe=recipe,
        features=project.features,
        splits=project.splits,
        heads=root / "heads",
        work=root / "work",
        n_jobs=n_jobs,
    )


def train_all(project: Project, folder: str, n_jobs: int = 1, targets: list[str] = TARGETS) -> Path:
    assert len(list(summaries_of(project, folder, n_jobs, targets))) == len(targets)
    return project.splits.parent / folder / "heads"


def train_alone(project: Project, target: str, folder: Path | None = None, settings: TrainSettings = TRAIN) -> Path:
    folder = folder or project.splits.parent / "alone" / target
    train_head(
        target=target,
        recipe=Recipe(head=HEAD, train=settings),
        features=project.features,
        splits=project.splits,
        destination=folder,
        work=folder / "work",
    )
    return folder


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_every_head_is_the_one_that_it_would_be_alone(project: Project, n_jobs: int) -> None:
    heads = train_all(project, "together", n_jobs)
    for target in TARGETS:
        alone = train_alone(project, target)
        for file in FILES:
            assert (heads / target / file).read_bytes() == (alone / file).read_bytes()
        curve = Path("log", "plots", "metrics", "val", "f1_macro.tsv")
        assert len((heads / target / curve).read_text().splitlines()) == 4


KEPT = " (trained before the interruption)"


def interrupt(project: Project) -> Path:
    """Stop the training of all heads after the first one; the file of its weights."""
    summaries = summaries_of(project, "together")
    assert next(summaries).startswith("style: ")
    summaries.close()  # type: ignore[attr-defined]
    return project.splits.parent / "together" / "heads" / "style" / "head.safetensors"


def test_a_killed_run_keeps_the_heads_that_it_has_finished(project: Project) -> None:
    root = project.splits.parent / "together"
    code = (
        "import sys; from pathlib import Path; from stages.core.head.recipe import Recipe;"
        "from stages.train.train_heads import train_heads\n"
        "root = Path(sys.argv[1])\n"
        "for summary in train_heads(targets=sys.argv[3:], recipe=Recipe.model_validate_json(sys.argv[2]),"
        " features=root / 'features', splits=root / 'splits.csv', heads=root / 'together/heads',"
        " work=root / 'together/work'): print(summary, flush=True)"
    )
    arguments = [sys.executable, "-c", code, str(root.parent), RECIPE.model_dump_json(), *TARGETS]
    with subprocess.Popen(arguments, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        first = process.stdout.readline().strip()
        process.kill()
    assert process.returncode == -signal.SIGKILL
    written = (root / "heads" / "style" / "head.safetensors").stat().st_ino
    resumed = list(summaries_of(project, "together"))
    assert resumed[0] == first + KEPT
    assert [summary.split(":")[0] for summary in resumed] == TARGETS
    assert (root / "heads" / "style" / "head.safetensors").stat().st_ino == written
    for target in TARGETS:
        alone = train_alone(project, target)
        assert (root / "heads" / target / "head.json").read_bytes() == (alone / "head.json").read_bytes()
    assert list((root / "work").rglob("*")) == []


def test_a_finished_run_is_not_resumed_but_repeated(project: Project) -> None:
    train_all(project, "together")
    assert not any(summary.endswith(KEPT) for summary in summaries_of(project, "together"))


@pytest.mark.parametrize("change", ["settings", "labels", "weights", "another head", "a note of another kind"])
def test_a_finished_head_is_trained_again_if_anything_about_it_changed(project: Project, change: str) -> None:
    weights, recipe = interrupt(project), RECIPE
    if change == "settings":
        recipe = Recipe(head=HEAD, train=TRAIN.model_copy(update={"epochs": 2}))
    elif change == "labels":
        rows = project.table["split"] == "train"
        project.table.loc[project.table.index[rows][0], "style"] = "dots"
        project.table.to_csv(project.splits, index=False)
        adopt(project.splits, SPLIT_IMAGES)
    elif change == "weights":
        weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    elif change == "another head":
        train_alone(project, "style", weights.parent, TRAIN.model_copy(update={"epochs": 2}))
    else:
        (project.splits.parent / "together" / "work" / "style" / "finished.json").write_text("[]")
    assert not any(summary.endswith(KEPT) for summary in summaries_of(project, "together", recipe=recipe))


def test_features_are_loaded_once_for_all(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        train_all(project, "together")
    assert caplog.text.count("MiB of features in memory") == 1
    assert caplog.text.count("Training ") == 3


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_target_that_cannot_be_trained_does_not_keep_the_others(project: Project, n_jobs: int) -> None:
    project.table.assign(genre="one").to_csv(project.splits, index=False)
    adopt(project.splits, SPLIT_IMAGES)
    with pytest.raises(StageError, match=r"^genre: two or more classes are needed .* there is only 'one'$"):
        train_all(project, "together", n_jobs)
    heads = project.splits.parent / "together" / "heads"
    assert {path.parent.name for path in heads.glob("*/head.json")} == {"style", "period"}


def test_a_column_that_is_missing_is_said_before_anything_is_trained(project: Project) -> None:
    with pytest.raises(StageError, match="no label column 'school'"):
        train_all(project, "together", targets=[*TARGETS, "school"])
    assert not (project.splits.parent / "together").exists()


def test_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: 16)
    assert [threads_each(workers) for workers in (1, 3, 16, 40)] == [16, 5, 1, 1]


def test_the_commands_train_all_targets_and_tune_one(project: Project, tmp_path: Path) -> None:
    """The words a person types: `all`, --n-jobs, --trials, --write; comments of params.yaml stay."""
    (tmp_path / "data").mkdir()
    project.features.rename(tmp_path / "data" / "features")
    project.splits.rename(tmp_path / "data" / "splits.csv")
    adopt_project(tmp_path)
    adopt_features(tmp_path / "data" / "features")
    settings = [
        "targets: [style, period]   # two of them",
        "head: {hidden_size: 8, projection: 8}",
        "train:",
        "  epochs: 2",
        "  lr: 0.00001               # too low",
        "dataset: {labels: null}     # none",
        "tune:",
        "  space: {head: {}, train: {lr: [0.01, 0.02]}}",
    ]
    (tmp_path / "params.yaml").write_text("\n".join(settings) + "\n")
    done = run_pipeline("train-head", "--target", "all", "--n-jobs", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(line.split(":")[0] for line in done.stdout.splitlines()) == ["period", "style"]
    done = run_pipeline("tune", "--target", "style", "--trials", "2", "--n-jobs", "1", "--write", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "style: 2 trials" in done.stdout
    assert "params.yaml now holds them" in done.stdout
    written = (tmp_path / "params.yaml").read_text().splitlines()
    changed = [(old, new) for old, new in zip(settings, written, strict=True) if old != new]
    assert len(changed) == 1
    assert changed[0][1].split() in (["lr:", "0.01", "#", "too", "low"], ["lr:", "0.02", "#", "too", "low"])
