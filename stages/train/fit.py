"""The training loop: AdamW with a cosine schedule, early stopping on validation macro F1, the best epoch kept.

In: labelled features. Out: the best epoch's weights and what happened per epoch.
"""

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.metrics import accuracy_score, f1_score

from stages.device import has_bf16
from stages.train.head import LSTMHead, predict_rows
from stages.train.placement import CachedFeatures, FeatureArray, mean_and_std, read_ahead
from stages.train.settings import HeadSettings, TrainSettings

EpochLog = dict[str, float]


@dataclass(frozen=True)
class Fit:
    """A trained head: its weights at the best epoch, that epoch (from 1), and the val logits there."""

    head: LSTMHead
    best_epoch: int
    val_logits: np.ndarray
    epochs: list[EpochLog]


def fit_head(
    features: FeatureArray,
    labels: np.ndarray,
    *,
    train: np.ndarray,
    val: np.ndarray | None,
    classes: int,
    head_settings: HeadSettings,
    settings: TrainSettings,
    device: torch.device,
    on_epoch: Callable[[EpochLog], None] = lambda log: None,
) -> Fit:
    """Train a head until validation macro F1 stops rising, or, without validation images, for all epochs.

    Parameters
    ----------
    features
        Shape `(n, views, tokens, channels)`, float16, wherever `place` put them. Training draws a view per image and
        epoch; scores use view 0.
    labels
        Shape `(n,)`, int64.
    train, val
        Row indices. Without `val` nothing is selected: the last epoch is the best one.
    classes
        Number of classes.
    head_settings, settings
        The head's shape and the optimisation.
    device
        Where to train.
    on_epoch
        Called with each epoch's losses and scores.

    Returns
    -------
    Fit
        The head at its best epoch. The same inputs and settings give the same bits on the same machine.
    """
    torch.manual_seed(settings.random_state)
    head = LSTMHead(channels=features.shape[-1], classes=classes, **head_settings.model_dump())
    head.set_input_statistics(*mean_and_std(features, train))
    head.to(device)
    optimizer = torch.optim.AdamW(head.parameters(), lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=settings.epochs)
    rng = np.random.default_rng(settings.random_state)
    best_f1, best_epoch, best_logits, best_state, epochs = -1.0, 0, np.empty(0), None, []

    for epoch in range(1, settings.epochs + 1):
        batches = _batches(features, labels, train, settings.batch_size, rng, device)
        if isinstance(features, CachedFeatures):
            batches = read_ahead(batches)
        epochs.append(_train_epoch(head, optimizer, batches))
        epochs[-1]["lr"] = scheduler.get_last_lr()[0]
        scheduler.step()
        if val is None:
            best_epoch = epoch
            on_epoch(epochs[-1])
            continue
        val_logits = predict_rows(head, features, val)
        val_loss = negative_log_likelihood(val_logits, labels[val])
        epochs[-1] |= _scores("val", labels[val], val_logits.argmax(axis=1), val_loss)
        on_epoch(epochs[-1])
        if epochs[-1]["val/f1_macro"] > best_f1:
            best_f1, best_epoch, best_logits = epochs[-1]["val/f1_macro"], epoch, val_logits
            best_state = copy.deepcopy(head.state_dict())
        elif epoch - best_epoch >= settings.patience:
            break

    if best_state is not None:
        head.load_state_dict(best_state)
    return Fit(head, best_epoch, best_logits, epochs)


def _train_epoch(
    head: LSTMHead, optimizer: torch.optim.Optimizer, batches: Iterator[tuple[torch.Tensor, torch.Tensor]]
) -> EpochLog:
    """Step once per batch; scores are those of the predictions made on the way."""
    started = time.perf_counter()
    device = head.linear.weight.device
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=has_bf16(device))
    head.train()
    losses, predictions, truths = [], [], []
    for x, y in batches:
        with autocast:
            logits = head(x).float()
        loss = F.cross_entropy(logits, y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(head.parameters(), max_norm=1.0)
        optimizer.step()
        losses.append(loss.detach() * len(y))
        predictions.append(logits.detach().argmax(dim=1))
        truths.append(y)
    y_true = torch.cat(truths)
    scores = _scores("train", y_true, torch.cat(predictions), float(torch.stack(losses).sum()) / len(y_true))
    return scores | {"images_per_s": len(y_true) / (time.perf_counter() - started)}


def _batches(
    features: FeatureArray,
    labels: np.ndarray,
    rows: np.ndarray,
    batch_size: int,
    rng: np.random.Generator,
    device: torch.device,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Every row once, in uniformly random order, each with one of its views drawn at random."""
    order = rng.permutation(rows)
    views = rng.integers(features.shape[1], size=len(order))
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        x = torch.as_tensor(features[batch, views[start : start + batch_size]])
        yield x.to(device), torch.from_numpy(labels[batch]).to(device)


def _scores(split: str, truths: object, predictions: object, loss: float) -> EpochLog:
    y_true, y_pred = np.asarray(torch.as_tensor(truths).cpu()), np.asarray(torch.as_tensor(predictions).cpu())
    return {
        f"{split}/loss": loss,
        f"{split}/accuracy": float(accuracy_score(y_true, y_pred)),
        f"{split}/f1_macro": float(f1_score(y_true, y_pred, average="macro", zero_division=0)),
    }


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood, in nats: logits `(n, classes)`, labels `(n,)`."""
    return float(-log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(labels)), labels].mean())


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Find the temperature that makes the confidence of validation predictions match their accuracy.

    Temperature scaling (Guo et al., "On Calibration of Modern Neural Networks", 2017): one number that divides the
    logits, chosen by the negative log-likelihood; it changes no prediction.
    """
    result = minimize_scalar(
        lambda log_t: negative_log_likelihood(logits / np.exp(log_t), labels), bounds=(-3.0, 3.0), method="bounded"
    )
    return float(np.exp(result.x))
