"""Suspect labels: as many as the predictions count as wrong, ranked, with a reason."""

from collections.abc import Callable

import numpy as np
import pytest

from stages.outliers.kinds.suspect_label import count_errors, find_suspect_labels
from stages.outliers.outlier_kind import Evidence

MakeEvidence = Callable[..., Evidence]


def test_suspects_come_with_the_least_probable_label_first(make_evidence: MakeEvidence) -> None:
    sure = [[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.05, 0.05, 0.9]]
    wrong = [[0.05, 0.94, 0.01], [0.1, 0.05, 0.85]]
    labels = ["a", "b", "c"] * 6 + ["a", "b"]
    found = find_suspect_labels(make_evidence([*labels, ""], probabilities=np.array(sure * 6 + wrong + sure[:1])))
    assert found["row"].tolist() == [18, 19]
    assert found["score"].tolist() == pytest.approx([0.95, 0.95])
    assert found["suggested"].tolist() == ["b", "c"]
    assert found["reason"][0] == "labelled a (0.05), looks like b (0.94)"


def noisy(flipped: int, of: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Labels of three classes, the first ones flipped, and predictions of the truth that are mostly right."""
    rng = np.random.default_rng(0)
    truth = np.arange(of) % 3
    labels = np.where(np.arange(of) < flipped, (truth + 1) % 3, truth)
    evidence = 4 * (np.eye(3)[truth] + 0.4 * rng.standard_normal((of, 3)))
    return labels, np.exp(evidence) / np.exp(evidence).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("flipped", [30, 120, 240])
def test_the_evidence_decides_how_many_are_listed(flipped: int) -> None:
    """No fixed share: a fifth or two fifths of wrong labels are listed as well as a twentieth."""
    found = count_errors(*noisy(flipped))
    assert found[:flipped].mean() > 0.9
    assert found.sum() < 1.4 * flipped + 20


def test_an_image_whose_label_is_predicted_is_no_suspect() -> None:
    labels, probabilities = noisy(60)
    assert not count_errors(labels, probabilities)[probabilities.argmax(axis=1) == labels].any()
