"""The search: on validation only, the same for the same seed, none of it lost by a kill, its winner written down."""

import contextlib
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from stages.core.errors import StageError
from stages.core.head.lstm_settings import LSTMSettings
from stages.core.head.recipe import Recipe
from stages.core.head.settings import TrainSettings
from stages.core.records.outputs import adopt
from stages.core.tables.columns import SPLIT_IMAGES
from stages.tune.optuna_study import contains, lock_search, round_values
from stages.tune.settings import Range, SearchSpace, TuneSettings
from stages.tune.tune_head import SearchResult, tune_head
from tests.conftest import REPOSITORY
from tests.stages.conftest import Project

MakeProject = Callable[..., Project]
HEAD = LSTMSettings(hidden_size=4, projection=8)
TRAIN = TrainSettings(epochs=4, batch_size=16, lr=0.01)
SPACE = SearchSpace(
    head={"hidden_size": [4, 6, 8], "dropout": Range(low=0.0, high=0.5)},
    train={"lr": Range(low=1e-5, high=0.1, log=True), "batch_size": Range(low=8, high=32, step=8)},
)
SETTINGS = TuneSettings(trials=8, startup_trials=3, pruning_warmup_epochs=1, space=SPACE)


@pytest.fixture
def project(make_project: MakeProject) -> Project:
    return make_project(["dabs", "dots", "glaze"] * 20, noise=4.0)


def tune(project: Project, n_jobs: int = 1, train: TrainSettings = TRAIN, **settings: object) -> SearchResult:
    return tune_head(
        target="style",
        settings=SETTINGS.model_copy(update=settings),
        recipe=Recipe(head=HEAD, train=train),
        features=project.features,
        splits=project.splits,
        work=project.work,
        n_jobs=n_jobs,
    )


def trials(project: Project) -> pd.DataFrame:
    """The trials in the order of the search, without what depends on the clock."""
    table = pd.read_csv(project.work / "trials.csv").drop(columns="seconds")
    return table.sort_values("trial", ignore_index=True)


def test_a_search_finds_better_settings_than_it_began_with(project: Project) -> None:
    found = tune(project, train=TRAIN.model_copy(update={"lr": 1e-5}), trials=12)
    table = trials(project).set_index("trial")
    assert len(table) == 12
    assert table.loc[0, "train.lr"] == 1e-5  # the first trial has the settings as they are
    assert table["f1_macro"].max() > table.loc[0, "f1_macro"] + 0.05
    assert found.better
    assert found.values == table.loc[table["f1_macro"].idxmax()][list(found.values)].to_dict()


def test_the_same_seed_gives_the_same_trials_and_another_seed_others(project: Project) -> None:
    tables = []
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        project.work = project.splits.parent / folder
        tune(project, random_state=seed)
        tables.append(trials(project))
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert (tables[0]["train.lr"] != tables[2]["train.lr"]).any()


def test_a_trial_is_the_training_that_train_head_would_do(project: Project) -> None:
    """Otherwise the winner would not be what the search saw."""
    from stages.train.train_head import train_head

    tune(project, trials=2)
    row = trials(project).loc[1]
    summary = train_head(
        target="style",
        recipe=Recipe(
            head=HEAD.model_copy(
                update={"hidden_size": int(row["head.hidden_size"]), "dropout": float(row["head.dropout"])}
            ),
            train=TRAIN.model_copy(update={"lr": float(row["train.lr"]), "batch_size": int(row["train.batch_size"])}),
        ),
        features=project.features,
        splits=project.splits,
        destination=project.head,
        work=project.work / "training",
    )
    assert f"validation accuracy {row['accuracy']:.3f}, macro F1 {row['f1_macro']:.3f}" in summary


def test_the_test_split_has_no_part_in_the_search(project: Project) -> None:
    tune(project)
    expected = trials(project)
    table = project.table.copy()
    table.loc[table["split"] == "test", "style"] = "dabs"
    table.to_csv(project.splits, index=False)
    adopt(project.splits, SPLIT_IMAGES)
    project.work = project.work.with_name("other")
    tune(project)
    pd.testing.assert_frame_equal(trials(project), expected)


def test_more_trials_go_on_where_fewer_ended(project: Project) -> None:
    tune(project)
    expected = trials(project)
    project.work = project.work.with_name("other")
    tune(project, trials=3)
    assert len(trials(project)) == 3
    tune(project)
    pd.testing.assert_frame_equal(trials(project), expected)


KILLED = """
import sys
from pathlib import Path
from stages.core.head.recipe import Recipe
from stages.tune.tune_head import tune_head
from stages.tune.settings import TuneSettings
settings, recipe, features, splits, work, n_jobs = sys.argv[1:]
if __name__ == "__main__":
    tune_head(
        target="style", settings=TuneSettings.model_validate_json(settings),
        recipe=Recipe.model_validate_json(recipe), features=Path(features), splits=Path(splits), work=Path(work),
        n_jobs=int(n_jobs),
    )
"""


