"""Only images that both runs scored fairly are compared; all others are counted with the reason."""

import pandas as pd

from stages.compare.pairing import pair_runs
from stages.compare.runs import Run

A_ROWS = [
    ("t1", "train", "x"), ("t2", "train", "y"), ("t3", "train", "rare"), ("v1", "val", "x"), ("p1", "test", "x"),
    ("t4", "train", "y"), ("p2", "test", "y"), ("p3", "test", "rare"), ("p4", "test", "x"),
]  # fmt: skip


def make_run(rows: list[tuple[str, str, str]], groups: dict[str, str] | None = None) -> Run:
    """A run from rows of name, split and label; names are digests too, and every prediction is x."""
    table = pd.DataFrame(rows, columns=["sha256", "split", "y_true"])
    table = table.assign(image=table["sha256"] + ".jpg", y_pred="x", confidence=0.5)
    if groups is not None:
        table["group"] = table["sha256"].map(lambda name: groups.get(name, name))
    classes = frozenset(table.loc[table["split"] == "train", "y_true"])
    return Run(table, classes, {}, {}, {}, [])


def replaced(*rows: tuple[str, str, str]) -> list[tuple[str, str, str]]:
    names = {row[0] for row in rows}
    return [row for row in A_ROWS if row[0] not in names] + list(rows)


def compared(a: Run, b: Run) -> tuple[list[str], list[tuple[int, str]]]:
    paired = pair_runs(a, b)
    return sorted(paired.table["sha256"]), paired.left_out


def test_a_run_and_itself_share_every_test_image() -> None:
    assert compared(make_run(A_ROWS), make_run(A_ROWS)) == (["p1", "p2", "p3", "p4"], [])


def test_an_image_that_the_other_run_trained_on_is_unfair() -> None:
    names, left_out = compared(make_run(A_ROWS), make_run(replaced(("p1", "train", "x"), ("t2", "test", "y"))))
    assert names == ["p2", "p3", "p4"]
    assert left_out == [
        (1, "test images of A are train images of B, which has learned from them"),
        (1, "test images of B are train images of A, which has learned from them"),
    ]


def test_an_image_that_chose_the_other_run_is_unfair() -> None:
    names, left_out = compared(make_run(A_ROWS), make_run(replaced(("p1", "val", "x"))))
    assert (names, left_out) == (
        ["p2", "p3", "p4"],
        [(1, "test images of A are val images of B, which was chosen on them")],
    )


def test_a_copy_that_either_run_trained_on_is_unfair() -> None:
    names, left_out = compared(make_run(A_ROWS), make_run(A_ROWS, groups={"p1": "g", "t1": "g"}))
    assert (names, left_out) == (
        ["p2", "p3", "p4"], [(1, "test images have a copy among the train or val images of A or B")],
    )  # fmt: skip


def test_other_labels_missing_images_and_unknown_classes_are_counted() -> None:
    b = [row for row in replaced(("p2", "test", "x"), ("p4", "test", "")) if row[0] not in ("t3", "p1")]
    names, left_out = compared(make_run(A_ROWS), make_run([*b, ("p9", "test", "x")]))
    assert names == []
    assert left_out == [
        (1, "test images of A are not among the images of B"),
        (1, "test images of B are not among the images of A"),
        (2, "test images have another label, or none, in the other run"),
        (1, "test images are of classes that B does not know"),
    ]


def test_a_group_joins_what_either_run_takes_for_copies() -> None:
    a, b = make_run(A_ROWS, groups={"p1": "g", "p2": "g"}), make_run(A_ROWS, groups={"p2": "h", "p3": "h"})
    groups = pair_runs(a, b).table.set_index("sha256")["group"]
    assert groups["p1"] == groups["p2"] == groups["p3"] != groups["p4"]
    assert sorted(set(groups)) == [0, 1]


def test_an_image_that_was_renamed_is_the_same_image_and_copies_are_paired_one_to_one() -> None:
    renamed = make_run([*A_ROWS, ("p1", "test", "x")])
    renamed.table["image"] = "moved/" + renamed.table["image"]
    assert compared(make_run([*A_ROWS, ("p1", "test", "x")]), renamed)[0] == ["p1", "p1", "p2", "p3", "p4"]
    names, left_out = compared(make_run(A_ROWS), renamed)
    assert (names, left_out) == (["p1", "p2", "p3", "p4"], [(1, "test images of B are not among the images of A")])
