"""How well probabilities match what happens: their log-likelihood, and the temperature that fits them best.

In: logits and labels. Out: a number.
"""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from stages.core.scoring.calibration import expected_calibration_error


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood in nats, -mean(log softmax(logits)[label]): logits `(n, classes)`, labels `(n,)`.

    Examples
    --------
    >>> round(negative_log_likelihood(np.zeros((3, 4)), np.array([0, 1, 2])), 4)  # log 4
    1.3863
    """
    return float(-log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(labels)), labels].mean())


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Find the temperature that makes the confidence of validation predictions match their accuracy.

    Temperature scaling (Guo et al., "On Calibration of Modern Neural Networks", 2017): the one number
    T = argmin negative_log_likelihood(logits / T, labels). Dividing the logits by it changes no prediction.
    """

    def loss(log_t: float) -> float:
        return negative_log_likelihood(logits / np.exp(log_t), labels)

    result = minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded")
    return float(np.exp(result.x))


def calibrated_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood in nats once the temperature fits: what two heads are compared by."""
    return negative_log_likelihood(logits / fit_temperature(logits, labels), labels)


def fit_harmless_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Find the temperature of `fit_temperature`, or 1 where that one raises the calibration error of these images.

    The likelihood and the calibration error can disagree, of predictions that are nearly calibrated above all.
    """
    temperature = fit_temperature(logits, labels)
    before, after = (expected_calibration_error(labels, softmax(logits / t, axis=1)) for t in (1.0, temperature))
    return temperature if after <= before else 1.0
