"""Conflicting labels: duplicates whose labels disagree, with a reason."""

from collections.abc import Callable

from stages.outliers.kinds.conflicting_labels import find_conflicting_labels
from stages.outliers.outlier_kind import Evidence


def test_groups_with_the_most_labels_come_first_and_unlabelled_copies_are_left_out(
    make_evidence: Callable[..., Evidence],
) -> None:
    groups = ["g1", "g1", "g2", "g2", "g2", "g3", "g3", "g1"]
    found = find_conflicting_labels(make_evidence(["a", "b", "a", "b", "c", "a", "a", ""], group=groups))
    assert found["row"].tolist() == [2, 3, 4, 0, 1]
    assert found["score"].tolist() == [3, 3, 3, 2, 2]
    assert found["reason"].iloc[-1] == "copies of this picture are labelled a, b"
