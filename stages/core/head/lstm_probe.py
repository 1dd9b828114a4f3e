"""The linear path of a head: a logistic regression solved by itself, which the trained LSTM is averaged with.

In: a head whose LSTM has learned, features, labels. Out: the head's weights, in place: the logits are then the mean of
the two paths' calibrated ones, a geometric mean of probabilities. Two models that err in different images are better
together than either (Hinton, "Training products of experts by minimizing contrastive divergence", 2002).
"""

import numpy as np
import torch
from scipy.special import logsumexp

from stages.core.features.placement import FeatureArray, blocks
from stages.core.head.logistic import Solution, best_on, logistic_path
from stages.core.head.lstm import LSTMHead, predict_rows
from stages.core.head.temperature import fit_temperature

# Inverse strengths of the regularisation (scikit-learn's C) to try, ascending; without val the middle one is taken.
STRENGTHS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.1)
STRENGTH_WITHOUT_VAL = 0.001
CHANNELS = 256


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
        Shape `(n,)`; a class that does not occur in `train`, as in a fold of find-outliers, gets half an image's share.
    train, val
        Row indices; val decides the strength of the regularisation by macro F1, and both temperatures.
    """
    x, classes = _path_inputs(head, features, train), len(head.linear.bias)
    # A few channels at a time, for a standard deviation takes a copy of what it is of.
    std = np.concatenate([x[:, start : start + CHANNELS].std(axis=0) for start in range(0, x.shape[1], CHANNELS)])
    std[std < 1e-6] = 1.0
    x /= std
    if val is None:
        weights, biases = _of_all_classes(x, labels[train], classes, (STRENGTH_WITHOUT_VAL,))[0]
        of_lstm = of_probe = 1.0
    else:
        z = _path_inputs(head, features, val) / std
        solutions = _of_all_classes(x, labels[train], classes, STRENGTHS)
        weights, biases = solutions[best_on(z, labels[val], solutions)]
        of_lstm = fit_temperature(predict_rows(head, features, val), labels[val])
        of_probe = fit_temperature(z @ weights.T + biases, labels[val])
    for parameter in (head.linear.weight, head.linear.bias):
        parameter.div_(2 * of_lstm)
    head.skip.weight.copy_(torch.from_numpy(weights / std / (2 * of_probe)))
    head.skip.bias.copy_(torch.from_numpy(biases / (2 * of_probe)))


def _of_all_classes(x: np.ndarray, y: np.ndarray, classes: int, strengths: tuple[float, ...]) -> list[Solution]:
    """`logistic_path`; classes that no image has get the probability of half an image, whatever the features say."""
    seen, y_seen = np.unique(y, return_inverse=True)
    if len(seen) == classes:
        return logistic_path(x, y, strengths)
    if len(seen) == 1:
        solutions = [(np.zeros((1, x.shape[1])), np.zeros(1))] * len(strengths)
    else:
        solutions = logistic_path(x, y_seen, strengths)
    found = []
    for weights, biases in solutions:
        all_weights = np.zeros((classes, x.shape[1]), dtype=weights.dtype)
        all_biases = np.full(classes, logsumexp(biases) + np.log(0.5 / len(y)), dtype=biases.dtype)
        all_weights[seen], all_biases[seen] = weights, biases
        found.append((all_weights, all_biases))
    return found


def _path_inputs(head: LSTMHead, features: FeatureArray, rows: np.ndarray) -> np.ndarray:
    """The mean of the normalised tokens, `(rows, channels)`, float32."""
    device, start = head.input_mean.device, 0
    inputs = np.empty((len(rows), features.shape[-1]), dtype=np.float32)
    for block in blocks(features, rows):
        tokens = head.normalised(torch.as_tensor(features[block, 0]).to(device))
        inputs[start : start + len(block)] = tokens.mean(dim=1).cpu().numpy()
        start += len(block)
    return inputs
