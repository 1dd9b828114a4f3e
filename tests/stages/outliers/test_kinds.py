"""Each kind of outlier is ranked by its own score, and says why."""

from collections.abc import Callable

import numpy as np
import pytest

from stages.core.features.labelled import LabelledFeatures
from stages.outliers.kinds import confident_errors, low_confidence, sureness, suspect_label, unlike_anything

Labelled = Callable[..., LabelledFeatures]
P = np.array([[0.9, 0.1, 0.0], [0.4, 0.35, 0.25], [0.05, 0.15, 0.8], [0.2, 0.6, 0.2]])


def test_sureness_is_the_highest_probability_its_lead_and_the_entropy() -> None:
    found = sureness(np.array([[1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0.0]]))
    assert found["confidence"].tolist() == pytest.approx([1, 1 / 3, 0.5])
    assert found["margin"].tolist() == pytest.approx([1, 0, 0])
    assert found["entropy"].tolist() == pytest.approx([0, 1, np.log(2) / np.log(3)])


def test_the_least_sure_come_first_with_the_two_classes_between_which_the_head_wavers(labelled: Labelled) -> None:
    found = low_confidence(labelled(["a", "b", "c", ""]), P)
    assert found["row"].tolist() == [1, 2, 0]  # the unlabelled image is in none
    assert found["score"].tolist() == pytest.approx([0.6, 0.2, 0.1])
    assert found["reason"][0] == "a at 0.40, b at 0.35"


def test_suspects_are_those_put_elsewhere_the_least_probable_label_first(labelled: Labelled) -> None:
    found = suspect_label(labelled(["a", "b", "a", "c"]), P)
    assert found["row"].tolist() == [2, 3, 1]
    assert found["score"].tolist() == pytest.approx([0.95, 0.8, 0.65])
    assert found["suggested"].tolist() == ["c", "b", "a"]
    assert found["reason"][0].startswith("labelled a (0.05), looks like c (0.80)")


def test_confident_learning_counts_errors_against_each_classs_own_threshold(labelled: Labelled) -> None:
    """Mean self-confidence is 0.9 for class 0 and 0.6 for class 1: a member of 0 at 0.65 for class 1 counts."""
    p = np.array([[0.98, 0.02]] * 9 + [[0.35, 0.65]] + [[0.4, 0.6]] * 10)
    labels = np.array([0] * 10 + [1] * 10)
    assert np.flatnonzero(confident_errors(labels, p)).tolist() == [9]
    names = np.array(["a", "b"])[labels].tolist()
    reasons = suspect_label(labelled(names), p)["reason"]
    assert reasons.tolist() == ["labelled a (0.35), looks like b (0.65): counted as wrong by confident learning"]


def test_distance_is_said_as_a_multiple_of_the_usual_one(labelled: Labelled) -> None:
    distances = np.array([[1.0, 3.0], [2.0, np.inf], [6.0, 8.0], [np.inf, np.inf]])
    found = unlike_anything(labelled(["a"] * 4), distances)
    assert found["row"].tolist() == [2, 0, 1]  # and none for the image without neighbours
    assert found["reason"][0] == "3.5 x the usual distance to its neighbours"
