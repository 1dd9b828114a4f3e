"""An exponential moving average of a head's weights: steadier than the last step's, at the cost of one more copy.

In: the head after each step. Out: a head that holds the average, to be scored and kept.
"""

import copy

import torch

from stages.core.head.lstm import LSTMHead


class WeightAverage:
    """Averages weights as training goes (Polyak and Juditsky, "Acceleration of stochastic approximation", 1992).

    Parameters
    ----------
    head
        The head in training.
    decay
        Share of the old average that each step keeps. It is lower in the first steps, (1 + t) / (10 + t), so that the
        initial weights are soon forgotten.

    Attributes
    ----------
    head
        The averaged head.
    steps
        Steps averaged over so far.
    """

    def __init__(self, head: LSTMHead, decay: float) -> None:
        self.head, self.decay, self.steps = copy.deepcopy(head), decay, 0
        self._averages, self._weights = list(self.head.parameters()), list(head.parameters())

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the weights of the head in training."""
        keep = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self._averages, self._weights, 1 - keep)
        self.steps += 1
