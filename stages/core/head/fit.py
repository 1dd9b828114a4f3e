"""The training loop: AdamW, early stopping on validation macro F1, the best epoch kept, a checkpoint after each.

In: features, labels and a recipe. Out: the best epoch's weights and each epoch's scores. Losses, schedules, averaging,
checkpoints and the head itself are left to their own modules.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from stages.core.device import has_bf16, one_thread
from stages.core.errors import StageError
from stages.core.features.placement import CachedFeatures, FeatureArray, blocks, read_ahead
from stages.core.head.average import WeightAverage
from stages.core.head.checkpoint import Checkpoint, TrainingState
from stages.core.head.learning_rate import learning_rate
from stages.core.head.losses import Loss, make_loss, mix_up
from stages.core.head.predict_logits import predict_rows
from stages.core.head.protocol import Head
from stages.core.head.recipe import Recipe
from stages.core.head.registry import build_head
from stages.core.head.settings import TrainSettings
from stages.core.head.temperature import negative_log_likelihood
from stages.core.head.training_data import TrainingData
from stages.core.memory import keep_freed_memory
from stages.core.optimisation.scores import accuracy, macro_f1
from stages.core.optimisation.weight_decay import split_by_decay

EpochLog = dict[str, float]
Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]


class NotFiniteError(StageError):
    """Features that are NaN or infinite; `row` is the first image that has any."""

    def __init__(self, row: int) -> None:
        super().__init__(f"the features of row {row} are NaN or infinite: run `pipeline extract-features` again")
        self.row = row


class DivergedError(StageError):
    """A loss that is NaN or infinite."""


@dataclass(frozen=True)
class Fit:
    """A trained head.

    Attributes
    ----------
    head
        With the weights of its best epoch, finished.
    best_epoch
        From 1.
    val_logits
        Of the head as it is, `(n, classes)`; empty without val images.
    epochs
        The log of each epoch.
    finish_note
        What `Head.finish` did: `averaged with …`, or nothing.
    """

    head: Head[Any]
    best_epoch: int
    val_logits: np.ndarray
    epochs: list[EpochLog]
    finish_note: str


@one_thread()
def fit_head(
    data: TrainingData,
    recipe: Recipe,
    *,
    device: torch.device,
    on_epoch: Callable[[EpochLog], None] = lambda log: None,
    checkpoint: Checkpoint | None = None,
    finish: bool = True,
) -> Fit:
    """Train a head until validation macro F1 stops rising, or, without validation images, for all epochs.

    Parameters
    ----------
    data
        The images.
    recipe
        The settings of the head and of its training.
    device
        Where to train.
    on_epoch
        Called with each epoch's losses and scores, those of a killed training's epochs too.
    checkpoint
        From which a killed training resumes.
    finish
        False leaves out what the head adds after the last epoch.

    Returns
    -------
    Fit
        The head at its best epoch. The same inputs and settings give the same bits on the same machine, however often
        training was killed and resumed, and whatever else runs: on a CPU one thread trains a head.

    Raises
    ------
    NotFiniteError
        If a train or val image has features that are NaN or infinite.
    DivergedError
        If the loss becomes NaN or infinite.
    """
    settings = recipe.train
    _check_finite(data)
    keep_freed_memory()
    torch.manual_seed(settings.random_state)
    head = build_head(recipe.head, channels=data.features.shape[-1], classes=data.classes)
    head.prepare(data)
    state = _start_training(head.to(device), settings)
    loss = make_loss(data.labels[data.train], data.classes, settings, device)
    if checkpoint and checkpoint.restore(state):
        for epoch_log in state.epochs:
            on_epoch(epoch_log)

    while not state.stopping.is_over(len(state.epochs), epochs=settings.epochs, patience=settings.patience):
        started, epoch = time.perf_counter(), len(state.epochs) + 1
        batches = _draw_batches(data, settings, epoch, device)
        epoch_log = _train_epoch(state, loss, batches, settings, len(data.train))
        if not math.isfinite(epoch_log["train/loss"]):
            raise DivergedError(f"the loss is NaN or infinite in epoch {epoch}: lower train.lr ({settings.lr})")
        epoch_log |= _validate(state, data, epoch)
        epoch_log["seconds"] = time.perf_counter() - started
        state.epochs.append(epoch_log)
        on_epoch(epoch_log)
        if checkpoint:
            checkpoint.save(state)

    best, val_logits = state.average.head, state.best_logits
    if state.best_weights:
        best.load_state_dict(state.best_weights)
    finish_note = best.finish(data) if finish else ""
    if finish_note and data.val is not None:
        val_logits = predict_rows(best, data.features, data.val)
    return Fit(best, state.stopping.best_epoch, val_logits, state.epochs, finish_note)


def _train_epoch(state: TrainingState, loss: Loss, batches: Batches, settings: TrainSettings, n_train: int) -> EpochLog:
    """Step once per batch; the scores are those of the predictions made before each step."""
    head, epochs_done = state.head.train(), len(state.epochs)
    autocast = torch.autocast(head.device.type, torch.bfloat16, enabled=has_bf16(head.device))
    f1_so_far = [epoch_log.get("val/f1_macro", 0.0) for epoch_log in state.epochs]
    mixup_rng = np.random.default_rng([settings.random_state, epochs_done, 1])
    parameters = list(head.parameters())  # looking for them at every step takes as long as gathering a batch
    losses, predictions, truths, seen, lr, started = [], [], [], 0, 0.0, time.perf_counter()
    for x, y in batches:
        lr = learning_rate(settings, epochs_done + seen / n_train, f1_so_far)
        for group in state.optimizer.param_groups:
            group["lr"] = lr
        batch_loss = loss
        if settings.mixup and len(y) > 1:
            x, batch_loss = mix_up(x, y, settings.mixup, loss, mixup_rng)
        with autocast:
            logits = head(x).float()
        value = batch_loss(logits, y)
        state.optimizer.zero_grad(set_to_none=True)
        value.backward()
        if settings.clip_norm:
            torch.nn.utils.clip_grad_norm_(parameters, settings.clip_norm)
        state.optimizer.step()
        state.average.update()
        seen += len(y)
        losses.append(value.detach() * len(y))
        predictions.append(logits.detach().argmax(dim=1))
        truths.append(y)
    y_true, y_pred = torch.cat(truths).cpu().numpy(), torch.cat(predictions).cpu().numpy()
    scores = _score_epoch("train", y_true, y_pred, float(torch.stack(losses).sum()) / seen)
    return scores | {"lr": lr, "images_per_s": seen / (time.perf_counter() - started)}


def _validate(state: TrainingState, data: TrainingData, epoch: int) -> EpochLog:
    """Score the averaged weights on the val images, and keep them if no earlier epoch had as good a macro F1."""
    if data.val is None:  # nothing to select by: the last epoch is the best
        state.stopping.best_epoch = epoch
        return {}
    head, y_true = state.average.head, data.labels[data.val]
    logits = predict_rows(head, data.features, data.val)
    scores = _score_epoch("val", y_true, logits.argmax(axis=1), negative_log_likelihood(logits, y_true))
    if state.stopping.improves(epoch, scores["val/f1_macro"]):
        state.best_logits, state.best_weights = logits, copy.deepcopy(head.state_dict())
    return scores


def _start_training(head: Head[Any], settings: TrainSettings) -> TrainingState:
    """Set up AdamW over the parameters that learn, and the average of the weights."""
    groups = split_by_decay(head.parameters(), settings.weight_decay)
    return TrainingState(head, WeightAverage(head), torch.optim.AdamW(groups, lr=settings.lr, fused=True))


def _draw_batches(data: TrainingData, settings: TrainSettings, epoch: int, device: torch.device) -> Batches:
    """Draw every train row once, in uniformly random order, each with one of its views drawn at random.

    Each epoch has its own random numbers, for dropout too, so that a resumed training needs no generator's state.
    """
    rng = np.random.default_rng([settings.random_state, epoch - 1])
    torch.manual_seed(int(rng.integers(2**63)))
    order = rng.permutation(data.train)
    views = rng.integers(data.features.shape[1], size=len(order))

    def batches() -> Batches:
        for start in range(0, len(order), settings.batch_size):
            rows = order[start : start + settings.batch_size]
            x = torch.as_tensor(data.features[rows, views[start : start + settings.batch_size]])
            yield x.to(device), torch.from_numpy(data.labels[rows]).to(device)

    return read_ahead(batches()) if isinstance(data.features, CachedFeatures) else batches()


def _score_epoch(split: str, y_true: np.ndarray, y_pred: np.ndarray, loss: float) -> EpochLog:
    """Name the scores of one split in the epoch's log."""
    return {
        f"{split}/loss": loss,
        f"{split}/accuracy": accuracy(y_true, y_pred),
        f"{split}/f1_macro": macro_f1(y_true, y_pred),
    }


def _check_finite(data: TrainingData) -> None:
    """Refuse features that are NaN or infinite.

    They saturate an LSTM's gates and give finite, meaningless scores: nothing later would notice.
    """
    features: FeatureArray = data.features
    rows = data.train if data.val is None else np.concatenate([data.train, data.val])
    for block in blocks(features, rows):
        finite = torch.as_tensor(features[block]).flatten(1).isfinite().all(dim=1)
        if not finite.all():
            raise NotFiniteError(int(block[int(finite.int().argmin())]))
