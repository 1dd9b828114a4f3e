"""How well confidence matches accuracy: calibration error and the reliability table.

In: labels and probabilities. Out: plain numbers and a table of bins.
"""

import numpy as np
import pandas as pd

BINS = 15


def tabulate_reliability(y_true: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """Sort predictions into bins by confidence, and compare confidence with accuracy in each.

    Parameters
    ----------
    y_true
        Class indices, shape `(n,)`.
    probabilities
        Shape `(n, classes)`.

    Returns
    -------
    DataFrame
        A row for each of 15 equally wide bins: `low` and `high` edges (low < confidence ≤ high), `n`, mean `confidence`
        and `accuracy`, which are NaN in a bin without predictions.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == y_true
    index = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    counts = np.bincount(index, minlength=BINS)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(index, weights=values, minlength=BINS) / counts for values in (confidence, correct)]
    edges = np.arange(BINS + 1) / BINS
    return pd.DataFrame(
        {"low": edges[:-1], "high": edges[1:], "n": counts, "confidence": means[0], "accuracy": means[1]}
    )


def expected_calibration_error(y_true: np.ndarray, probabilities: np.ndarray) -> float:
    """Compute the mean distance of confidence from accuracy over 15 bins, weighted by their predictions.

    ECE = Σ_b n_b / n · abs(confidence_b - accuracy_b)  (Guo et al., "On Calibration of Modern Neural Networks", 2017)

    Examples
    --------
    >>> expected_calibration_error(np.array([0, 0, 1, 1]), np.array([[1.0, 0.0]] * 4))
    0.5
    """
    bins = tabulate_reliability(y_true, probabilities)
    gaps = (bins["confidence"] - bins["accuracy"]).abs().fillna(0.0)
    return float((gaps * bins["n"]).sum() / bins["n"].sum())
