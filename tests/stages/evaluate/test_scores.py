"""Scores come with what they are worth: intervals by picture, a paired test in words, calibration, several views."""

import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from stages.core.errors import StageError
from stages.core.head.lstm_settings import LSTMSettings
from stages.core.head.recipe import Recipe
from stages.core.head.settings import TrainSettings
from stages.core.scoring.calibration import expected_calibration_error, tabulate_reliability
from stages.core.scoring.jackknife import Jackknife, average, jackknife_macro_f1
from stages.core.scoring.metrics import score
from stages.core.scoring.uncertainty import bootstrap_scores, compare_paired, measure_uncertainty
from stages.evaluate.evaluate_head import evaluate_head
from stages.evaluate.settings import EvaluateSettings
from stages.train.train_head import train_head
from tests.stages.conftest import Project

MakeProject = Callable[..., Project]


def scored(project: Project, **settings: object) -> dict:
    """Train a small head and evaluate it."""
    return scored_and_said(project, **settings)[0]


def scored_and_said(project: Project, **settings: object) -> tuple[dict, str]:
    train_head(
        target="style",
        recipe=Recipe(head=LSTMSettings(hidden_size=12), train=TrainSettings(epochs=6, batch_size=16, lr=0.01)),
        features=project.features,
        splits=project.splits,
        destination=project.head,
        work=project.work,
    )
    said = evaluate_head(
        target="style",
        settings=EvaluateSettings(**{"resamples": 200} | settings),
        features=project.features,
        splits=project.splits,
        head=project.head,
        destination=project.reports,
    )
    return json.loads((project.reports / "metrics.json").read_text()), said


