"""Every image is predicted by models that have seen neither it nor a copy of it, and as sure as they are right."""

from collections.abc import Callable

import numpy as np
import pytest

from stages.core.errors import StageError
from stages.core.features.labelled import load_labelled_features
from stages.core.head.files import load_head
from stages.core.head.lstm_settings import LSTMSettings
from stages.core.head.predict_logits import predict_rows
from stages.core.head.recipe import Recipe
from stages.core.head.settings import TrainSettings
from stages.core.head.temperature import negative_log_likelihood
from stages.outliers.folds import (
    adjustment,
    calibrate_out_of_fold,
    choose_strength,
    out_of_sample_probabilities,
    pool_to_disk,
)
from stages.outliers.settings import OutlierSettings
from stages.train.train_head import train_head
from tests.stages.conftest import Project, made_up_features

MakeProject = Callable[..., Project]


def predict(project: Project, folds: int = 3, n_jobs: int = 1, **train: object) -> np.ndarray:
    data = load_labelled_features("style", features=project.features, splits=project.splits)
    recipe, settings = Recipe(train=TrainSettings(**train)), OutlierSettings(folds=folds)
    return out_of_sample_probabilities(data, recipe, settings, features=project.features, n_jobs=n_jobs)


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
def test_a_class_of_a_single_picture_is_improbable_where_no_model_has_seen_it(
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


def test_small_classes_are_found_as_often_as_the_head_finds_them(make_project: MakeProject) -> None:
    """Twelve classes of 12 next to two of 150: folds that miss what the head finds would report class size itself."""
    truth = ["dabs", "dots"] * 150 + [f"small {i:02d}" for i in range(12)] * 12
    project = make_project(truth, noise=2.0)
    train_head(
        target="style", recipe=Recipe(head=LSTMSettings(hidden_size=16, projection=16)),
        features=project.features, splits=project.splits, destination=project.head, work=project.work,
    )  # fmt: skip
    data = load_labelled_features("style", features=project.features, splits=project.splits)
    small = np.array([name.startswith("small") for name in truth])
    test = data.rows("test")
    of_head = predict_rows(load_head(project.head)[0], data.features, test).argmax(axis=1) == data.labels[test]
    of_folds = predict(project, folds=5).argmax(axis=1) == data.labels
    assert of_folds[small].mean() >= of_head[small[test]].mean() - 0.05
    assert of_folds[small].mean() > 0.8


def test_the_mean_over_views_is_predicted(make_project: MakeProject) -> None:
    """Of two views with as much noise each, their mean has less: more images are right than by one."""
    truth = ["dabs", "dots", "glaze"] * 60
    project = make_project(truth, noise=8.0)
    data = load_labelled_features("style", features=project.features, splits=project.splits)
    with pool_to_disk(data) as pooled:
        features = made_up_features(truth, 8.0, 0).astype(np.float32)
        roots = np.copysign(np.sqrt(np.abs(features)), features).mean(axis=(1, 2))
        np.testing.assert_allclose(pooled, roots, atol=2e-3)


def test_the_regularisation_is_chosen_by_what_val_says(make_project: MakeProject) -> None:
    chosen = []
    for number, noise in enumerate((1.0, 60.0)):
        project = make_project(["dabs", "dots", "glaze"] * 40, noise=noise, folder=f"p{number}")
        data = load_labelled_features("style", features=project.features, splits=project.splits)
        with pool_to_disk(data) as pooled:
            chosen.append(choose_strength(pooled, data))
    assert chosen[0] > chosen[1]


def test_large_classes_are_held_back_as_in_the_heads_training(make_project: MakeProject) -> None:
    project = make_project(["dabs"] * 90 + ["dots"] * 15, noise=8.0)
    shares = [
        (predict(project, **train).argmax(axis=1) == 1).mean()
        for train in ({"imbalance": "none"}, {"tau": 0.5}, {"imbalance": "balanced"})
    ]
    assert shares[0] < shares[1] < shares[2]
    assert adjustment(Recipe()) == Recipe().train.tau


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
