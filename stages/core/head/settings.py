"""Settings that every head has, and those of its training.

In: `head` and `train` of params.yaml. Out: frozen, checked values. A head's own settings stand in its own file.
"""

from typing import Literal

from pydantic import Field

from stages.core.settings import Settings


class HeadSettings(Settings):
    """The classifier on top of the features (`head` in params.yaml); each head of `registry.HEADS` adds its keys."""

    kind: str
    """Which head."""


class TrainSettings(Settings):
    """The optimisation (`train` in params.yaml)."""

    lr: float = Field(1e-3, gt=0, le=10)
    """AdamW's learning rate at its peak."""
    schedule: Literal["cosine", "one_cycle", "plateau"] = "cosine"
    """How the rate changes: see `stages/core/optimisation/schedules.py`."""
    warmup_epochs: float = Field(0.0, ge=0, le=1000)
    """Epochs in which the rate rises from zero (cosine and plateau)."""
    batch_size: int = Field(32, ge=1, le=65_536)
    """Images per step."""
    weight_decay: float = Field(0.3, ge=0, le=10)
    """AdamW's decoupled weight decay, of matrices only."""
    clip_norm: float = Field(1.0, ge=0, le=1e6)
    """Largest norm of the gradient; 0: not clipped."""
    imbalance: Literal["none", "balanced", "logit_adjustment"] = "logit_adjustment"
    """What keeps large classes from swallowing small ones: weights inverse to class size, or logit adjustment."""
    tau: float = Field(0.3, ge=0, le=10)
    """Strength of the logit adjustment; 1 aims at the balanced error."""
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    """Share of each label spread over all classes."""
    mixup: float = Field(0.4, ge=0, le=100)
    """Mix-up of the features: alpha of the Beta distribution that shares are drawn from; 0: off."""
    epochs: int = Field(20, ge=1, le=10_000)
    """Passes over the train split at most; cosine and one-cycle reach their end with the last."""
    patience: int = Field(8, ge=1, le=10_000)
    """Epochs without a better validation macro F1 after which training stops."""
    tensorboard: bool = False
    """Also write TensorBoard's event files, in `.training/TARGET/tensorboard` (needs the `tensorboard` extra)."""
    placement: Literal["auto", "gpu", "ram", "stream"] = "auto"
    """Where features are read from: the GPU's memory, the computer's, or the cache's file batch by batch; auto takes
    the first that has room. It changes the speed and no result."""
    random_state: int = Field(0, ge=0, le=2**32 - 1)
    """Seed of the initial weights, the order of images, the views drawn, the dropout and the mix-up."""
