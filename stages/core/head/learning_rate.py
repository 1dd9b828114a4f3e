"""Learning-rate schedules, as plain functions of how far training is.

In: the settings, the epochs done and the validation scores so far. Out: the rate of the next step. Nothing is
remembered between calls, so a resumed training has nothing to restore.
"""

import math
from collections.abc import Sequence

from stages.core.head.settings import TrainSettings

# One-cycle as in Smith and Topin, "Super-Convergence" (2018), with the shares that torch's OneCycleLR has by default.
RISE_SHARE, START_FACTOR, END_FACTOR = 0.3, 1 / 25, 1e-4 / 25
# Plateau: halve after this many epochs without a better score.
PLATEAU_PATIENCE, PLATEAU_FACTOR = 3, 0.5


def learning_rate(settings: TrainSettings, epochs_done: float, scores: Sequence[float] = ()) -> float:
    """The learning rate of a step.

    Parameters
    ----------
    settings
        `lr`, `schedule`, `warmup_epochs` and `epochs`.
    epochs_done
        Passes over the train split before this step: 2.5 in the middle of the third.
    scores
        Validation macro F1 of the epochs so far, which only `plateau` looks at.

    Returns
    -------
    float
        cosine: rises in a straight line over the warm-up, then falls to zero along half a cosine. one_cycle: rises
        along a cosine over the first 30 % from a 25th of the peak, then falls to nearly zero. plateau: halved whenever
        the score has not improved for three epochs.
    """
    if settings.schedule == "one_cycle":
        return settings.lr * _one_cycle(epochs_done / settings.epochs)
    if epochs_done < settings.warmup_epochs:
        return settings.lr * max(epochs_done, 0.01) / settings.warmup_epochs
    if settings.schedule == "plateau":
        return settings.lr * PLATEAU_FACTOR ** _plateaus(scores)
    share = (epochs_done - settings.warmup_epochs) / max(settings.epochs - settings.warmup_epochs, 1e-9)
    return settings.lr * _between(1.0, 0.0, share)


def _one_cycle(share: float) -> float:
    if share < RISE_SHARE:
        return _between(START_FACTOR, 1.0, share / RISE_SHARE)
    return _between(1.0, END_FACTOR, (share - RISE_SHARE) / (1 - RISE_SHARE))


def _between(start: float, end: float, share: float) -> float:
    """Go from start to end along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2


def _plateaus(scores: Sequence[float]) -> int:
    """How many times the best score stayed the best for `PLATEAU_PATIENCE` epochs more."""
    best, waited, count = -math.inf, 0, 0
    for score in scores:
        best, waited = (score, 0) if score > best else (best, waited + 1)
        if waited == PLATEAU_PATIENCE:
            waited, count = 0, count + 1
    return count
