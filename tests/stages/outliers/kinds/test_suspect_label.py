"""Suspect labels: images that the head assigns to another class, with a reason."""

from collections.abc import Callable

import numpy as np
import pytest

from stages.outliers.kinds.suspect_label import find_confident_errors, find_suspect_labels
from stages.outliers.outlier_kind import Evidence

MakeEvidence = Callable[..., Evidence]


def test_suspects_are_those_put_elsewhere_the_least_probable_label_first(make_evidence: MakeEvidence) -> None:
    probabilities = np.array([[0.9, 0.1, 0.0], [0.4, 0.35, 0.25], [0.05, 0.15, 0.8], [0.2, 0.6, 0.2]])
    found = find_suspect_labels(make_evidence(["a", "b", "a", "c"], probabilities=probabilities))
    assert found["row"].tolist() == [2, 3, 1]
    assert found["score"].tolist() == pytest.approx([0.95, 0.8, 0.65])
    assert found["suggested"].tolist() == ["c", "b", "a"]
    assert found["reason"][0].startswith("labelled a (0.05), looks like c (0.80)")


def test_confident_learning_counts_errors_against_each_classs_own_threshold(make_evidence: MakeEvidence) -> None:
    """Mean self-confidence is 0.9 for class 0 and 0.6 for class 1: a member of 0 at 0.65 for class 1 counts."""
    p = np.array([[0.98, 0.02]] * 9 + [[0.35, 0.65]] + [[0.4, 0.6]] * 10)
    labels = np.array([0] * 10 + [1] * 10)
    assert np.flatnonzero(find_confident_errors(labels, p)).tolist() == [9]
    names = np.array(["a", "b"])[labels].tolist()
    reasons = find_suspect_labels(make_evidence(names, probabilities=p))["reason"]
    assert reasons.tolist() == ["labelled a (0.35), looks like b (0.65): counted as wrong by confident learning"]
