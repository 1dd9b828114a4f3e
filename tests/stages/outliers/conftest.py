"""Labels and tables without a project behind them, for tests of what the study does with them."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from stages.core.features.labelled import UNLABELLED, LabelledFeatures
from stages.outliers.levels import Property


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
def yes() -> Callable[..., Property]:
    """A property that images have or have not."""

    def make(name: str, values: np.ndarray) -> Property:
        return Property(name, ["no", "yes"], ["Other images", f"Images of {name}"], values.astype(int), [1])

    return make
