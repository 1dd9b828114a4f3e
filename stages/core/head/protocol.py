"""What a head must offer, so that training, evaluation, outliers, prediction and the search can use it.

In: settings and sizes. Out: a torch module from features to logits. Everything else about a head is its own affair:
nothing outside its own files reads its layers.
"""

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import torch
from torch import nn

from stages.core.head.settings import HeadSettings
from stages.core.head.training_data import TrainingData

S = TypeVar("S", bound=HeadSettings)


class Head(nn.Module, ABC, Generic[S]):
    """A classifier on cached features.

    Parameters
    ----------
    settings
        Of its kind.
    channels
        Size of a token.
    classes
        Number of logits.
    """

    def __init__(self, settings: S, *, channels: int, classes: int) -> None:
        super().__init__()
        self.settings, self.channels, self.classes = settings, channels, classes

    @abstractmethod
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map features `(n, tokens, channels)` of any float dtype to logits `(n, classes)`, float32."""

    def prepare(self, data: TrainingData) -> None:
        """Take what is needed from the train rows before the first step, such as statistics of the inputs."""

    def finish(self, data: TrainingData) -> str:
        """Add what is fitted once the best epoch's weights are back, such as a second model to average with.

        Returns
        -------
        str
            What was done, `averaged with …`; empty if nothing was to be done: the logits are those of the best epoch.
        """
        return ""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device
