"""What a kind of outlier is: its name, its texts, and the function that finds and ranks its images.

In: `Evidence`, the same for every kind. Out: a ranked table per kind. Which kinds exist is left to `kinds`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stages.core.features.labelled import LabelledFeatures


@dataclass(frozen=True)
class Evidence:
    """What is known of every image; each kind of outlier uses the part it needs.

    Attributes
    ----------
    data
        The table of images, their labels and features.
    probabilities
        Shape `(n, classes)`, float64: predictions by models that have not seen the image, calibrated.
    distances
        Shape `(n, neighbours)`, float64, ascending: Euclidean distances to the nearest other pictures; `inf` where
        there are fewer.
    """

    data: LabelledFeatures
    probabilities: np.ndarray
    distances: np.ndarray


@dataclass(frozen=True)
class OutlierKind:
    """One kind of outlier, an entry of the registry `KINDS`.

    Attributes
    ----------
    name
        The value in column `kind` of outliers.csv; the same as its module's name.
    title, explanation
        Its heading on the pages and the sentence below it.
    page_order
        Pages show the kinds in ascending order of this number.
    find
        Ranks the images of this kind; returns a table made by `ranked_table`.
    counts
        Whether `find` decides how many images are of this kind; otherwise it ranks all, and the first are listed.
    """

    name: str
    title: str
    explanation: str
    page_order: int
    find: Callable[[Evidence], pd.DataFrame]
    counts: bool = False


def ranked_table(
    rows: np.ndarray, scores: np.ndarray, reasons: Sequence[str], suggested: np.ndarray | str = ""
) -> pd.DataFrame:
    """Sort images by score, the highest first; equal scores keep the order of the rows.

    Parameters
    ----------
    rows
        Shape `(m,)`, int64: row numbers in the table of images.
    scores
        Shape `(m,)`, float64.
    reasons
        Why each image is listed, in words.
    suggested
        The class that each image may belong to instead, or one empty text for all.

    Returns
    -------
    DataFrame
        Columns row, score, suggested, reason.

    Examples
    --------
    >>> ranked_table(np.array([4, 7]), np.array([0.1, 0.9]), ["near", "far"])["row"].tolist()
    [7, 4]
    """
    table = pd.DataFrame({"row": rows, "score": scores, "suggested": suggested, "reason": list(reasons)})
    return table.sort_values(["score", "row"], ascending=[False, True], ignore_index=True)
