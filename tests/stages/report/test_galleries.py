"""Which images a page shows when it cannot show all."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from stages.report import galleries
from stages.report.galleries import choose_cell_images
from stages.report.inputs import Confusion, read_results
from stages.report.settings import ReportSettings
from tests.stages.report.conftest import Project


def predictions(*rows: tuple[str, str, str, float]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["image", "y_true", "y_pred", "confidence"])
    return table.assign(split="test")


def test_a_cell_shows_its_most_confident_images_first() -> None:
    found = choose_cell_images(
        predictions(("a", "x", "y", 0.4), ("b", "x", "y", 0.9), ("c", "x", "y", 0.6)), per_cell=2, total=9
    )
    assert [(image.image, image.confidence) for image in found["x", "y"]] == [("b", 0.9), ("c", 0.6)]


def test_only_labelled_test_images_stand_behind_cells() -> None:
    table = predictions(("a", "x", "x", 0.5), ("b", "", "x", 0.5), ("c", "x", "x", 0.5))
    table.loc[2, "split"] = "train"
    found = choose_cell_images(table, per_cell=9, total=9)
    assert [image.image for image in found["x", "x"]] == ["a"]


def test_when_images_are_short_frequent_mistakes_come_first() -> None:
    table = predictions(
        ("right", "x", "x", 0.9), ("rare", "x", "z", 0.9), ("often", "x", "y", 0.2), ("often too", "x", "y", 0.1)
    )  # fmt: skip
    shown = [set(choose_cell_images(table, per_cell=9, total=total)) for total in (1, 2, 3)]
    assert shown == [{("x", "y")}, {("x", "y"), ("x", "z")}, {("x", "y"), ("x", "z"), ("x", "x")}]


def test_a_matrix_of_many_classes_shows_those_with_most_images(
    report: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(galleries, "MATRIX_CLASSES", 2)
    results = read_results("style", report.inputs)
    counts = np.array([[1, 0, 0], [0, 5, 1], [0, 0, 3]])
    results = replace(results, confusion=Confusion(["dabs", "dots", "ink line"], counts))
    matrix = galleries.make_matrix(results, ReportSettings())
    assert (matrix.classes, matrix.all_classes) == (["dots", "ink line"], 3)
    assert [cell.count for row in matrix.rows for cell in row] == [5, 1, 0, 3]
    assert [(cell.y_true, cell.y_pred) for cell in matrix.confusions] == [("dots", "ink line")]
