"""The head: two LSTM layers over a sequence of feature tokens, and a linear layer.

In: features `(n, tokens, channels)`. Out: logits `(n, classes)`.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from stages.core.features.placement import FeatureArray

BATCH_SIZE = 1024
SMALLEST = 1e-30  # whose reciprocal square root is still a number; float16 ends long before


class LSTMHead(nn.Module):
    """A two-layer LSTM that walks the tokens of an image.

    Parameters
    ----------
    channels
        Size of a token.
    classes
        Number of logits.
    hidden_size, dropout, readout, …
        As in `HeadSettings`; those with a default here are later than the first heads that were saved. A bidirectional
        `last` state is each direction's own last one.
    """

    def __init__(
        self,
        *,
        channels: int,
        classes: int,
        hidden_size: int,
        dropout: float,
        readout: str,
        bidirectional: bool = False,
        input_power: float = 1.0,
        input_norm: str = "standardise",
        input_scale: float = 1.0,
        projection: int = 0,
        skip: str = "none",
        feature_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.readout, self.hidden_size = readout, hidden_size
        self.input_power, self.input_norm = input_power, input_norm
        # Channels of a ReLU network differ in scale by orders of magnitude; the train split's statistics even them out.
        self.register_buffer("input_mean", torch.zeros(channels))
        self.register_buffer("input_std", torch.full((channels,), 1 / input_scale))
        self.input_scale = input_scale
        self.feature_dropout = feature_dropout
        self.projection = nn.Linear(channels, projection) if projection else None
        self.lstm = nn.LSTM(
            projection or channels, hidden_size, num_layers=2, batch_first=True, dropout=dropout,
            bidirectional=bidirectional,
        )  # fmt: skip
        states = hidden_size * (2 if bidirectional else 1)
        self.attention = nn.Linear(states, 1) if readout == "attention" else None
        self.dropout = dropout
        self.linear = nn.Linear(states, classes)
        self.skip = nn.Linear(channels, classes) if skip != "none" else None
        if self.skip is not None:
            # Learned together, both paths start silent: random weights along directions without data would stay in the
            # logits as noise. The probe is silent until the LSTM has learned.
            for layer in (self.skip,) if skip == "probe" else (self.skip, self.linear):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)
            self.skip.requires_grad_(skip != "probe")

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map `(n, tokens, channels)` of any float dtype to logits `(n, classes)`, float32."""
        tokens = self.normalised(features)
        if self.training and self.feature_dropout:
            # Whole channels: what one token has lost its neighbours would give away.
            tokens = tokens * dropout_mask((len(tokens), 1, tokens.shape[2]), self.feature_dropout, tokens.device)
        inputs = tokens if self.projection is None else self.projection(tokens)
        states = self._one_step(inputs) if inputs.shape[1] == 1 else self.lstm(inputs)[0]
        logits = self.linear(self._dropped(self._read_out(states)))
        return logits if self.skip is None else logits + self.skip(tokens.mean(dim=1))

    def flattened(self, features: torch.Tensor) -> torch.Tensor:
        """Bring rare large values closer to the others: the signed power of features of any shape, float32.

        As in Perronnin et al., "Improving the Fisher kernel for large-scale image classification" (2010).
        """
        features = features.float()
        if self.input_power == 1.0:
            return features
        sizes = features.abs()
        if self.input_power == 0.5:
            # The square root itself takes seven times as long on some processors.
            return sizes.clamp_min_(SMALLEST).rsqrt_().mul_(features)
        return sizes.pow_(self.input_power).copysign_(features)

    def normalised(self, features: torch.Tensor) -> torch.Tensor:
        """What both paths see of features of any shape `(…, channels)`, float32."""
        tokens = self.flattened(features)
        if self.input_norm == "layer_norm":
            tokens = F.layer_norm(tokens, tokens.shape[-1:])
        factor = 1 / self.input_std
        return torch.addcmul(-self.input_mean * factor, tokens, factor)

    def _one_step(self, inputs: torch.Tensor) -> torch.Tensor:
        """What the LSTM gives for a sequence of one, `(n, 1, units)`, in half the time.

        States before the first token are zero: nothing is forgotten, the recurrent weights have nothing to multiply.
        """
        names = ["", "_reverse"] if self.lstm.bidirectional else [""]
        for layer in range(self.lstm.num_layers):
            of_layer = {
                kind: torch.cat([getattr(self.lstm, f"{kind}_l{layer}{name}") for name in names])
                for kind in ("weight_ih", "bias_ih", "bias_hh")
            }
            gates = F.linear(inputs, of_layer["weight_ih"], of_layer["bias_ih"] + of_layer["bias_hh"]).float()
            enters, _, cell, leaves = gates.unflatten(-1, (len(names), 4, self.hidden_size)).unbind(-2)
            inputs = (leaves.sigmoid() * (enters.sigmoid() * cell.tanh()).tanh()).flatten(-2)
            if layer + 1 < self.lstm.num_layers:
                inputs = self._dropped(inputs)
        return inputs

    def _dropped(self, states: torch.Tensor) -> torch.Tensor:
        """Dropout of activations, in training."""
        if not (self.training and self.dropout):
            return states
        return states * dropout_mask(states.shape, self.dropout, states.device)

    def _read_out(self, states: torch.Tensor) -> torch.Tensor:
        """Map states `(n, tokens, units)` to one vector an image, `(n, units)`."""
        if self.attention is not None:
            return (self.attention(states).softmax(dim=1) * states).sum(dim=1)
        if self.readout == "mean":
            return states.mean(dim=1)
        # The second direction ends at the first token (and is empty where there is none).
        return torch.cat([states[:, -1, : self.hidden_size], states[:, 0, self.hidden_size :]], dim=1)

    def set_input_statistics(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        """Standardise by this mean and deviation of flattened features, each `(channels,)`, if the settings say so."""
        if self.input_norm == "standardise":
            self.input_mean.copy_(mean)
            # A channel that never moves in train says nothing, and must not shout in an image in which it does.
            moving = torch.where(std > 1e-6, std, torch.ones_like(std))
            self.input_std.copy_(moving / self.input_scale)


def dropout_mask(shape: tuple[int, ...], share: float, device: torch.device) -> torch.Tensor:
    """Zeros, about this share (to the nearest 1/256), and what keeps the mean in all other places; float32.

    Eight bytes from each number that the generator gives: on a CPU it gives them one by one, and took a third of a
    training step for a number per channel. Comparing floats in place is several times as fast as making booleans.
    """
    count = math.prod(shape)
    words = torch.empty(-(-count // 8), dtype=torch.int64, device=device).random_(-(2**63), None)
    dropped = min(max(round(share * 256), 1), 255)
    kept = words.view(torch.int8)[:count].view(shape).float().ge_(dropped - 128)
    return kept.mul_(256 / (256 - dropped))


@torch.inference_mode()
def predict_logits(head: LSTMHead, features: np.ndarray | torch.Tensor) -> np.ndarray:
    """Run a head over `(n, tokens, channels)`; logits `(n, classes)`, float32."""
    head.eval()
    device = head.linear.weight.device
    parts = [
        head(torch.as_tensor(features[start : start + BATCH_SIZE]).to(device)).cpu().numpy()
        for start in range(0, len(features), BATCH_SIZE)
    ]
    return np.concatenate(parts)


def predict_rows(head: LSTMHead, features: FeatureArray, rows: np.ndarray, view: int = 0) -> np.ndarray:
    """Run a head over one view of some rows of `(n, views, tokens, channels)`, wherever they lie."""
    batches = (rows[start : start + BATCH_SIZE] for start in range(0, len(rows), BATCH_SIZE))
    return np.concatenate([predict_logits(head, features[batch, view]) for batch in batches])