def interval(correct: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    y_true = np.zeros(len(correct), dtype=int)
    probabilities = {"model": np.eye(2)[1 - correct.astype(int)]}
    return measure_uncertainty(y_true, probabilities, groups, 2000)["model"].interval("accuracy")


def test_intervals_are_those_of_the_normal_approximation_for_many_single_images() -> None:
    correct = np.random.default_rng(0).random(1000) < 0.7
    low, high = interval(correct, np.arange(1000))
    half_width = 1.96 * np.sqrt(correct.mean() * (1 - correct.mean()) / 1000)
    assert (low, high) == pytest.approx((correct.mean() - half_width, correct.mean() + half_width), abs=0.004)


def test_copies_of_a_picture_are_no_further_evidence() -> None:
    correct = np.random.default_rng(0).random(100) < 0.7
    once = interval(correct, np.arange(100))
    copied = interval(np.repeat(correct, 5), np.repeat(np.arange(100), 5))
    assert copied == pytest.approx(once, abs=1e-9)
    alone = interval(np.repeat(correct, 5), np.arange(500))
    assert alone[1] - alone[0] < 0.6 * (once[1] - once[0])


def test_bootstrapped_scores_are_those_of_the_images_drawn() -> None:
    rng = np.random.default_rng(0)
    y_true, probabilities = rng.integers(0, 6, 40), rng.dirichlet(np.ones(6), 40)
    found = bootstrap_scores(y_true, {"model": probabilities}, np.arange(40), 50)["model"]
    draws = np.random.default_rng(0)
    for index in range(50):
        rows = draws.integers(40, size=40)
        expected = score(y_true[rows], probabilities[rows])
        assert {measure: values[index] for measure, values in found.items()} == pytest.approx(
            {measure: value for measure, value in expected.items() if measure in found}
        )


@pytest.mark.parametrize(
    ("share_one", "share_other", "words"),
    [(0.9, 0.6, "beats it"), (0.6, 0.9, "is worse"), (0.75, 0.75, "cannot be told from it")],
)
def test_the_paired_test_says_who_is_better(share_one: float, share_other: float, words: str) -> None:
    rng = np.random.default_rng(1)
    y_true = rng.integers(0, 3, 400)
    guesses = {
        name: np.where(rng.permutation(400) < 400 * share, y_true, (y_true + 1) % 3)
        for name, share in (("head", share_one), ("probe", share_other))
    }
    drawn = measure_uncertainty(y_true, {name: np.eye(3)[y] for name, y in guesses.items()}, np.arange(400), 500)
    observed = {
        name: {"accuracy": (y == y_true).mean(), "f1_macro": f1_score(y_true, y, average="macro")}
        for name, y in guesses.items()
    }
    found = compare_paired(drawn, observed, "head", "probe")
    assert found["words"].count(words) == 2
    assert found["accuracy"]["difference"] == pytest.approx(share_one - share_other)
    assert (found["accuracy"]["p"] < 0.05) == (words != "cannot be told from it")


def test_a_paired_test_sees_what_two_intervals_do_not() -> None:
    """One model that is right wherever the other is, and ten times more, is better however wide the intervals are."""
    y_true = np.zeros(200, dtype=int)
    other = (np.arange(200) >= 100).astype(int)
    one = (np.arange(200) >= 110).astype(int)
    drawn = measure_uncertainty(y_true, {"one": np.eye(2)[one], "other": np.eye(2)[other]}, np.arange(200), 1000)
    assert drawn["one"].interval("accuracy")[0] < drawn["other"].interval("accuracy")[1]
    observed = {name: score(y_true, np.eye(2)[y]) for name, y in (("one", one), ("other", other))}
    assert "in accuracy it beats it" in compare_paired(drawn, observed, "one", "other")["words"]


def test_macro_f1_is_over_the_classes_of_the_images_whatever_is_predicted() -> None:
    """Two models on the same images have the same classes; a class that no image has is no part of the mean."""
    y_true = np.array([0] * 4 + [1] * 4)
    stranger = np.array([0] * 4 + [1] * 3 + [2])  # one of class 1 is taken for a class without an image
    found = score(y_true, np.eye(4)[stranger])
    assert found["f1_macro"] == pytest.approx((1 + 6 / 7) / 2)
    assert found["classes"] == 2
    assert jackknife_macro_f1(y_true, stranger, np.arange(8)).value == found["f1_macro"]


def test_each_group_is_left_out_with_all_its_images() -> None:
    rng = np.random.default_rng(0)
    y_true, groups = rng.integers(0, 4, 60), rng.integers(0, 25, 60)
    y_pred = np.where(rng.random(60) < 0.5, y_true, rng.integers(0, 5, 60))
    found = jackknife_macro_f1(y_true, y_pred, groups)
    each = [groups != group for group in np.unique(groups)]
    expected = [f1_score(y_true[kept], y_pred[kept], labels=range(4), average="macro") for kept in each]
    np.testing.assert_allclose(found.left_out, expected)


def test_a_class_whose_only_picture_is_left_out_keeps_its_f1() -> None:
    y_true, y_pred = np.array([0, 0, 0, 1, 1, 1, 2]), np.array([0, 0, 1, 1, 1, 0, 2])
    found = jackknife_macro_f1(y_true, y_pred, np.arange(7))
    assert found.left_out[6] == pytest.approx(found.value)


@pytest.mark.parametrize("fixed", [True, False])
def test_the_interval_of_macro_f1_holds_with_many_small_classes(fixed: bool) -> None:
    """Twenty classes of 6 to 90 test images: a bootstrap's interval holds 9 of 10 times here."""
    sizes = np.array([90, 60, 45, 36, 30, 24, 21, 18, 18, 15, 15, 12, 12, 12, 9, 9, 9, 6, 6, 6])
    rng, held = np.random.default_rng(0), []
    recall = np.linspace(0.8, 0.3, 20)
    chances = (1 - recall)[:, None] * (sizes / sizes.sum()) + np.diag(recall)
    expected = chances * sizes[:, None]
    truth = (2 * np.diag(expected) / (expected.sum(axis=0) + sizes)).mean()
    for _ in range(400):
        y_true = np.repeat(np.arange(20), sizes) if fixed else rng.choice(20, sizes.sum(), p=sizes / sizes.sum())
        y_pred = np.where(
            rng.random(len(y_true)) < recall[y_true], y_true, rng.choice(20, len(y_true), p=sizes / sizes.sum())
        )
        low, high = jackknife_macro_f1(y_true, y_pred, np.arange(len(y_true))).interval()
        held.append(low <= truth <= high)
    assert 0.925 <= np.mean(held) <= 0.985


def test_copies_of_a_picture_do_not_shorten_the_interval_of_macro_f1() -> None:
    rng = np.random.default_rng(0)
    y_true = rng.integers(0, 3, 90)
    y_pred = np.where(rng.random(90) < 0.6, y_true, (y_true + 1) % 3)
    once = jackknife_macro_f1(y_true, y_pred, np.arange(90)).interval()
    copied = jackknife_macro_f1(np.repeat(y_true, 4), np.repeat(y_pred, 4), np.repeat(np.arange(90), 4)).interval()
    assert copied == pytest.approx(once)


@pytest.mark.parametrize("right", [True, False])
def test_an_interval_of_macro_f1_stays_between_zero_and_one(right: bool) -> None:
    y_true = np.arange(12) % 3
    low, high = jackknife_macro_f1(y_true, y_true if right else (y_true + 1) % 3, np.arange(12)).interval()
    assert (low, high) == ((1, 1) if right else (0, 0))
    low, high = jackknife_macro_f1(y_true, np.where(np.arange(12) < 11, y_true, 0), np.arange(12)).interval()
    assert 0 < low < high <= 1


def test_the_mean_of_seeds_varies_less_than_one_and_a_model_does_not_differ_from_itself() -> None:
    rng = np.random.default_rng(0)
    y_true = rng.integers(0, 3, 300)
    each = [
        jackknife_macro_f1(y_true, np.where(rng.random(300) < 0.6, y_true, (y_true + 1) % 3), np.arange(300))
        for _ in range(4)
    ]

    def width(score: Jackknife) -> float:
        low, high = score.interval()
        return high - low

    assert width(average(each)) < 0.7 * width(each[0])
    assert ((each[0] - each[0]).interval(), (each[0] - each[0]).p_value()) == ((0, 0), 1)


def test_calibration_error_is_the_distance_of_confidence_from_accuracy() -> None:
    probabilities = np.tile([0.8, 0.2], (10, 1))
    assert expected_calibration_error(np.array([0] * 8 + [1] * 2), probabilities) == pytest.approx(0.0)
    assert expected_calibration_error(np.array([0] * 3 + [1] * 7), probabilities) == pytest.approx(0.5)
    certain = np.tile([1.0, 0.0], (4, 1))
    assert expected_calibration_error(np.array([0, 0, 1, 1]), certain) == pytest.approx(0.5)
    bins = tabulate_reliability(np.array([0, 0, 1, 1]), certain)
    assert len(bins) == 15
    assert bins.iloc[-1][["n", "confidence", "accuracy"]].tolist() == [4, 1.0, 0.5]


def test_metrics_say_how_sure_they_are(make_project: MakeProject) -> None:
    metrics = scored(make_project(["dabs", "dots", "glaze"] * 40, noise=4.0))
    models = [metrics, *metrics["baselines"].values()]
    for found in (model[split] for model in models for split in ("val", "test")):
        for measure in ("accuracy", "f1_macro", "f1_weighted", "top3_accuracy", "top5_accuracy", "log_loss"):
            assert found[f"{measure}_low"] <= found[measure] <= found[f"{measure}_high"]
        assert 0 <= found["ece"] <= 1
        assert found["top3_accuracy"] <= found["top5_accuracy"]
    difference = metrics["test"]["accuracy"] - metrics["baselines"]["logistic_regression"]["test"]["accuracy"]
    assert metrics["comparison"]["test"]["accuracy"]["difference"] == pytest.approx(difference)
    assert "against logistic regression" in metrics["comparison"]["test"]["words"]


def test_temperature_scaling_is_shown_before_and_after(make_project: MakeProject) -> None:
    project = make_project(["dabs", "dots", "glaze"] * 40, noise=6.0)
    metrics = scored(project)
    assert metrics["calibration"]["test"]["ece_after"] == pytest.approx(metrics["test"]["ece"])
    assert metrics["calibration"]["temperature"] == json.loads((project.head / "head.json").read_text())["temperature"]
    table = pd.read_csv(project.reports / "reliability.csv")
    assert table.groupby(["split", "scaling"])["n"].sum().to_dict() == {
        (split, scaling): metrics[split]["n"] for split in ("val", "test") for scaling in ("before", "after")
    }


def test_several_views_are_averaged_where_asked_for(make_project: MakeProject) -> None:
    project = make_project(["dabs", "dots", "glaze"] * 30, noise=4.0)
    assert "multi_view" not in scored(project)
    metrics, said = scored_and_said(project, tta_views=2)
    several = metrics["multi_view"]
    assert several["views"] == 2
    assert several["test"]["log_loss"] < metrics["test"]["log_loss"]  # noise of two views averages out
    for measure in ("accuracy", "f1_macro", "log_loss"):
        assert several["test"][f"{measure}_low"] <= several["test"][measure] <= several["test"][f"{measure}_high"]
    difference = several["test"]["accuracy"] - metrics["test"]["accuracy"]
    assert several["comparison"]["test"]["accuracy"]["difference"] == pytest.approx(difference)
    assert f"head, mean of 2 views {several['test']['accuracy']:>10.3f}" in said
    assert several["comparison"]["test"]["words"] in said
    assert f"mean of 2 views, 95 % intervals: accuracy {several['test']['accuracy_low']:.3f} to " in said
    assert "mean of 2 views against the centre view, on the same images: in accuracy it" in said
    with pytest.raises(StageError, match=r"evaluate\.tta_views is 3, the cache has 2: set features\.views to 3"):
        scored(project, tta_views=3)
