"""The images that a head is fitted to.

In: features, labels and rows, wherever they come from. Out: one value that training, the search and the folds pass on.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.core.features.labelled import LabelledFeatures
from stages.core.features.placement import FeatureArray


@dataclass(frozen=True)
class TrainingData:
    """Features and labels, and which rows are trained and validated on.

    Attributes
    ----------
    features
        Shape `(n, views, tokens, channels)`, float16, wherever `place` put them. Training draws a view per image and
        epoch; scores use view 0.
    labels
        Shape `(n,)`, int64: class indices.
    classes
        Number of classes.
    train, val
        Row indices. Without `val` no epoch is selected: the last one is the best.
    kept
        Folder for what depends on the images and on no seed, so that trainings of other seeds need not compute it
        again; None keeps nothing. It changes no bit of a head.
    """

    features: FeatureArray
    labels: np.ndarray
    classes: int
    train: np.ndarray
    val: np.ndarray | None
    kept: Path | None = None

    @classmethod
    def of(cls, data: LabelledFeatures, placed: FeatureArray) -> "TrainingData":
        """The train and val rows of a target, its features read from where `place` put them."""
        return cls(placed, data.labels, len(data.classes), data.rows("train"), data.rows("val"))