def finished(project: Project) -> int:
    """Trials that the search has finished so far, as its file has it."""
    path = project.work / "trials.sqlite"
    if not path.exists():
        return 0
    with sqlite3.connect(path, timeout=30) as connection:
        try:
            return connection.execute("SELECT count(*) FROM trials WHERE state IN ('COMPLETE', 'PRUNED')").fetchone()[0]
        except sqlite3.OperationalError:  # no tables yet
            return 0


def kill_a_search(project: Project, n_jobs: int, train: TrainSettings) -> None:
    """Run a search in a process of its own; SIGKILL while a trial after the second is at work."""
    command = [sys.executable, "-c", KILLED, SETTINGS.model_dump_json()]
    command += [
        Recipe(head=HEAD, train=train).model_dump_json(),
        *map(str, (project.features, project.splits, project.work, n_jobs)),
    ]
    with subprocess.Popen(command, cwd=REPOSITORY) as process:
        while process.poll() is None and finished(project) < 2:
            time.sleep(0.02)
        time.sleep(0.1)
        process.kill()
    assert process.returncode == -signal.SIGKILL


LONGER = TRAIN.model_copy(update={"epochs": 15, "patience": 15})


def test_a_killed_search_goes_on_to_the_same_trials(project: Project) -> None:
    tune(project, train=LONGER)
    expected = trials(project)
    project.work = project.work.with_name("killed")
    kill_a_search(project, n_jobs=1, train=LONGER)
    done = finished(project)
    assert 2 <= done < 8
    tune(project, train=LONGER)
    assert finished(project) == 8
    pd.testing.assert_frame_equal(trials(project), expected)


def test_a_killed_search_side_by_side_finishes_the_rest(project: Project) -> None:
    kill_a_search(project, n_jobs=2, train=LONGER)
    tune(project, n_jobs=2, train=LONGER)
    table = trials(project)
    assert table["trial"].tolist() == list(range(8))
    assert len(table.drop_duplicates(["train.lr", "head.dropout"])) == 8


def test_trials_side_by_side_score_as_they_would_alone(project: Project) -> None:
    """The first, and those drawn before the search learns anything, are the same ones."""
    tune(project, trials=3, pruning_warmup_epochs=4)
    alone = trials(project)
    project.work = project.work.with_name("other")
    tune(project, n_jobs=2, trials=3, pruning_warmup_epochs=4)
    pd.testing.assert_frame_equal(trials(project), alone)


def test_bad_trials_are_pruned(project: Project) -> None:
    tune(project, trials=16, train=LONGER)
    table = trials(project)
    assert table["pruned"].any()
    assert table[table["pruned"]]["f1_macro"].max() < table["f1_macro"].max()


def test_a_trial_that_diverges_counts_as_the_worst(project: Project) -> None:
    space = SearchSpace(head={}, train={"lr": [0.001, 10.0]})
    off = {"clip_norm": 0.0, "schedule": "plateau", "weight_decay": 10.0, "epochs": 15, "patience": 15}
    found = tune(project, trials=5, space=space, train=TRAIN.model_copy(update=off))
    assert found.values == {"train.lr": 0.001}
    assert (trials(project)["f1_macro"] == 0.0).any()


def test_other_settings_are_another_search(project: Project) -> None:
    tune(project, trials=2)
    tune(project, trials=3, train=TRAIN.model_copy(update={"mixup": 0.0}))
    assert len(trials(project)) == 3
    assert finished(project) == 5


def test_two_searches_of_a_target_at_once_are_refused(project: Project) -> None:
    with lock_search(project.work), pytest.raises(StageError, match="another `pipeline tune` of this target"):
        tune(project)


def restore(path: Path, content: bytes) -> None:
    """Put a database back as it was."""
    for companion in ("-wal", "-shm"):
        path.with_name(path.name + companion).unlink(missing_ok=True)
    path.write_bytes(content)


def flip(content: bytes, rng: np.random.Generator) -> bytes:
    """Flip one bit of a byte that is not zero: most others belong to no value."""
    flipped = bytearray(content)
    flipped[rng.choice(np.flatnonzero(np.frombuffer(content, np.uint8)))] ^= 1 << rng.integers(8)
    return bytes(flipped)


