"""Low confidence: images whose most probable class is improbable.

In: out-of-sample probabilities and labels. Out: labelled images, the least confident first.
"""

import numpy as np
import pandas as pd

from stages.core.features.labelled import UNLABELLED
from stages.outliers.outlier_kind import Evidence, OutlierKind, ranked_table


def find_low_confidence(evidence: Evidence) -> pd.DataFrame:
    """Rank labelled images by one minus the highest probability; the reason names the two most probable classes."""
    data, probabilities = evidence.data, evidence.probabilities
    rows = np.flatnonzero(data.labels != UNLABELLED)
    order = np.argsort(-probabilities[rows], axis=1, kind="stable")[:, :2]
    top = np.take_along_axis(probabilities[rows], order, axis=1)
    names = np.array(data.classes, dtype=object)
    reasons = [
        f"{names[first]} at {p_first:.2f}, {names[second]} at {p_second:.2f}"
        for (first, second), (p_first, p_second) in zip(order, top, strict=True)
    ]
    return ranked_table(rows, 1 - top[:, 0], reasons)


KIND = OutlierKind(
    name="low_confidence",
    title="Low confidence",
    explanation="No label convinces the head: works between two classes, or unlike the others of theirs.",
    page_order=2,
    find=find_low_confidence,
)
