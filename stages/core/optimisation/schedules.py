"""Learning-rate schedules as plain functions of how far training is, shared by heads and fine-tuning.

In: the peak rate, the epochs done and the epochs there will be. Out: the rate of the next step. Nothing is remembered
between calls, so a resumed training has nothing to restore. Which schedule is used is left to the caller.
"""

import math
from collections.abc import Sequence

# One-cycle as in Smith and Topin, "Super-Convergence" (2018), with the defaults of torch's OneCycleLR.
RISE_SHARE, START_FACTOR, END_FACTOR = 0.3, 1 / 25, 1e-4 / 25
# Plateau: halve after this many epochs without a better score.
PLATEAU_PATIENCE, PLATEAU_FACTOR = 3, 0.5


def rise_linearly(peak: float, done: float, warmup: float) -> float:
    """Compute the rate of a warm-up: peak · done / warmup."""
    return peak * done / warmup


def fall_along_cosine(peak: float, done: float, total: float = 1.0) -> float:
    """Fall from the peak to zero along half a cosine (Loshchilov and Hutter, "SGDR", 2017).

    rate = peak · (1 + cos(π · done / total)) / 2

    Parameters
    ----------
    peak
        The rate at the start of the fall.
    done, total
        How much of the fall is done, of how much: epochs, or a share of 1.

    Examples
    --------
    >>> [fall_along_cosine(1.0, done, 10.0) for done in (0.0, 5.0, 10.0)]
    [1.0, 0.5, 0.0]
    """
    return peak * (0.5 * (1 + math.cos(math.pi * min(done, total) / total)))


def warmup_then_cosine(peak: float, done: float, *, warmup: float, total: float = 1.0) -> float:
    """Rise in a straight line until `warmup`, then fall to zero along half a cosine until `total`.

    Examples
    --------
    >>> [warmup_then_cosine(1.0, done, warmup=2.0, total=10.0) for done in (1.0, 2.0, 6.0, 10.0)]
    [0.5, 1.0, 0.5, 0.0]
    """
    if done < warmup:
        return rise_linearly(peak, done, warmup)
    return fall_along_cosine(peak, done - warmup, max(total - warmup, 1e-9))


def follow_one_cycle(peak: float, done: float, total: float) -> float:
    """Rise along half a cosine from a 25th of the peak over the first 30 %, then fall to nearly zero along another."""
    share = done / total
    if share < RISE_SHARE:
        return peak * _half_cosine(START_FACTOR, 1.0, share / RISE_SHARE)
    return peak * _half_cosine(1.0, END_FACTOR, (share - RISE_SHARE) / (1 - RISE_SHARE))


def halve_at_plateaus(peak: float, scores: Sequence[float]) -> float:
    """Halve the rate whenever the best of the scores so far is three epochs old."""
    return peak * PLATEAU_FACTOR ** _count_plateaus(scores)


def _half_cosine(start: float, end: float, share: float) -> float:
    """Interpolate from start to end: end + (start - end) · (1 + cos(π · share)) / 2."""
    return end + (start - end) * (1 + math.cos(math.pi * min(share, 1.0))) / 2


def _count_plateaus(scores: Sequence[float]) -> int:
    """How many times the best score stayed the best for another `PLATEAU_PATIENCE` epochs."""
    best, waited, count = -math.inf, 0, 0
    for score in scores:
        best, waited = (score, 0) if score > best else (best, waited + 1)
        if waited == PLATEAU_PATIENCE:
            waited, count = 0, count + 1
    return count
