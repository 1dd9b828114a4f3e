"""Settings of the LSTM head.

In: `head` of params.yaml. Out: frozen, checked values. The model is in `lstm.py`: it needs torch, settings do not.
"""

from typing import Literal

from pydantic import Field

from stages.core.head.settings import HeadSettings


class LSTMSettings(HeadSettings):
    """A two-layer LSTM over an image's tokens, averaged with a linear probe (`head` in params.yaml)."""

    kind: Literal["lstm"] = "lstm"
    """Which head."""
    hidden_size: int = Field(64, ge=1, le=8192)
    """Units in each of the two LSTM layers, per direction."""
    bidirectional: bool = True
    """Read the tokens in both directions."""
    readout: Literal["last", "mean"] = "mean"
    """What the linear layer sees: the last state, or the mean over the sequence."""
    power_norm: float = Field(0.5, gt=0, le=1)
    """Exponent of the signed power normalisation of the features, sign(x) · abs(x)^power_norm: 0.5, the square root,
    brings a ReLU network's rare large values closer; 1: off."""
    input_norm: Literal["standardise", "layer_norm", "none"] = "standardise"
    """Of the features: by the train split's mean and deviation per channel, by each token's own, or none."""
    input_scale: float = Field(1.0, gt=0, le=100)
    """Factor on the normalised features."""
    projection: int = Field(128, ge=0, le=8192)
    """Size to which a linear layer brings each token before the LSTM; 0: the LSTM reads the tokens themselves."""
    skip: Literal["none", "probe"] = "probe"
    """probe: fit a logistic regression on the mean token by itself, calibrate both on val and average their logits;
    none: the LSTM alone."""
    feature_dropout: float = Field(0.5, ge=0, lt=1)
    """Share of channels dropped per image, the same ones in each of its tokens, in training; in steps of 1/256."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Share of activations dropped between the layers and before the linear layer, in training."""
