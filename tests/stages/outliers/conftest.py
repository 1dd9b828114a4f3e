"""Labels and tables without a project behind them, for tests of what the stage does with them."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from stages.core.features.labelled import UNLABELLED, LabelledFeatures
from stages.outliers.levels import Property
from stages.outliers.outlier_kind import Evidence


@pytest.fixture
def labelled() -> Callable[..., LabelledFeatures]:
    """A collection of these labels of `style`; further columns of its table as given."""

    def make(labels: Sequence[str], **columns: object) -> LabelledFeatures:
        count = len(labels)
        table = pd.DataFrame({"image": [f"{i:04d}.jpg" for i in range(count)], "style": list(labels)})
        table = table.assign(**{"width": 9, "height": 9, "group": [f"g{i}" for i in range(count)]} | columns)
        classes = sorted(set(labels) - {""})
        codes = np.array([classes.index(name) if name else UNLABELLED for name in labels])
        return LabelledFeatures("style", classes, table, codes, SimpleNamespace(), "0" * 64)

    return make


@pytest.fixture
def make_evidence(labelled: Callable[..., LabelledFeatures]) -> Callable[..., Evidence]:
    """Evidence on images with these labels; what a test does not give is uniform probabilities and equal distances."""

    def make(
        labels: Sequence[str],
        *,
        probabilities: np.ndarray | None = None,
        distances: np.ndarray | None = None,
        **columns: object,
    ) -> Evidence:
        data = labelled(labels, **columns)
        if probabilities is None:
            probabilities = np.full((len(labels), len(data.classes)), 1 / max(len(data.classes), 1))
        return Evidence(data, probabilities, np.ones((len(labels), 2)) if distances is None else distances)

    return make


@pytest.fixture
def yes() -> Callable[..., Property]:
    """A property that images have or have not."""

    def make(name: str, values: np.ndarray) -> Property:
        return Property(name, ["no", "yes"], ["Other images", f"Images of {name}"], values.astype(int), [1])

    return make
