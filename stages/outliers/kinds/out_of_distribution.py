"""Out of distribution: images unlike anything else in the collection.

In: distances to the nearest neighbours. Out: all images that have neighbours, the farthest first.
"""

import numpy as np
import pandas as pd

from stages.outliers.outlier_kind import Evidence, OutlierKind, ranked_table


def find_out_of_distribution(evidence: Evidence) -> pd.DataFrame:
    """Rank images by their mean distance to their nearest neighbours; the reason compares it with the median."""
    distances = evidence.distances
    finite = np.isfinite(distances)
    rows = np.flatnonzero(finite.any(axis=1))
    mean = np.where(finite, distances, 0).sum(axis=1)[rows] / finite.sum(axis=1)[rows]
    median = float(np.median(mean)) if len(mean) else 1.0
    reasons = [f"{value / max(median, 1e-9):.1f} x the usual distance to its neighbours" for value in mean]
    return ranked_table(rows, mean, reasons)


KIND = OutlierKind(
    name="out_of_distribution",
    title="Out of distribution",
    explanation="Unlike anything: far from every other image in feature space, often no artwork of this collection.",
    page_order=3,
    find=find_out_of_distribution,
)
