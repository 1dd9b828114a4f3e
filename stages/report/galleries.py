"""Choose the images that a target's page shows: those behind confusion cells, and the outliers with their neighbours.

In: predictions, the confusion matrix and outliers. Out: cells and galleries for the templates, and which thumbnails
they need at what size.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stages.core.tables.outliers import KINDS
from stages.report.settings import ReportSettings
from stages.report.sources import Confusion, Results

# A table of more classes than this is unreadable and slow; the others stay in confusion.csv.
MATRIX_CLASSES = 60
TOP_CONFUSIONS = 12


@dataclass(frozen=True)
class CellImage:
    """An image behind a cell, with the confidence of its prediction."""

    image: str
    confidence: float


@dataclass(frozen=True)
class Cell:
    """One cell of the confusion matrix; `shade` is its share of the true class, 0 to 1."""

    row: int
    column: int
    y_true: str
    y_pred: str
    count: int
    shade: float
    images: list[CellImage]

    @property
    def anchor(self) -> str:
        """Its id on the page."""
        return f"cell-{self.row}-{self.column}"

    @property
    def correct(self) -> bool:
        """Whether it counts right predictions."""
        return self.row == self.column


@dataclass(frozen=True)
class Matrix:
    """The confusion matrix as shown: the classes with most images, a list of cells per row, the worst confusions."""

    classes: list[str]
    all_classes: int
    rows: list[list[Cell]]
    confusions: list[Cell]

    @property
    def open_cells(self) -> list[Cell]:
        """Cells that open."""
        return [cell for row in self.rows for cell in row if cell.count]


@dataclass(frozen=True)
class Outlier:
    """One image of a gallery; `labels` are the numbers of the classes it is filtered by, as text."""

    image: str
    rank: int
    score: float
    y_true: str
    y_pred: str
    confidence: float
    suggested: str
    reason: str
    neighbours: list[str]
    labels: str
    margin: float = math.nan
    entropy: float = math.nan


@dataclass(frozen=True)
class Gallery:
    """The first images of one kind of outlier, of `total` listed."""

    kind: str
    title: str
    explanation: str
    outliers: list[Outlier]
    total: int


def matrix(results: Results, settings: ReportSettings) -> Matrix:
    """Arrange the confusion matrix with the images behind each cell."""
    confusion = results.confusion
    shown = np.sort(np.argsort(-_images_per_class(confusion), kind="stable")[:MATRIX_CLASSES])
    names = [confusion.classes[i] for i in shown]
    of_shown = results.predictions["y_true"].isin(names) & results.predictions["y_pred"].isin(names)
    images = images_of_cells(results.predictions[of_shown], per_cell=settings.cell_size, total=settings.cells_total)
    row_sums = confusion.counts.sum(axis=1)

    def cell(i: int, j: int) -> Cell:
        true, predicted, count = confusion.classes[i], confusion.classes[j], int(confusion.counts[i, j])
        return Cell(i, j, true, predicted, count, count / max(int(row_sums[i]), 1), images.get((true, predicted), []))

    rows = [[cell(i, j) for j in shown] for i in shown]
    wrong = [cell for row in rows for cell in row if cell.count and not cell.correct]
    confusions = sorted(wrong, key=lambda cell: (-cell.count, -cell.shade))[:TOP_CONFUSIONS]
    return Matrix(names, len(confusion.classes), rows, confusions)


def _images_per_class(confusion: Confusion) -> np.ndarray:
    """Images that are, or are predicted as, each class, shape `(classes,)`."""
    return confusion.counts.sum(axis=0) + confusion.counts.sum(axis=1)


def images_of_cells(predictions: pd.DataFrame, *, per_cell: int, total: int) -> dict[tuple[str, str], list[CellImage]]:
    """Choose test images for each pair of true and predicted class, the most confident first.

    Every cell gets its first image before any gets its second, mistakes come before right predictions and frequent
    mistakes before rare ones, so that a page with many classes spends its `total` where something is to be learnt.
    """
    test = predictions[(predictions["split"] == "test") & (predictions["y_true"] != "")]
    test = test.sort_values(["confidence", "image"], ascending=[False, True])
    cell = test.groupby(["y_true", "y_pred"])["image"]
    place, size = cell.cumcount(), cell.transform("size")
    chosen = test.assign(place=place, right=test["y_true"] == test["y_pred"], rare=-size)[place < per_cell]
    chosen = chosen.sort_values(["place", "right", "rare"], kind="stable").head(total)
    cells: dict[tuple[str, str], list[CellImage]] = {}
    for row in chosen.itertuples():
        cells.setdefault((row.y_true, row.y_pred), []).append(CellImage(row.image, row.confidence))
    return cells


def galleries(outliers: pd.DataFrame, size: int, classes: list[str]) -> list[Gallery]:
    """Arrange the outliers by kind; kinds without images are left out."""
    found = [kind for kind in KINDS if (outliers["kind"] == kind).any()]
    found += [kind for kind in outliers["kind"].unique() if kind not in KINDS]
    numbers = {name: str(number) for number, name in enumerate(classes)}
    return [_gallery(kind, outliers[outliers["kind"] == kind], size, numbers) for kind in found]


def _gallery(kind: str, table: pd.DataFrame, size: int, numbers: dict[str, str]) -> Gallery:
    title, explanation = KINDS.get(kind, (kind.replace("_", " ").capitalize(), ""))
    rows = [
        Outlier(
            image=row.image,
            rank=place if math.isnan(row.rank) else int(row.rank),
            score=row.score,
            y_true=row.y_true,
            y_pred=row.y_pred,
            confidence=row.confidence,
            suggested=row.suggested,
            reason=row.reason,
            neighbours=row.neighbours,
            margin=getattr(row, "margin", math.nan),
            entropy=getattr(row, "entropy", math.nan),
            labels=" ".join(
                numbers[name] for name in {row.y_true: 0, row.y_pred: 0, row.suggested: 0} if name in numbers
            ),
        )
        for place, row in enumerate(table.head(size).itertuples(), start=1)
    ]
    return Gallery(kind, title, explanation, rows, len(table))


def thumbnail_sizes(matrix: Matrix, shown: Iterable[Gallery], px: int) -> dict[str, int]:
    """Name every image of the page with the longest side it needs; those that are only neighbours get half."""
    galleries = list(shown)
    neighbours = [image for gallery in galleries for outlier in gallery.outliers for image in outlier.neighbours]
    in_cells = [image.image for cell in matrix.open_cells for image in cell.images]
    in_galleries = [outlier.image for gallery in galleries for outlier in gallery.outliers]
    return dict.fromkeys(neighbours, px // 2) | dict.fromkeys([*in_cells, *in_galleries], px)
