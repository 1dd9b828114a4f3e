"""The linear probe that the trained LSTM is averaged with: a logistic regression that is fitted by itself.

In: an image's mean normalised token and its label. Out: weights, biases and the probe's temperature. How they become
part of the head is left to `lstm`.
"""

import numpy as np

from stages.core.head.logistic import best_on, logistic_path_over
from stages.core.head.temperature import fit_temperature

# Inverse strengths of the regularisation (scikit-learn's C) to try, ascending; without val one is taken as it is.
STRENGTHS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.1)
STRENGTH_WITHOUT_VAL = 0.001
CHANNELS = 256

Labelled = tuple[np.ndarray, np.ndarray]


def fit_probe(train: Labelled, val: Labelled | None, classes: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Fit the logistic regression; val decides its regularisation by macro F1, and its temperature.

    Parameters
    ----------
    train, val
        Inputs `(n, channels)`, float32, divided by the train inputs' deviation in place, and class indices `(n,)`. A
        class that does not occur in train gets the share of half an image.
    classes
        Number of classes.

    Returns
    -------
    weights, biases : ndarray
        Shapes `(classes, channels)` and `(classes,)`: logits are `x @ weights.T + biases` of inputs as they were given.
    temperature : float
        That calibrates these logits on val; 1 without val.
    """
    x, y = train
    # A few channels at a time, since a standard deviation takes a copy of its input.
    std = np.concatenate([x[:, start : start + CHANNELS].std(axis=0) for start in range(0, x.shape[1], CHANNELS)])
    std[std < 1e-6] = 1.0
    x /= std
    if val is None:
        weights, biases = logistic_path_over(x, y, classes, (STRENGTH_WITHOUT_VAL,))[0]
        return weights / std, biases, 1.0
    x_val, y_val = val
    x_val /= std
    solutions = logistic_path_over(x, y, classes, STRENGTHS)
    weights, biases = solutions[best_on(x_val, y_val, solutions)]
    return weights / std, biases, fit_temperature(x_val @ weights.T + biases, y_val)
