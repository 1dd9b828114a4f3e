"""The linear path of a head: a logistic regression solved by itself, which the trained LSTM is averaged with.

In: a head whose LSTM has learned, features, labels. Out: the head's weights, in place: the logits are then the mean of
the two paths' calibrated ones, a geometric mean of probabilities. Two models that err in different images are better
together than either (Hinton, "Training products of experts by minimizing contrastive divergence", 2002).
"""

import warnings

import numpy as np
import torch
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from stages.train.calibration import fit_temperature
from stages.train.head import LSTMHead, predict_rows
from stages.train.placement import FeatureArray, blocks

# Inverse strengths of the regularisation (scikit-learn's C) to try, ascending; without val the middle one is taken.
STRENGTHS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.1)
STRENGTH_WITHOUT_VAL = 0.001
MAX_ITERATIONS = 300
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
        weights, biases = _solve(x, labels[train], classes, (STRENGTH_WITHOUT_VAL,))[0]
        of_lstm = of_probe = 1.0
    else:
        z = _path_inputs(head, features, val) / std
        weights, biases = _best(_solve(x, labels[train], classes, STRENGTHS), z, labels[val])
        of_lstm = fit_temperature(predict_rows(head, features, val), labels[val])
        of_probe = fit_temperature(z @ weights.T + biases, labels[val])
    for parameter in (head.linear.weight, head.linear.bias):
        parameter.div_(2 * of_lstm)
    head.skip.weight.copy_(torch.from_numpy(weights / std / (2 * of_probe)))
    head.skip.bias.copy_(torch.from_numpy(biases / (2 * of_probe)))


def _solve(
    x: np.ndarray, y: np.ndarray, classes: int, strengths: tuple[float, ...]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weights `(classes, channels)` and biases `(classes,)` per strength, each begun where the one before it ended."""
    seen = np.unique(y)
    if len(seen) == 1:
        return [_of_all_classes(np.zeros((1, x.shape[1])), np.zeros(1), seen, classes, len(y))] * len(strengths)
    model, found = LogisticRegression(max_iter=MAX_ITERATIONS, warm_start=True), []
    for strength in strengths:
        with warnings.catch_warnings():
            # On a weakly regularised fit the last digits of the optimum change no prediction.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.set_params(C=strength).fit(x, y)
        weights, biases = model.coef_.copy(), model.intercept_.copy()
        if len(weights) == 1:  # of two classes scikit-learn gives the second one's log-odds
            weights, biases = np.concatenate([-weights, weights]) / 2, np.concatenate([-biases, biases]) / 2
        found.append(_of_all_classes(weights, biases, seen, classes, len(y)))
    return found


def _of_all_classes(
    weights: np.ndarray, biases: np.ndarray, seen: np.ndarray, classes: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Give the classes that none of `count` images had the probability of half an image, whatever the features say."""
    if len(seen) == classes:
        return weights, biases
    all_weights = np.zeros((classes, weights.shape[1]), dtype=weights.dtype)
    all_biases = np.full(classes, logsumexp(biases) + np.log(0.5 / count), dtype=biases.dtype)
    all_weights[seen], all_biases[seen] = weights, biases
    return all_weights, all_biases


def _best(fits: list[tuple[np.ndarray, np.ndarray]], x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The fit with the highest macro F1."""
    predicted = [(x @ weights.T + biases).argmax(axis=1) for weights, biases in fits]
    return fits[int(np.argmax([f1_score(y, p, average="macro", zero_division=0) for p in predicted]))]


def _path_inputs(head: LSTMHead, features: FeatureArray, rows: np.ndarray) -> np.ndarray:
    """The mean of the normalised tokens, `(rows, channels)`, float32."""
    device, start = head.input_mean.device, 0
    inputs = np.empty((len(rows), features.shape[-1]), dtype=np.float32)
    for block in blocks(features, rows):
        tokens = head.normalised(torch.as_tensor(features[block, 0]).to(device))
        inputs[start : start + len(block)] = tokens.mean(dim=1).cpu().numpy()
        start += len(block)
    return inputs
