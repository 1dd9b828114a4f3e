"""Settings of the head and of its training."""

from typing import Literal

from pydantic import Field

from stages.core.settings import Settings


class HeadSettings(Settings):
    """The classifier on top of the features (`head` in params.yaml)."""

    hidden_size: int = Field(64, ge=1, le=8192)
    """Units in each of the two LSTM layers, per direction."""
    bidirectional: bool = True
    """Walk the tokens from both ends."""
    readout: Literal["last", "mean", "attention"] = "mean"
    """What the linear layer sees: the last state, the mean over the sequence, or a learned weighted mean."""
    input_power: float = Field(0.5, gt=0, le=1)
    """Of the features' sizes, signs kept; 0.5, the square root, brings a ReLU network's rare large values closer."""
    input_norm: Literal["standardise", "layer_norm", "none"] = "standardise"
    """Of the features: by the train split's mean and deviation per channel, by each token's own, or none."""
    input_scale: float = Field(1.0, gt=0, le=100)
    """Factor on the normalised features."""
    projection: int = Field(128, ge=0, le=8192)
    """Size that a linear layer brings each token to before the LSTM; 0: the LSTM reads the tokens themselves."""
    skip: Literal["none", "learned", "probe"] = "probe"
    """Add the logits of a linear layer on the mean token to the LSTM's: learned along with it, or a probe: a logistic
    regression solved by itself, the two calibrated on val and averaged."""
    feature_dropout: float = Field(0.5, ge=0, lt=1)
    """Share of channels dropped per image, the same ones in each of its tokens, in training; in steps of 1/256."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Share of activations dropped between the layers and before the linear layer, in training."""


class TrainSettings(Settings):
    """The optimisation (`train` in params.yaml)."""

    lr: float = Field(1e-3, gt=0, le=10)
    """AdamW's learning rate at its peak."""
    schedule: Literal["cosine", "one_cycle", "plateau"] = "cosine"
    """How the rate moves: `schedules.learning_rate` draws it."""
    warmup_epochs: float = Field(0.0, ge=0, le=1000)
    """Epochs in which the rate rises from zero (cosine and plateau)."""
    batch_size: int = Field(32, ge=1, le=65_536)
    """Images per step."""
    weight_decay: float = Field(0.3, ge=0, le=10)
    """AdamW's decoupled weight decay, of matrices only."""
    clip_norm: float = Field(1.0, ge=0, le=1e6)
    """Largest norm of the gradient; 0: not clipped."""
    imbalance: Literal["none", "balanced", "logit_adjustment"] = "logit_adjustment"
    """Against large classes that swallow small ones: weights inverse to class size, or logit adjustment."""
    tau: float = Field(0.3, ge=0, le=10)
    """Strength of the logit adjustment; 1 aims at the balanced error."""
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    """Share of each label spread over all classes."""
    mixup: float = Field(0.4, ge=0, le=100)
    """Mix-up of the features: alpha of the Beta distribution that shares are drawn from; 0: off."""
    ema: float = Field(0.99, ge=0, lt=1)
    """Decay per step of an exponential moving average of the weights, which is then what is scored and kept; 0: off."""
    epochs: int = Field(20, ge=1, le=10_000)
    """Passes over the train split at most; cosine and one-cycle reach their end with the last."""
    patience: int = Field(8, ge=1, le=10_000)
    """Epochs without a better validation macro F1 after which training stops."""
    tensorboard: bool = False
    """Write TensorBoard's event files too, in `.training/TARGET/tensorboard` (needs the `tensorboard` extra)."""
    placement: Literal["auto", "gpu", "ram", "stream"] = "auto"
    """Where features are read from: the GPU's memory, the computer's, or the cache's file batch by batch; auto takes
    the first that has room. It changes the speed and no result."""
    random_state: int = Field(0, ge=0, le=2**32 - 1)
    """Seed of the initial weights, the order of images, the views drawn, the dropout and the mix-up."""
