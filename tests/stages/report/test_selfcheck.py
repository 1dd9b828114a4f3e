"""The score against planted faults, on a key made by hand."""

from pathlib import Path

import pandas as pd
import pytest

from stages.core.errors import StageError
from stages.core.tables.columns import ANSWER_KEY
from stages.report.selfcheck import read_answer_key, score_against_key


def key(*rows: tuple[str, str, str, str]) -> pd.DataFrame:
    return pd.DataFrame([(*row, "") for row in rows], columns=ANSWER_KEY.names)


def outliers(**images: str) -> pd.DataFrame:
    """One letter per image, in order of rank; written in reverse, so that the rank decides."""
    rows = [(kind, image, rank) for kind, letters in images.items() for rank, image in enumerate(letters, start=1)]
    return pd.DataFrame(rows[::-1], columns=["kind", "image", "rank"]).astype(str)


def check(
    key: pd.DataFrame, *, rejected: dict[str, str] | None = None, groups: dict[str, str] | None = None, **found
) -> list:
    table = score_against_key(
        key=key,
        rejected=pd.DataFrame((rejected or {}).items(), columns=["image", "reason"]),
        splits=pd.DataFrame((groups or {}).items(), columns=["image", "group"]),
        outliers=found,
    )
    return list(table.itertuples(index=False, name=None))


def test_broken_files_count_when_rejected_and_the_reason_is_said() -> None:
    planted = key(("a", "broken", "", "empty"), ("b", "broken", "", "truncated"), ("c", "broken", "", "empty"))
    found = check(planted, rejected={"a": "empty", "b": "decode_error", "z": "empty"})
    assert found == [("clean", "broken", 3, 2, "1 of 3 with the planted reason")]


def test_a_duplicate_counts_when_it_shares_its_originals_group() -> None:
    planted = key(
        ("a", "exact_duplicate", "", "b"), ("c", "near_duplicate", "", "d"), ("e", "near_duplicate", "", "gone")
    )
    found = check(planted, groups={"a": "1", "b": "1", "c": "2", "d": "3", "e": "4"})
    assert [row[1:4] for row in found] == [("exact_duplicate", 1, 1), ("near_duplicate", 2, 0)]


def test_wrong_labels_have_precision_at_their_number_and_recall_in_the_list() -> None:
    planted = key(*((image, "wrong_label", "style", "x") for image in "abcd"), ("a", "wrong_label", "genre", "x"))
    [row] = check(planted, style=outliers(suspect_label="azbyc", low_confidence="d"))
    assert row[:4] == ("outliers: style", "wrong_label", 4, 3)
    assert row[4] == "2 among the first 4 suspects (precision 0.50), 3 among all 5 (recall 0.75)"


def test_a_conflict_counts_when_both_copies_are_listed_and_other_listed_images_cost_precision() -> None:
    contradicts = "same_bytes_other_style_label"
    rows = [(copy, "exact_duplicate", "", original, contradicts) for copy, original in ("ab", "cd")]
    planted = pd.DataFrame([*rows, ("e", "exact_duplicate", "", "f", "same_bytes")], columns=ANSWER_KEY.names)
    listed = outliers(conflicting_labels="abcxy")
    found = {row[:2]: row[2:] for row in check(planted, style=listed, genre=listed)}
    detail = "1 of 2 pairs are listed (recall 0.50), 3 of 5 listed images are of one (precision 0.60)"
    assert found["outliers: style", "conflicting_labels"] == (2, 1, detail)
    assert ("outliers: genre", "conflicting_labels") not in found  # none was planted


def test_strangers_are_counted_once_for_targets_with_the_same_list() -> None:
    planted = key(("a", "stranger", "", ""), ("b", "stranger", "", ""))
    same = outliers(out_of_distribution="xab")
    found = check(planted, style=same, genre=same, artist=outliers(out_of_distribution="ab"))
    assert [row[0] for row in found] == ["outliers: style, genre", "outliers: artist"]
    assert [row[4] for row in found] == [
        "1 among the first 2 (precision 0.50), 2 among all 3 (recall 1.00)",
        "2 among the first 2 (precision 1.00), 2 among all 2 (recall 1.00)",
    ]


def test_faults_that_were_not_planted_have_no_row() -> None:
    assert check(key(), style=outliers(suspect_label="a")) == []


def test_a_missing_key_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="does not exist: run `pipeline paint-demo` first"):
        read_answer_key(tmp_path / "answer_key.csv")
