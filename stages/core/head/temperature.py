"""How well probabilities match what happens: their log-likelihood, and the temperature that mends it.

In: logits and labels. Out: a number.
"""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood, in nats: logits `(n, classes)`, labels `(n,)`."""
    return float(-log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(labels)), labels].mean())


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Find the temperature that makes the confidence of validation predictions match their accuracy.

    Temperature scaling (Guo et al., "On Calibration of Modern Neural Networks", 2017): one number that divides the
    logits, chosen by the negative log-likelihood; it changes no prediction.
    """
    result = minimize_scalar(
        lambda log_t: negative_log_likelihood(logits / np.exp(log_t), labels), bounds=(-3.0, 3.0), method="bounded"
    )
    return float(np.exp(result.x))
