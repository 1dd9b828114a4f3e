"""The head: two LSTM layers over a sequence of feature tokens, and a linear layer.

In: features `(n, tokens, channels)`. Out: logits `(n, classes)`. Also how a head is saved and loaded.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from cache.atomic import atomic_path, write_text
from stages.errors import StageError
from stages.train.placement import FeatureArray

BATCH_SIZE = 1024


class LSTMHead(nn.Module):
    """A two-layer LSTM that walks the tokens of an image.

    Parameters
    ----------
    channels
        Size of a token.
    classes
        Number of logits.
    hidden_size
        Units per LSTM layer.
    dropout
        Between the layers and before the linear layer.
    readout
        `mean` over the states of the sequence, or the `last` one.
    """

    def __init__(self, *, channels: int, classes: int, hidden_size: int, dropout: float, readout: str) -> None:
        super().__init__()
        # Channels of a ReLU network differ in scale by orders of magnitude; the train split's statistics even them out.
        self.register_buffer("input_mean", torch.zeros(channels))
        self.register_buffer("input_std", torch.ones(channels))
        self.lstm = nn.LSTM(channels, hidden_size, num_layers=2, batch_first=True, dropout=dropout)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(hidden_size, classes)
        self.readout = readout

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map `(n, tokens, channels)` of any float dtype to logits `(n, classes)`, float32."""
        states, _ = self.lstm((features.float() - self.input_mean) / self.input_std)
        summary = states.mean(dim=1) if self.readout == "mean" else states[:, -1]
        return self.linear(self.dropout(summary))

    def set_input_statistics(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        """Standardise inputs by this mean and deviation, each of shape `(channels,)`."""
        self.input_mean.copy_(mean)
        self.input_std.copy_(std.clamp_min(1e-6))


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


def save_head(folder: Path, state: dict[str, torch.Tensor], card: dict[str, Any]) -> None:
    """Write `head.safetensors` and `head.json`."""
    with atomic_path(folder / "head.safetensors") as temporary:
        save_file({name: value.contiguous().cpu() for name, value in state.items()}, temporary)
    write_text(folder / "head.json", json.dumps(card, indent=2, ensure_ascii=False) + "\n")


def load_head(folder: Path) -> tuple[LSTMHead, dict[str, Any]]:
    """Read a head and its card.

    Raises
    ------
    StageError
        If there is no head, or its files are damaged.
    """
    try:
        card = json.loads((folder / "head.json").read_text(encoding="utf-8"))
        head = LSTMHead(channels=card["shape"][-1], classes=len(card["classes"]), **card["settings"]["head"])
        head.load_state_dict(load_file(folder / "head.safetensors"))
    except FileNotFoundError:
        raise StageError(f"{folder} has no head: run `pipeline train-head --target {folder.name}` first") from None
    except (ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise StageError(
            f"{folder} holds a damaged head ({error}): run `pipeline train-head --target {folder.name}` again"
        ) from None
    return head, card


def check_fingerprint(card: dict[str, Any], fingerprint: str) -> None:
    """Refuse a head that was trained on other features than those at hand."""
    if card["fingerprint"] != fingerprint:
        raise StageError(
            f"the {card['target']} head was trained on features {card['fingerprint'][:16]}, those at hand are "
            f"{fingerprint[:16]}: run `pipeline train-head --target {card['target']}` again"
        )
