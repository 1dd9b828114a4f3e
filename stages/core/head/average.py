"""An exponential moving average of a head's weights: it varies less than the last step's, for one more copy in memory.

In: the head after each step. Out: a head that holds the average, which is scored and kept.
"""

import copy
from typing import Any

import torch

from stages.core.head.protocol import Head

DECAY = 0.99


class WeightAverage:
    """Averages weights during training (Polyak and Juditsky, "Acceleration of stochastic approximation", 1992).

    average_t = k · average_(t-1) + (1 - k) · weights_t, with k = min(0.99, (1 + t) / (10 + t)): the first steps keep
    less, so that the initial weights are soon forgotten.

    Parameters
    ----------
    head
        The head in training.

    Attributes
    ----------
    head
        The averaged head.
    steps
        Steps averaged over so far.
    """

    def __init__(self, head: Head[Any]) -> None:
        self.head, self.steps = copy.deepcopy(head), 0
        self._averages: list[torch.Tensor] = list(self.head.parameters())
        self._weights: list[torch.Tensor] = list(head.parameters())

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the weights of the head in training."""
        keep = min(DECAY, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self._averages, self._weights, 1 - keep)
        self.steps += 1
