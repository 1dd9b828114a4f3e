"""Whatever is wrong with labels or features is said in one line with its fix, or handled and said."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from cache import FeatureStore, publish
from stages.core.errors import StageError
from stages.core.head.fit import NotFiniteError, fit_head
from stages.core.head.lstm import LSTMHead
from stages.core.head.lstm_settings import LSTMSettings
from stages.core.head.recipe import Recipe
from stages.core.head.settings import TrainSettings
from stages.core.head.training_data import TrainingData
from stages.core.records.outputs import adopt
from stages.core.tables.columns import MANIFEST, SPLIT_IMAGES
from stages.evaluate.evaluate_head import evaluate_head
from stages.evaluate.settings import EvaluateSettings
from stages.outliers.find_outliers import find_outliers
from stages.outliers.settings import OutlierSettings
from stages.train.train_head import train_head
from tests.chain import adopt_features
from tests.stages.conftest import SHAPE, Project, made_up_features, plain_lstm

MakeProject = Callable[..., Project]
CLASSES = ["dabs", "dots", "glaze"]


def train(project: Project, manifest: Path | None = None) -> str:
    return train_head(
        target="style",
        recipe=Recipe(head=LSTMSettings(hidden_size=8), train=TrainSettings(epochs=2, batch_size=16, lr=0.01)),
        features=project.features,
        splits=project.splits,
        destination=project.head,
        work=project.work,
        manifest=manifest,
    )


def evaluate(project: Project) -> dict:
    evaluate_head(
        target="style",
        settings=EvaluateSettings(resamples=100),
        features=project.features,
        splits=project.splits,
        head=project.head,
        destination=project.reports,
    )
    return json.loads((project.reports / "metrics.json").read_text())


def spoil(project: Project, image: str, value: float) -> None:
    """Publish the project's features again, one number of one image replaced."""
    values = made_up_features(project.truth, 1.0, 0)
    values[int(image[:4]), 0, 2, 5] = value
    store = FeatureStore(project.features.parent / "spoiled", {"made up with seed": 0}, SHAPE)
    keys = project.table["sha256"].tolist()
    with store.writer() as writer:
        writer.append(keys, values)
    publish(store, keys, project.table["image"].tolist(), project.features)
    adopt_features(project.features)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("split", ["train", "val"])
def test_features_that_are_no_numbers_are_refused_with_the_image(
    make_project: MakeProject, value: float, split: str
) -> None:
    project = make_project(CLASSES * 10)
    image = project.table.loc[project.table["split"] == split, "image"].iloc[-1]
    spoil(project, image, value)
    with pytest.raises(StageError, match=rf"features of image '{image}' are NaN or infinite: .*extract-features"):
        train(project)
    assert not (project.head / "head.json").exists()


def test_a_test_image_without_numbers_is_refused_by_evaluate_and_outliers(make_project: MakeProject) -> None:
    project = make_project(CLASSES * 10)
    image = project.table.loc[project.table["split"] == "test", "image"].iloc[-1]
    spoil(project, image, np.nan)
    train(project)  # which does not look at the test split
    with pytest.raises(StageError, match=f"features of image '{image}' are NaN or infinite"):
        evaluate(project)
    with pytest.raises(StageError, match=f"features of image '{image}' are NaN or infinite"):
        find_outliers(
            target="style", settings=OutlierSettings(folds=2), features=project.features, splits=project.splits,
            head=project.head, destination=project.reports,
        )  # fmt: skip


def test_the_row_without_numbers_is_the_one_named() -> None:
    features = made_up_features(CLASSES * 4, 1.0, 0)
    features[7, 1, 0, 0] = np.inf
    with pytest.raises(NotFiniteError) as error:
        fit_head(
            TrainingData(features, np.array([0, 1, 2] * 4), 3, train=np.arange(2, 12), val=np.arange(2)),
            Recipe(head=LSTMSettings(hidden_size=4), train=TrainSettings(epochs=1)),
            device=torch.device("cpu"),
        )
    assert error.value.row == 7


def test_one_training_image_is_refused(make_project: MakeProject) -> None:
    project = make_project(["dabs", "dots", "dabs"], splits=["train", "val", "test"])
    with pytest.raises(StageError, match=r"two or more classes are needed in the train split .* only 'dabs'"):
        train(project)


def test_one_training_image_per_class_is_enough(make_project: MakeProject) -> None:
    splits = ["train", "train", *["val", "test"] * 4]
    project = make_project(["dabs", "dots", *["dabs", "dabs", "dots", "dots"] * 2], splits=splits)
    train(project)
    metrics = evaluate(project)
    assert metrics["train"]["n"] == 2
    assert all(np.isfinite(metrics["test"][measure]) for measure in ("accuracy", "log_loss", "accuracy_low", "ece"))


