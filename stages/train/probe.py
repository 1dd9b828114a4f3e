"""The linear path of a head: a logistic regression solved by itself, which the trained LSTM is averaged with.

In: a head whose LSTM has learned, features, labels. Out: the head's weights, in place: the logits are then the mean of
the two paths' calibrated ones, a geometric mean of probabilities. Two models that err in different images are better
together than either (Hinton, "Training products of experts by minimizing contrastive divergence", 2002).
"""

import numpy as np
import torch

from stages.train.calibration import fit_temperature
from stages.train.head import LSTMHead, predict_rows
from stages.train.logistic import best_on, logistic_path
from stages.train.placement import FeatureArray, blocks

# Inverse strengths of the regularisation (scikit-learn's C) to try, ascending; without val the middle one is taken.
STRENGTHS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.1)
STRENGTH_WITHOUT_VAL = 0.001


@torch.no_grad()
def blend_with_probe(
    head: LSTMHead, features: FeatureArray, labels: np.ndarray, train: np.ndarray, val: np.ndarray | None
) -> None:
    """Set the skip path to a logistic regression, and scale both paths so that their sum is the calibrated mean.

    Parameters
    ----------
    head
        A trained head whose skip path is silent so far.
    features
        Shape `(n, views, tokens, channels)`; view 0 is used.
    labels
        Shape `(n,)`; every class occurs in `train`.
    train, val
        Row indices; val decides the strength of the regularisation by macro F1, and both temperatures.
    """
    x = _path_inputs(head, features, train)
    std = x.std(axis=0)
    std[std < 1e-6] = 1.0
    x /= std
    if val is None:
        weights, biases = logistic_path(x, labels[train], (STRENGTH_WITHOUT_VAL,))[0]
        of_lstm = of_probe = 1.0
    else:
        z = _path_inputs(head, features, val) / std
        solutions = logistic_path(x, labels[train], STRENGTHS)
        weights, biases = solutions[best_on(z, labels[val], solutions)]
        of_lstm = fit_temperature(predict_rows(head, features, val), labels[val])
        of_probe = fit_temperature(z @ weights.T + biases, labels[val])
    for parameter in (head.linear.weight, head.linear.bias):
        parameter.div_(2 * of_lstm)
    head.skip.weight.copy_(torch.from_numpy(weights / std / (2 * of_probe)))
    head.skip.bias.copy_(torch.from_numpy(biases / (2 * of_probe)))


def _path_inputs(head: LSTMHead, features: FeatureArray, rows: np.ndarray) -> np.ndarray:
    """The mean of the normalised tokens, `(rows, channels)`, float32."""
    device = head.input_mean.device
    parts = [
        head.normalised(torch.as_tensor(features[block, 0]).to(device)).mean(dim=1).cpu()
        for block in blocks(features, rows)
    ]
    return torch.cat(parts).numpy()
