"""How confident a prediction is: its probability, margin and entropy.

In: probabilities. Out: three numbers per image, as outliers.csv and out_of_sample.csv hold them.
"""

import numpy as np
import pandas as pd
from scipy.special import entr


def measure_confidence(probabilities: np.ndarray) -> pd.DataFrame:
    """Measure how confident each prediction is.

    Parameters
    ----------
    probabilities
        Shape `(n, classes)`, two classes or more.

    Returns
    -------
    DataFrame
        A row per image: `confidence` (the highest probability), `margin` (its lead over the second) and `entropy`
        (1 where all classes are equally probable, 0 where one is certain).

    Examples
    --------
    >>> measure_confidence(np.array([[0.75, 0.25], [0.5, 0.5]])).round(2).to_numpy().tolist()
    [[0.75, 0.5, 0.81], [0.5, 0.0, 1.0]]
    """
    top = -np.partition(-probabilities, 1, axis=1)[:, :2]
    entropy = entr(probabilities).sum(axis=1) / np.log(probabilities.shape[1])
    return pd.DataFrame({"confidence": top[:, 0], "margin": top[:, 0] - top[:, 1], "entropy": entropy.clip(0, 1)})
