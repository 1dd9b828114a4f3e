"""Settings of the head and of its training."""

from typing import Literal

from pydantic import Field

from stages.settings import Settings


class HeadSettings(Settings):
    """The classifier on top of the features (`head` in params.yaml)."""

    hidden_size: int = Field(256, ge=1, le=8192)
    """Units in each of the two LSTM layers."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Share of activations dropped between the layers and before the linear layer."""
    readout: Literal["last", "mean"] = "last"
    """What the linear layer sees: the last state, or the mean over the sequence."""


class TrainSettings(Settings):
    """The optimisation (`train` in params.yaml)."""

    lr: float = Field(1e-3, gt=0, le=10)
    """AdamW's learning rate at its peak."""
    batch_size: int = Field(64, ge=1, le=65_536)
    """Images per step."""
    weight_decay: float = Field(1e-2, ge=0, le=10)
    """AdamW's decoupled weight decay."""
    epochs: int = Field(30, ge=1, le=10_000)
    """Passes over the train split at most; the learning rate falls to zero over them, along a cosine."""
    patience: int = Field(8, ge=1, le=10_000)
    """Epochs without a better validation macro F1 after which training stops."""
    placement: Literal["auto", "gpu", "ram", "stream"] = "auto"
    """Where features are read from: the GPU's memory, the computer's, or the cache's file batch by batch; auto takes
    the first that has room. It changes the speed and no result."""
    random_state: int = Field(0, ge=0, le=2**32 - 1)
    """Seed of the initial weights, the order of images, the views drawn and the dropout."""
