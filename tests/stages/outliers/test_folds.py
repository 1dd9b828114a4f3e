"""Every image is predicted by heads that have seen neither it nor a copy of it, and as sure as they are right."""

import json
from collections.abc import Callable

import numpy as np
import pytest

from stages.core.errors import StageError
from stages.core.features.labelled import LabelledFeatures, load_labelled_features
from stages.core.head.lstm_settings import LSTMSettings
from stages.core.head.recipe import Recipe
from stages.core.head.settings import TrainSettings
from stages.core.head.temperature import negative_log_likelihood
from stages.outliers.folds import FoldTask, calibrate_out_of_fold, out_of_sample_probabilities
from stages.outliers.settings import OutlierSettings
from stages.train.train_head import train_head
from tests.stages.conftest import Project

MakeProject = Callable[..., Project]
HEAD = LSTMSettings(hidden_size=8, projection=0, dropout=0.0, feature_dropout=0.0)
TRAIN = TrainSettings(epochs=2, batch_size=16, lr=0.02, mixup=0.0)


def predict(project: Project, folds: int = 3, n_jobs: int = 1) -> np.ndarray:
    train_head(
        target="style", recipe=Recipe(head=HEAD, train=TRAIN),
        features=project.features, splits=project.splits, destination=project.head, work=project.work,
    )  # fmt: skip
    card = json.loads((project.head / "head.json").read_text()) | {"epoch": 12}
    data = load_labelled_features("style", features=project.features, splits=project.splits)
    settings = OutlierSettings(folds=folds)
    return out_of_sample_probabilities(data, card, settings, features=project.features, n_jobs=n_jobs)


@pytest.mark.parametrize("grouped", [True, False])
def test_a_copy_in_the_same_group_gives_no_label_away(make_project: MakeProject, grouped: bool) -> None:
    """Twenty pictures, four times each, whose labels mean nothing: only who has seen a copy can know the label."""
    names = [f"picture {i}" for i in range(20)]
    labels = np.random.default_rng(0).permutation(["dabs", "dots"] * 10).tolist()
    groups = [*range(20)] * 4 if grouped else [*range(80)]
    project = make_project(names * 4, labels=labels * 4, groups=groups, noise=0.01)
    predicted = predict(project, folds=4).argmax(axis=1)
    right = np.mean(np.array(["dabs", "dots"])[predicted] == labels * 4)
    assert right < 0.7 if grouped else right > 0.9


def test_every_image_of_every_split_and_without_a_label_has_probabilities(make_project: MakeProject) -> None:
    truth = ["dabs", "dots", "glaze"] * 20
    project = make_project(truth, labels=[*truth[:57], "", "", ""], noise=0.5)
    found = predict(project)
    assert found.shape == (60, 3)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert np.array(["dabs", "dots", "glaze"])[found[57:].argmax(axis=1)].tolist() == truth[57:]


def test_folds_side_by_side_give_the_same_probabilities(make_project: MakeProject) -> None:
    project = make_project(["dabs", "dots"] * 20, noise=3.0)
    np.testing.assert_allclose(predict(project, n_jobs=2), predict(project, n_jobs=1), atol=1e-6)


def test_fewer_pictures_than_folds_are_refused(make_project: MakeProject) -> None:
    project = make_project(["dabs", "dots"] * 10, groups=[0] * 5 + [1] * 5 + [2] * 10,
                           splits=["train"] * 16 + ["val"] * 2 + ["test"] * 2)  # fmt: skip
    with pytest.raises(StageError, match=r"3 labelled pictures are fewer than outliers\.folds, 4: set it lower"):
        predict(project, folds=4)


@pytest.mark.parametrize("others", [["dots", "glaze"], ["dots"]])
def test_a_class_of_a_single_picture_is_improbable_where_no_head_has_seen_it(
    make_project: MakeProject, others: list[str]
) -> None:
    """All that there is of the class is two copies of one picture: the fold that holds them out has never seen it."""
    truth = ["alone", "alone", *others * 20]
    splits = ["train", "train", *["train", "train", "val", "test"] * 5 * len(others)]
    project = make_project(truth, groups=[0, 0, *range(1, len(truth) - 1)], splits=splits, noise=0.5)
    found = predict(project)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (found[:2, 0] < 0.1).all()
    right = np.array(["alone", *others])[found[2:].argmax(axis=1)] == truth[2:]
    assert right.mean() > 0.8


@pytest.mark.parametrize(("images", "batch_size"), [(100, 32), (20_480, 32), (81_446, 128)])
def test_batches_grow_with_a_large_collection(
    labelled: Callable[..., LabelledFeatures], images: int, batch_size: int
) -> None:
    settings = Recipe().model_dump()
    task = FoldTask.of(labelled(["a", "b"] * (images // 2)), {"epoch": 7, "settings": settings}, folds=5)
    assert (task.recipe.train.batch_size, task.recipe.train.epochs) == (batch_size, 7)


def overconfident(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, 600)
    return 8 * (np.eye(3)[labels] + rng.standard_normal((600, 3))), labels, np.arange(600) % 3


def test_calibration_makes_held_out_confidence_honest() -> None:
    logits, labels, fold_of = overconfident(0)
    probabilities, temperature = calibrate_out_of_fold(logits, labels, fold_of)
    assert temperature > 2
    assert negative_log_likelihood(np.log(probabilities), labels) < 0.5 * negative_log_likelihood(logits, labels)
    right = (probabilities.argmax(axis=1) == labels).mean()
    assert probabilities.max(axis=1).mean() == pytest.approx(right, abs=0.03)


def test_an_images_own_fold_has_no_part_in_its_calibration() -> None:
    logits, labels, fold_of = overconfident(1)
    before, _ = calibrate_out_of_fold(logits, labels, fold_of)
    changed = np.where(fold_of == 0, (labels + 1) % 3, labels)
    after, _ = calibrate_out_of_fold(logits, changed, fold_of)
    assert np.array_equal(before[fold_of == 0], after[fold_of == 0])
    assert not np.allclose(before[fold_of == 1], after[fold_of == 1])
