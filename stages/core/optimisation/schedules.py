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


def warmup_then_cosine(peak: float, done: float, *, warmup: float, total: float) -> float:
    """Rise in a straight line, then fall to zero along half a cosine (Loshchilov and Hutter, "SGDR", 2017).

    rate = peak · done / warmup                                            while done < warmup
    rate = peak · (1 + cos(π · (done - warmup) / (total - warmup))) / 2    afterwards

    Parameters
    ----------
    peak
        The highest rate.
    done, warmup, total
        Epochs before this step, epochs of the rise, epochs in all; or shares of all steps, with a total of 1.

    Examples
    --------
    >>> [warmup_then_cosine(1.0, done, warmup=2.0, total=10.0) for done in (1.0, 2.0, 6.0, 10.0)]
    [0.5, 1.0, 0.5, 0.0]
    """
    if done < warmup:
        return peak * done / warmup
    return peak * _half_cosine(1.0, 0.0, (done - warmup) / max(total - warmup, 1e-9))


def one_cycle(peak: float, done: float, *, total: float) -> float:
    """Rise along half a cosine from a 25th of the peak over the first 30 %, then fall to nearly zero along another."""
    share = done / total
    if share < RISE_SHARE:
        return peak * _half_cosine(START_FACTOR, 1.0, share / RISE_SHARE)
    return peak * _half_cosine(1.0, END_FACTOR, (share - RISE_SHARE) / (1 - RISE_SHARE))


def plateau(peak: float, done: float, *, warmup: float, scores: Sequence[float]) -> float:
    """Rise in a straight line, then halve the rate whenever the best score is three epochs old."""
    if done < warmup:
        return peak * done / warmup
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
