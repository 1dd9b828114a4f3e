"""The training loop: AdamW, early stopping on validation macro F1, the best epoch kept, a checkpoint on the way.

In: labelled features. Out: the best epoch's weights and what happened per epoch. Losses, schedules, averaging and
checkpoints are left to their own modules.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.metrics import accuracy_score, f1_score

from stages.core.device import has_bf16
from stages.core.errors import StageError
from stages.core.features.placement import CachedFeatures, FeatureArray, blocks, mean_and_std, read_ahead
from stages.core.head.average import WeightAverage
from stages.core.head.checkpoint import Checkpoint, Progress
from stages.core.head.losses import Loss, make_loss, mixed
from stages.core.head.lstm import LSTMHead, predict_rows
from stages.core.head.probe import blend_with_probe
from stages.core.head.schedules import learning_rate
from stages.core.head.settings import HeadSettings, TrainSettings
from stages.core.head.temperature import negative_log_likelihood
from stages.core.memory import keep_freed_memory

EpochLog = dict[str, float]
Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]


class NotFiniteError(StageError):
    """Features that are NaN or infinite; `row` is the first image that has any."""

    def __init__(self, row: int) -> None:
        super().__init__(f"the features of row {row} are NaN or infinite: run `pipeline extract-features` again")
        self.row = row


class DivergedError(StageError):
    """A loss that is no number any more."""


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
    checkpoint: Checkpoint | None = None,
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
        Called with each epoch's losses and scores, those of a killed training's epochs too.
    checkpoint
        Where a killed training is continued from.

    Returns
    -------
    Fit
        The head at its best epoch. The same inputs and settings give the same bits on the same machine, however often
        training was killed and resumed.

    Raises
    ------
    NotFiniteError
        If a train or val image has features that are NaN or infinite.
    DivergedError
        If the loss becomes NaN or infinite.
    """
    _refuse_not_finite(features, train if val is None else np.concatenate([train, val]))
    keep_freed_memory()
    torch.manual_seed(settings.random_state)
    head = LSTMHead(channels=features.shape[-1], classes=classes, **head_settings.model_dump())
    head.set_input_statistics(*mean_and_std(features, train, head.flattened))
    head.to(device)
    average = WeightAverage(head, settings.ema) if settings.ema else None
    loss = make_loss(labels[train], classes, settings, device)
    state = Progress(head, average, _optimizer(head, settings))
    if checkpoint and checkpoint.restore(state):
        for epoch_log in state.epochs:
            on_epoch(epoch_log)

    while not _finished(state, settings, selects=val is not None):
        started, epoch = time.perf_counter(), len(state.epochs)
        # Every epoch has random numbers of its own, so that a resumed training needs no generator's state.
        rng = np.random.default_rng([settings.random_state, epoch])
        torch.manual_seed(int(rng.integers(2**63)))
        batches = _batches(features, labels, train, settings.batch_size, rng, device)
        if isinstance(features, CachedFeatures):
            batches = read_ahead(batches)
        epoch_log = _train_epoch(state, loss, batches, settings, len(train))
        if not math.isfinite(epoch_log["train/loss"]):
            raise DivergedError(f"the loss is no number any more in epoch {epoch + 1}: lower train.lr ({settings.lr})")
        if val is not None:
            epoch_log |= _validate(state, features, labels, val)
        else:
            state.best_epoch = epoch + 1
        epoch_log["seconds"] = time.perf_counter() - started
        state.epochs.append(epoch_log)
        on_epoch(epoch_log)
        if checkpoint:
            checkpoint.save(state)

    if state.best_weights:
        state.scored.load_state_dict(state.best_weights)
    val_logits = state.best_logits
    if head_settings.skip == "probe":
        blend_with_probe(state.scored, features, labels, train, val)
        val_logits = val_logits if val is None else predict_rows(state.scored, features, val)
    return Fit(state.scored, state.best_epoch, val_logits, state.epochs)


def _finished(state: Progress, settings: TrainSettings, *, selects: bool) -> bool:
    done = len(state.epochs)
    return done >= settings.epochs or (selects and done - state.best_epoch >= settings.patience)


def _optimizer(head: LSTMHead, settings: TrainSettings) -> torch.optim.Optimizer:
    """AdamW; biases are not decayed, for they have nothing to overfit with."""
    parameters = [p for p in head.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.lr, fused=True)


def _train_epoch(state: Progress, loss: Loss, batches: Batches, settings: TrainSettings, n_train: int) -> EpochLog:
    """Step once per batch; scores are those of the predictions made on the way."""
    head, average, optimizer, epoch = state.head, state.average, state.optimizer, len(state.epochs)
    started = time.perf_counter()
    device = head.linear.weight.device
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=has_bf16(device))
    f1_so_far = [epoch_log.get("val/f1_macro", 0.0) for epoch_log in state.epochs]
    mixup_rng = np.random.default_rng([settings.random_state, epoch, 1])
    head.train()
    parameters = list(head.parameters())  # looking for them at every step takes as long as gathering a batch
    losses, predictions, truths, seen = [], [], [], 0
    for x, y in batches:
        lr = learning_rate(settings, epoch + seen / n_train, f1_so_far)
        for group in optimizer.param_groups:
            group["lr"] = lr
        batch_loss = loss
        if settings.mixup and len(y) > 1:
            x, batch_loss = mixed(x, y, settings.mixup, loss, mixup_rng)
        with autocast:
            logits = head(x).float()
        value = batch_loss(logits, y)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        if settings.clip_norm:
            torch.nn.utils.clip_grad_norm_(parameters, settings.clip_norm)
        optimizer.step()
        if average:
            average.update()
        seen += len(y)
        losses.append(value.detach() * len(y))
        predictions.append(logits.detach().argmax(dim=1))
        truths.append(y)
    scores = _scores("train", torch.cat(truths), torch.cat(predictions), float(torch.stack(losses).sum()) / seen)
    return scores | {"lr": lr, "images_per_s": seen / (time.perf_counter() - started)}


def _validate(state: Progress, features: FeatureArray, labels: np.ndarray, val: np.ndarray) -> EpochLog:
    """Score the epoch on the val images, and keep its weights if no epoch before it had a better macro F1."""
    logits = predict_rows(state.scored, features, val)
    scores = _scores("val", labels[val], logits.argmax(axis=1), negative_log_likelihood(logits, labels[val]))
    if scores["val/f1_macro"] > state.best_f1:
        state.best_f1, state.best_epoch, state.best_logits = scores["val/f1_macro"], len(state.epochs) + 1, logits
        state.best_weights = copy.deepcopy(state.scored.state_dict())
    return scores


def _batches(
    features: FeatureArray,
    labels: np.ndarray,
    rows: np.ndarray,
    batch_size: int,
    rng: np.random.Generator,
    device: torch.device,
) -> Batches:
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


def _refuse_not_finite(features: FeatureArray, rows: np.ndarray) -> None:
    """Infinite features saturate an LSTM's gates and give finite, senseless scores: nothing later would notice."""
    for block in blocks(features, rows):
        finite = torch.as_tensor(features[block]).flatten(1).isfinite().all(dim=1)
        if not finite.all():
            raise NotFiniteError(int(block[int(finite.int().argmin())]))
