"""Out of distribution: images far from all others, with a reason."""

from collections.abc import Callable

import numpy as np

from stages.outliers.kinds.out_of_distribution import find_out_of_distribution
from stages.outliers.outlier_kind import Evidence


def test_the_reason_gives_the_distance_as_a_multiple_of_the_usual_one(make_evidence: Callable[..., Evidence]) -> None:
    distances = np.array([[1.0, 3.0], [2.0, np.inf], [6.0, 8.0], [np.inf, np.inf]])
    found = find_out_of_distribution(make_evidence(["a"] * 4, distances=distances))
    assert found["row"].tolist() == [2, 0, 1]  # and none for the image without neighbours
    assert found["reason"][0] == "3.5 x the usual distance to its neighbours"
