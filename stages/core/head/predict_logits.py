"""Run a head over features, in batches of a fixed size.

In: a head and features. Out: logits as a NumPy array.
"""

from typing import Any

import numpy as np
import torch

from stages.core.features.placement import FeatureArray
from stages.core.head.protocol import Head

BATCH_SIZE = 1024


@torch.inference_mode()
def predict_logits(head: Head[Any], features: np.ndarray | torch.Tensor) -> np.ndarray:
    """Run a head over `(n, tokens, channels)`; logits `(n, classes)`, float32."""
    head.eval()
    device = head.device
    parts = [
        head(torch.as_tensor(features[start : start + BATCH_SIZE]).to(device)).cpu().numpy()
        for start in range(0, len(features), BATCH_SIZE)
    ]
    return np.concatenate(parts)


def predict_rows(head: Head[Any], features: FeatureArray, rows: np.ndarray, view: int = 0) -> np.ndarray:
    """Run a head over one view of some rows of `(n, views, tokens, channels)`, wherever they lie."""
    batches = (rows[start : start + BATCH_SIZE] for start in range(0, len(rows), BATCH_SIZE))
    return np.concatenate([predict_logits(head, features[batch, view]) for batch in batches])
