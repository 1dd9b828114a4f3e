"""The loss of a head: cross-entropy with label smoothing, class weights or logit adjustment, and mix-up.

In: the train split's labels and the settings. Out: a function of logits and labels.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from stages.core.head.settings import TrainSettings

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def make_loss(labels: np.ndarray, classes: int, settings: TrainSettings, device: torch.device) -> Loss:
    """Build the loss for a train split.

    Parameters
    ----------
    labels
        Of the train images, shape `(n,)`; a class that does not occur counts as one image.
    classes
        Number of classes.
    settings
        `imbalance`, `tau`, `label_smoothing`.
    device
        Where the logits will be.

    Returns
    -------
    callable
        Maps logits `(b, classes)`, float32, and labels `(b,)`, int64, to the batch's mean loss in nats.

    Notes
    -----
    With n_c images of class c of n:

    none              cross_entropy(logits, y)
    balanced          Σ w_y · cross_entropy(logits, y) / Σ w_y,  w_c = n / (classes · n_c), scikit-learn's definition
    logit_adjustment  cross_entropy(logits + tau · log(n_c / n), y): Menon et al., "Long-tail learning via logit
                      adjustment" (2021), equation 10. Predictions are made without the offset, so that a small class
                      does not have to overcome the prior.
    """
    counts = torch.from_numpy(np.bincount(labels, minlength=classes)).clamp_min(1).float().to(device)
    smoothing = settings.label_smoothing
    if settings.imbalance == "balanced":
        weights = counts.sum() / (classes * counts)
        return lambda logits, y: F.cross_entropy(logits, y, weight=weights, label_smoothing=smoothing)
    if settings.imbalance == "logit_adjustment":
        offsets = settings.tau * (counts / counts.sum()).log()
        return lambda logits, y: F.cross_entropy(logits + offsets, y, label_smoothing=smoothing)
    return lambda logits, y: F.cross_entropy(logits, y, label_smoothing=smoothing)


def mix_up(
    x: torch.Tensor, y: torch.Tensor, alpha: float, loss: Loss, rng: np.random.Generator
) -> tuple[torch.Tensor, Loss]:
    """Blend each image's features with those of another in the batch (Zhang et al., "mixup", 2018).

    x' = s · x + (1 - s) · x[partner];  loss' = s · loss(logits, y) + (1 - s) · loss(logits, y[partner])

    Parameters
    ----------
    x, y
        Features `(b, tokens, channels)` and labels `(b,)`.
    alpha
        The share s is drawn from Beta(alpha, alpha), one per batch; an image's own share is the larger one, so that
        predictions are scored by its own label.
    loss
        Of single labels.
    rng
        Draws the share and the partners.

    Returns
    -------
    x : Tensor
        The blends, in the dtype of the features: a third of the time that float32 takes.
    loss : callable
        The same blend of the losses of both labels.
    """
    share = rng.beta(alpha, alpha)
    share = max(share, 1 - share)
    partner = torch.from_numpy(rng.permutation(len(y))).to(x.device)
    blend = torch.lerp(x.index_select(0, partner), x, share)
    return blend, lambda logits, own: share * loss(logits, own) + (1 - share) * loss(logits, y[partner])
