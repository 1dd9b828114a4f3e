"""Choose the images that a target's page shows: those behind confusion cells, and the outliers with their neighbours.

In: predictions, the confusion matrix and outliers. Out: cells and galleries for the templates, and the thumbnails that
they need, with their sizes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stages.core.tables.outliers import KindTexts
from stages.report.inputs import Confusion, TargetResults
from stages.report.settings import ReportSettings

# A table of more classes is unreadable and slow; confusion.csv has all.
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
        """Whether it counts correct predictions."""
        return self.row == self.column


@dataclass(frozen=True)
class Matrix:
    """The confusion matrix as shown: the classes with most images, the cells by row, the most frequent confusions."""

    classes: list[str]
    all_classes: int
    rows: list[list[Cell]]
    confusions: list[Cell]

    @property
    def open_cells(self) -> list[Cell]:
        """Cells with images."""
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


def make_matrix(results: TargetResults, settings: ReportSettings) -> Matrix:
    """Arrange the confusion matrix with the images behind each cell."""
    confusion = results.confusion
    shown = np.sort(np.argsort(-_count_images(confusion), kind="stable")[:MATRIX_CLASSES])
    names = [confusion.classes[i] for i in shown]
    of_shown = results.predictions["y_true"].isin(names) & results.predictions["y_pred"].isin(names)
    images = choose_cell_images(results.predictions[of_shown], per_cell=settings.cell_size, total=settings.cells_total)
    row_sums = confusion.counts.sum(axis=1)

    def cell(i: int, j: int) -> Cell:
        true, predicted, count = confusion.classes[i], confusion.classes[j], int(confusion.counts[i, j])
        return Cell(i, j, true, predicted, count, count / max(int(row_sums[i]), 1), images.get((true, predicted), []))

    rows = [[cell(i, j) for j in shown] for i in shown]
    wrong = [cell for row in rows for cell in row if cell.count and not cell.correct]
    confusions = sorted(wrong, key=lambda cell: (-cell.count, -cell.shade))[:TOP_CONFUSIONS]
    return Matrix(names, len(confusion.classes), rows, confusions)


def _count_images(confusion: Confusion) -> np.ndarray:
    """Count the images labelled or predicted as each class, shape `(classes,)`."""
    counts: np.ndarray = confusion.counts.sum(axis=0) + confusion.counts.sum(axis=1)
    return counts


def choose_cell_images(
    predictions: pd.DataFrame, *, per_cell: int, total: int
) -> dict[tuple[str, str], list[CellImage]]:
    """Choose test images for each pair of true and predicted class, the most confident first.

    Every cell gets its first image before any gets its second. Mistakes come before correct predictions and frequent
    mistakes before rare ones: with many classes, `total` images show the most informative cells.
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


def make_galleries(results: TargetResults, size: int) -> list[Gallery]:
    """Make a gallery of at most `size` images per kind of outlier; kinds without images have none."""
    numbers = {name: str(number) for number, name in enumerate(results.confusion.classes)}
    outliers = results.outliers
    return [
        _make_gallery(kind, texts, outliers[outliers["kind"] == kind], size, numbers)
        for kind, texts in results.kinds.items()
    ]


def _make_gallery(kind: str, texts: KindTexts, table: pd.DataFrame, size: int, numbers: dict[str, str]) -> Gallery:
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
    return Gallery(kind, texts.title, texts.explanation, rows, len(table))


def choose_thumbnail_sizes(matrix: Matrix, galleries: Sequence[Gallery], px: int) -> dict[str, int]:
    """Choose the longest side of every image of the page: `px`, or half of it for images shown only as neighbours."""
    neighbours = [image for gallery in galleries for outlier in gallery.outliers for image in outlier.neighbours]
    in_cells = [image.image for cell in matrix.open_cells for image in cell.images]
    in_galleries = [outlier.image for gallery in galleries for outlier in gallery.outliers]
    return dict.fromkeys(neighbours, px // 2) | dict.fromkeys([*in_cells, *in_galleries], px)
