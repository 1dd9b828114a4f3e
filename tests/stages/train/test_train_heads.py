"""All heads from one pass of loading are the heads that each target would have got alone."""

import logging
from collections.abc import Callable
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
from tests.conftest import run_pipeline
from tests.stages.conftest import Project

MakeProject = Callable[..., Project]
HEAD = LSTMSettings(hidden_size=8, projection=8)
TRAIN = TrainSettings(epochs=3, batch_size=16, lr=0.01)
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


def train_all(project: Project, folder: str, n_jobs: int = 1, targets: list[str] = TARGETS) -> Path:
    root = project.splits.parent / folder
    summaries = train_heads(
        targets=targets,
        recipe=Recipe(head=HEAD, train=TRAIN),
        features=project.features,
        splits=project.splits,
        heads=root / "heads",
        work=root / "work",
        n_jobs=n_jobs,
    )
    assert len(list(summaries)) == len(targets)
    return root / "heads"


def train_alone(project: Project, target: str) -> Path:
    folder = project.splits.parent / "alone" / target
    train_head(
        target=target,
        recipe=Recipe(head=HEAD, train=TRAIN),
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