def test_a_channel_that_stands_still_in_train_does_not_drown_the_others() -> None:
    head = LSTMHead(plain_lstm(hidden_size=3), channels=2, classes=2).eval()
    head.set_input_statistics(torch.tensor([0.0, 0.0]), torch.tensor([0.0, 1.0]))
    assert head.normalise(torch.tensor([[[0.5, 0.5]]])).abs().max() == 0.5


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_class_that_a_split_lacks_is_said_and_scored_where_it_is(
    make_project: MakeProject, split: str, caplog: pytest.LogCaptureFixture
) -> None:
    splits = ["train", "train", "val", "test"] * 15
    labels = CLASSES * 20
    for row, name in enumerate(splits):
        if name == split and labels[row] == "glaze":
            labels[row] = "dots"
    project = make_project(labels, splits=splits)
    train(project)
    assert "class 'glaze' has 15 images, none in val or test: it is learned but not fully scored" in caplog.text
    assert evaluate(project)[split]["n"] == 15
    assert evaluate(project)[split]["classes"] == 2


def test_a_label_that_most_images_lack_is_said_once_by_train_head(
    make_project: MakeProject, caplog: pytest.LogCaptureFixture
) -> None:
    labels = CLASSES * 20
    labels[30:] = [""] * 30
    labels[0] = ""
    project = make_project(CLASSES * 20, labels=labels)
    assert train(project).startswith("style (29 of 60 images have a label): best of ")
    evaluate(project)
    assert "have a label" not in caplog.text
    assert "have a label" not in train(make_project(CLASSES * 20, folder="labelled"))


def test_labels_that_changed_since_the_split_are_refused_with_the_fix(make_project: MakeProject) -> None:
    project = make_project(CLASSES * 10)
    manifest = project.splits.with_name("manifest.csv")
    train(project, manifest)  # none there: nothing to compare
    labels = project.table[["image", "style"]]
    labels.to_csv(manifest, index=False)
    adopt(manifest, MANIFEST)
    train(project, manifest)
    changed = labels.assign(style=["dots", "dabs", *labels["style"][2:]])
    changed.to_csv(manifest, index=False)
    adopt(manifest, MANIFEST)
    with pytest.raises(StageError, match=r"labels of 2 images changed since the split, the first is '0000\.jpg' \('dabs' in .*splits\.csv, 'dots' in .*manifest\.csv\): run `pipeline clean` and `pipeline split`"):  # fmt: skip # noqa: E501
        train(project, manifest)
    labels[1:].to_csv(manifest, index=False)
    adopt(manifest, MANIFEST)
    with pytest.raises(StageError, match=r"labels of 1 images changed .* not there in .*manifest\.csv"):
        train(project, manifest)
    labels.rename(columns={"style": "period"}).to_csv(manifest, index=False)
    adopt(manifest, MANIFEST)
    with pytest.raises(StageError, match="no label column 'style'; it has"):
        train(project, manifest)


@pytest.mark.parametrize("column", ["style", "split"])
def test_a_head_of_another_split_or_other_labels_is_not_scored(make_project: MakeProject, column: str) -> None:
    """A head must not be tested on what it was trained on."""
    project = make_project(CLASSES * 10)
    train(project)
    table = project.table.copy()
    first, other = table.index[table["split"] == "train"][0], table.index[table["split"] == "test"][0]
    table.loc[[first, other], column] = table.loc[[other, first], column].to_numpy() if column == "split" else "dots"
    if column == "style":
        assert (table[column] != project.table[column]).any()
    table.to_csv(project.splits, index=False)
    adopt(project.splits, SPLIT_IMAGES)
    with pytest.raises(StageError, match="another split or other labels of style than its head was trained on: run"):
        evaluate(project)


def test_a_label_of_another_target_changes_nothing(make_project: MakeProject) -> None:
    project = make_project(CLASSES * 10)
    train(project)
    pd.read_csv(project.splits, dtype=str).assign(genre="new").to_csv(project.splits, index=False)
    adopt(project.splits, SPLIT_IMAGES)
    assert evaluate(project)["test"]["n"] == 6


def test_the_spoiled_cache_is_one_that_the_cache_itself_finds_sound(make_project: MakeProject) -> None:
    """Otherwise the tests above would see the cache's own refusal."""
    project = make_project(CLASSES * 5)
    spoil(project, "0003.jpg", np.nan)
    with h5py.File(project.features / "features.h5") as file:
        assert np.isnan(file["features"][:]).sum() == 1
