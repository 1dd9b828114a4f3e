"""Low confidence: the least confident predictions, with a reason."""

from collections.abc import Callable

import numpy as np
import pytest

from stages.outliers.kinds.low_confidence import find_low_confidence
from stages.outliers.outlier_kind import Evidence


def test_the_least_sure_come_first_with_the_two_most_probable_classes(make_evidence: Callable[..., Evidence]) -> None:
    probabilities = np.array([[0.9, 0.1, 0.0], [0.4, 0.35, 0.25], [0.05, 0.15, 0.8], [0.2, 0.6, 0.2]])
    found = find_low_confidence(make_evidence(["a", "b", "c", ""], probabilities=probabilities))
    assert found["row"].tolist() == [1, 2, 0]  # the unlabelled image is in none
    assert found["score"].tolist() == pytest.approx([0.6, 0.2, 0.1])
    assert found["reason"][0] == "a at 0.40, b at 0.35"