def test_a_flipped_bit_in_the_file_changes_no_result(project: Project) -> None:
    """A damaged trial runs again, to the same score; `MUTANTS=5000` is the long form."""
    path = project.work / "trials.sqlite"
    tune(project, trials=4)
    expected, intact = trials(project), path.read_bytes()
    for seed in range(max(int(os.environ.get("MUTANTS", "0")) // 50, 12)):
        restore(path, flip(intact, np.random.default_rng(seed)))
        tune(project, trials=4)
        pd.testing.assert_frame_equal(trials(project), expected)


def change(project: Project, statement: str) -> None:
    """Change what the file of the search holds."""
    with contextlib.closing(sqlite3.connect(project.work / "trials.sqlite")) as connection:
        connection.execute(statement)
        connection.commit()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE trial_values SET value = value + 0.1",
        "UPDATE trial_params SET param_value = param_value * 0.5 WHERE param_name = 'train.lr'",
        "UPDATE trial_intermediate_values SET intermediate_value = 0.9 WHERE step = 1",
        "UPDATE trial_user_attributes SET value_json = replace(value_json, '\"accuracy\": 0.', '\"accuracy\": 0.9')",
        "UPDATE studies SET study_name = study_name || 'x'",
        "UPDATE study_directions SET direction = 'MINIMIZE'",
        "UPDATE trials SET state = 'UNKNOWN'",
        "UPDATE trial_user_attributes SET value_json = '{'",
        "DELETE FROM trial_params",
        "DROP TABLE trial_params",
    ],
)
def test_a_changed_value_in_the_file_is_never_taken(project: Project, damage: str) -> None:
    tune(project, trials=4)
    expected = trials(project)
    change(project, damage)
    tune(project, trials=4)
    pd.testing.assert_frame_equal(trials(project), expected)


def test_a_dropped_trial_is_reported(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    tune(project, trials=4)
    change(project, "UPDATE trial_values SET value = value + 0.1 WHERE trial_id = 2")
    tune(project, trials=4)
    assert "1 of 4 trials do not match their digests: they are dropped and run again" in caplog.text


def test_a_file_that_is_no_database_is_set_aside(project: Project, caplog: pytest.LogCaptureFixture) -> None:
    project.work.mkdir(parents=True)
    (project.work / "trials.sqlite").write_bytes(b"not a database" * 100)
    tune(project, trials=2)
    assert len(trials(project)) == 2
    assert (project.work / "trials.sqlite.damaged-1").read_bytes() == b"not a database" * 100
    assert "trials.sqlite is damaged (file is not a database): it is set aside" in caplog.text


def test_the_table_and_the_page_show_the_trials(project: Project) -> None:
    found = tune(project)
    best = trials(project)["f1_macro"].max()
    assert f"{best:.3f}" in found.text
    assert re.search(r"On 12 val images an accuracy has a 95 % interval of ± 0\.\d", found.text)
    page = (project.work / "tuning.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 2
    assert "Score of every trial" in page
    assert "Importance of the settings" in page
    assert "train.weight_decay" not in page
    assert "train.lr" in page
    assert not re.search(r"<script|https?://(?!www\.w3\.org)", page)


def test_numbers_are_rounded_and_stay_in_the_range() -> None:
    space = {"train.lr": Range(low=0.0012345, high=1.0), "head.hidden_size": [4, 8]}
    assert round_values({"train.lr": 0.0123456, "head.hidden_size": 8}, space) == {
        "train.lr": 0.0123,
        "head.hidden_size": 8,
    }
    assert round_values({"train.lr": 0.0012346, "head.hidden_size": 4}, space)["train.lr"] == 0.0012345


def test_a_space_knows_what_is_in_it() -> None:
    space = SPACE.flat()
    inside = {"head.hidden_size": 4, "head.dropout": 0.2, "train.lr": 0.01, "train.batch_size": 16}
    assert contains(space, inside)
    for name, value in (("head.hidden_size", 5), ("head.dropout", 0.6), ("train.lr", 1.0), ("train.batch_size", 12)):
        assert not contains(space, inside | {name: value})


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"train": {"rate": [1, 2]}}, "train.rate is no setting; train has batch_size"),
        ({"train": {"lr": {"low": 0.1, "high": 100.0}}}, "train.lr: should be less than or equal to 10"),
        ({"train": {"lr": {"low": 0.1, "high": 0.01}}}, "must be below high"),
        ({"train": {"lr": {"low": 0.0, "high": 0.01, "log": True}}}, "log needs low above 0"),
        ({"head": {"readout": ["mean", "median"]}}, "head.readout: should be 'last' or 'mean'"),
        ({"head": {"dropout": []}}, "head.dropout must list one or more"),
        ({"train": {"random_state": [0, 1]}}, "train.random_state cannot be searched"),
        ({"head": {}, "train": {}}, "at least one key"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused_by_its_key(space: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)):
        TuneSettings.model_validate({"space": space})


def test_features_that_are_no_numbers_are_refused_with_the_image(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stages.core.features.placement import CachedFeatures

    project = make_project(["dabs", "dots", "glaze"] * 10)
    row = int(np.flatnonzero(project.table["split"] == "train")[0])
    read = CachedFeatures.__getitem__

    def spoiled(self: CachedFeatures, index: object) -> np.ndarray:
        rows, values = np.atleast_1d(index[0] if isinstance(index, tuple) else index), read(self, index)
        values[rows == row] = np.nan
        return values

    monkeypatch.setattr(CachedFeatures, "__getitem__", spoiled)
    with pytest.raises(StageError, match=f"features of image '{row:04d}.jpg' are NaN or infinite"):
        tune(project)
