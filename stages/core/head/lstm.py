"""The LSTM head: two LSTM layers over a sequence of feature tokens, a linear layer, and a linear probe.

In: features `(n, tokens, channels)`. Out: logits `(n, classes)`. How the probe is fitted is left to `lstm_probe`, the
fast paths of a training step to `lstm_step`.
"""

import copy
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from stages.core.features.placement import FeatureArray, blocks, mean_and_std
from stages.core.head.lstm_settings import LSTMSettings
from stages.core.head.lstm_step import drop, dropout_mask, run_one_token
from stages.core.head.predict_logits import predict_rows
from stages.core.head.probe_memory import fit_probe_once
from stages.core.head.protocol import Head
from stages.core.head.temperature import calibrated_loss, fit_temperature, negative_log_likelihood
from stages.core.head.training_data import TrainingData

AVERAGED = "averaged with the logistic regression"
SMALLEST = 1e-30  # its reciprocal square root is still finite; float16 ends at 6e-8


class LSTMHead(Head[LSTMSettings]):
    """A two-layer LSTM over the tokens of an image.

    x = (sign(f) · abs(f)^power_norm - input_mean) / input_std         features f `(n, tokens, channels)`
    h = LSTM(LSTM(W_p x + b_p))                                         states   `(n, tokens, directions · hidden_size)`
    logits = W_l readout(h) + b_l + W_s mean(x) + b_s                   `(n, classes)`

    `readout` is the mean over tokens or the last state; that of a second direction is its own last one, at the first
    token. W_s and b_s are the probe: zero while the LSTM learns.

    Parameters
    ----------
    settings, channels, classes
        As for every head.
    """

    input_mean: torch.Tensor
    input_std: torch.Tensor

    def __init__(self, settings: LSTMSettings, *, channels: int, classes: int) -> None:
        super().__init__(settings, channels=channels, classes=classes)
        hidden_size, projection = settings.hidden_size, settings.projection
        # Channels of a ReLU network differ in scale by orders of magnitude; the train split's statistics equalise them.
        self.register_buffer("input_mean", torch.zeros(channels))
        self.register_buffer("input_std", torch.full((channels,), 1 / settings.input_scale))
        self.projection = nn.Linear(channels, projection) if projection else None
        self.lstm = nn.LSTM(
            projection or channels,
            hidden_size,
            num_layers=2,
            batch_first=True,
            dropout=settings.dropout,
            bidirectional=settings.bidirectional,
        )
        self.linear = nn.Linear(hidden_size * (2 if settings.bidirectional else 1), classes)
        self.skip: nn.Linear | None = None
        if settings.skip == "probe":
            self.skip = nn.Linear(channels, classes).requires_grad_(False)
            self._silence_probe()

    def prepare(self, data: TrainingData) -> None:
        """Take the mean and deviation of the train images' channels."""
        self.set_input_statistics(*mean_and_std(data.features, data.train, self.power_normalise))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map `(n, tokens, channels)` of any float dtype to logits `(n, classes)`, float32."""
        tokens = self.normalise(features)
        if self.training and self.settings.feature_dropout:
            # Whole channels: a token's neighbours would reveal what it alone has lost.
            shape = (len(tokens), 1, tokens.shape[2])
            tokens = tokens * dropout_mask(shape, self.settings.feature_dropout, tokens.device)
        dropout = self.settings.dropout if self.training else 0.0
        inputs = tokens if self.projection is None else self.projection(tokens)
        states = run_one_token(self.lstm, inputs, dropout=dropout) if inputs.shape[1] == 1 else self.lstm(inputs)[0]
        logits: torch.Tensor = self.linear(drop(self.read_out(states), dropout))
        return logits if self.skip is None else logits + self.skip(tokens.mean(dim=1))

    def power_normalise(self, features: torch.Tensor) -> torch.Tensor:
        """Bring rare large values closer to the others: sign(x) · abs(x)^power_norm, of any shape, float32.

        As in Perronnin et al., "Improving the Fisher kernel for large-scale image classification" (2010).
        """
        features, power = features.float(), self.settings.power_norm
        if power == 1.0:
            return features
        sizes = features.abs()
        if power == 0.5:
            # x / sqrt(abs(x)): the square root itself takes seven times as long on some processors.
            return sizes.clamp_min_(SMALLEST).rsqrt_().mul_(features)
        return sizes.pow_(power).copysign_(features)

    def normalise(self, features: torch.Tensor) -> torch.Tensor:
        """Compute what both paths see of features of any shape `(…, channels)`, float32."""
        tokens = self.power_normalise(features)
        if self.settings.input_norm == "layer_norm":
            tokens = F.layer_norm(tokens, tokens.shape[-1:])
        factor = self.input_std.reciprocal()
        return torch.addcmul(-self.input_mean * factor, tokens, factor)

    def read_out(self, states: torch.Tensor) -> torch.Tensor:
        """Map states `(n, tokens, units)` to one vector per image, `(n, units)`."""
        if self.settings.readout == "mean":
            return states.mean(dim=1)
        # The second direction ends at the first token (and is empty where there is none).
        hidden_size = self.settings.hidden_size
        return torch.cat([states[:, -1, :hidden_size], states[:, 0, hidden_size:]], dim=1)

    def set_input_statistics(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        """Standardise by this mean and deviation of power-normalised features, each `(channels,)`, if set to."""
        if self.settings.input_norm == "standardise":
            self.input_mean.copy_(mean)
            # A channel that is constant in train carries no information, and must not dominate where it moves.
            moving = torch.where(std > 1e-6, std, torch.ones_like(std))
            self.input_std.copy_(moving / self.settings.input_scale)

    @torch.no_grad()
    def finish(self, data: TrainingData) -> str:
        """Fit the probe and average it with the trained LSTM: the mean of the two paths' calibrated logits.

        logits = (lstm / T_lstm + probe / T_probe) / 2, a geometric mean of probabilities. Two models that err in
        different images are better together than either (Hinton, "Training products of experts by minimizing
        contrastive divergence", 2002). Where they are not, by the log-likelihood of the val images, the LSTM stays
        alone. Without val images both temperatures are 1.
        """
        if self.skip is None:
            return ""
        labels, val, of_lstm, alone = data.labels, None, 1.0, math.inf
        if data.val is not None:
            val = self._mean_tokens(data.features, data.val), labels[data.val]
            logits = predict_rows(self, data.features, data.val)
            of_lstm = fit_temperature(logits, labels[data.val])
            alone = negative_log_likelihood(logits / of_lstm, labels[data.val])
        train = self._mean_tokens(data.features, data.train), labels[data.train]
        trained = copy.deepcopy(self.linear.state_dict())
        self._average(of_lstm, *fit_probe_once(train, val, self.classes, data.kept))
        if data.val is None:
            return AVERAGED
        # Not macro F1: on 15 trainings of real paintings it left the probe out 4 times, and test lost by it on average.
        together = calibrated_loss(predict_rows(self, data.features, data.val), labels[data.val])
        if together <= alone:
            return AVERAGED
        self.linear.load_state_dict(trained)
        self._silence_probe()
        return f"not averaged with the logistic regression (log-loss {together:.3f} instead of {alone:.3f}):"

    def _average(self, of_lstm: float, weights: np.ndarray, biases: np.ndarray, of_probe: float) -> None:
        """Halve both paths' logits, each divided by its temperature."""
        assert self.skip is not None
        for parameter in (self.linear.weight, self.linear.bias):
            parameter.div_(2 * of_lstm)
        self.skip.weight.copy_(torch.from_numpy(weights / (2 * of_probe)))
        self.skip.bias.copy_(torch.from_numpy(biases / (2 * of_probe)))

    def _silence_probe(self) -> None:
        """Leave the logits to the LSTM."""
        if self.skip is not None:
            nn.init.zeros_(self.skip.weight)
            nn.init.zeros_(self.skip.bias)

    def _mean_tokens(self, features: FeatureArray, rows: np.ndarray) -> np.ndarray:
        """The mean of the centre view's normalised tokens, `(rows, channels)`, float32: the input of the probe."""
        device, start = self.device, 0
        inputs = np.empty((len(rows), self.channels), dtype=np.float32)
        for block in blocks(features, rows):
            tokens = self.normalise(torch.as_tensor(features[block, 0]).to(device))
            inputs[start : start + len(block)] = tokens.mean(dim=1).cpu().numpy()
            start += len(block)
        return inputs


@torch.no_grad()
def without_probe(head: LSTMHead) -> LSTMHead:
    """Copy the LSTM alone of a finished head: logits of one path, not halved; calibrated, if it has been averaged."""
    alone = copy.deepcopy(head)
    if alone.skip is not None and alone.skip.weight.any():
        alone._silence_probe()
        alone.linear.weight.mul_(2)
        alone.linear.bias.mul_(2)
    return alone
