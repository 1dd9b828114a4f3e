"""How confident a prediction is, in three numbers."""

import numpy as np
import pytest

from stages.outliers.confidence import measure_confidence


def test_confidence_is_the_highest_probability_its_lead_and_the_entropy() -> None:
    found = measure_confidence(np.array([[1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0.0]]))
    assert found["confidence"].tolist() == pytest.approx([1, 1 / 3, 0.5])
    assert found["margin"].tolist() == pytest.approx([1, 0, 0])
    assert found["entropy"].tolist() == pytest.approx([0, 1, np.log(2) / np.log(3)])
