"""The linear path of a head, solved before training: a logistic regression on what the path will see.

In: a head with a skip path, features, labels. Out: the path's weights, in place. Training then leaves them as they are
and the LSTM learns what they lack. Linear probing before fine-tuning is from Kumar et al., "Fine-tuning can distort
pretrained features and underperform out-of-distribution" (2022).
"""

import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from stages.train.head import LSTMHead
from stages.train.placement import FeatureArray, blocks

# Inverse strengths of the regularisation (scikit-learn's C) to try; without a val split the middle one is taken.
STRENGTHS = (0.001, 0.01, 0.1)
MAX_ITERATIONS = 200


@torch.no_grad()
def solve_skip_path(
    head: LSTMHead, features: FeatureArray, labels: np.ndarray, train: np.ndarray, val: np.ndarray | None
) -> None:
    """Set the skip path to the logistic regression that does best on val, and freeze it.

    Parameters
    ----------
    head
        A head with a skip path and its input statistics set, on the CPU.
    features
        Shape `(n, views, tokens, channels)`; view 0 is used.
    labels
        Shape `(n,)`; every class occurs in `train`.
    train, val
        Row indices; val decides the strength of the regularisation by macro F1.
    """
    x = _path_inputs(head, features, train)
    std = x.std(axis=0)
    std[std < 1e-6] = 1.0
    strengths = (STRENGTHS[1],) if val is None else STRENGTHS
    fits = [_fit(x / std, labels[train], strength) for strength in strengths]
    best = 0
    if val is not None:
        z = _path_inputs(head, features, val) / std
        best = int(np.argmax([f1_score(labels[val], fit.predict(z), average="macro", zero_division=0) for fit in fits]))
    weights, biases = fits[best].coef_, fits[best].intercept_
    if len(weights) == 1:  # of two classes scikit-learn gives the second one's log-odds
        weights, biases = np.concatenate([-weights, weights]) / 2, np.concatenate([-biases, biases]) / 2
    head.skip.weight.copy_(torch.from_numpy(weights / std))
    head.skip.bias.copy_(torch.from_numpy(biases))
    head.skip.requires_grad_(False)


def _fit(x: np.ndarray, y: np.ndarray, strength: float) -> LogisticRegression:
    with warnings.catch_warnings():
        # On a weakly regularised fit the last digits of the optimum change no prediction.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=strength, max_iter=MAX_ITERATIONS).fit(x, y)


def _path_inputs(head: LSTMHead, features: FeatureArray, rows: np.ndarray) -> np.ndarray:
    """The mean of the normalised tokens, `(rows, channels)`, float32."""
    parts = [head.normalised(torch.as_tensor(features[block, 0]).cpu()).mean(dim=1) for block in blocks(features, rows)]
    return torch.cat(parts).numpy()
