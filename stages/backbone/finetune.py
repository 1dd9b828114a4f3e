"""Fine-tune a backbone on one label column: AdamW, warm-up and cosine, early stopping on validation macro F1.

In: a backbone, the train and val images. Out: the same backbone with the weights of its best epoch, and a record of the
training. A checkpoint after each epoch lets an interrupted run end in the same bits; under `torchrun` processes share
the steps.
"""

import hashlib
import logging
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from cache import fingerprint
from stages.backbone.checkpoint import DamagedCheckpointError, find_left_over, load_checkpoint, save_checkpoint
from stages.backbone.finetune_data import (
    UNREADABLE,
    CropLoader,
    Crops,
    ImageSource,
    LabelledImages,
    Steps,
    centre_batches,
    read_labelled_images,
)
from stages.backbone.finetune_network import Classifier, freeze, make_optimizer, set_train_mode
from stages.backbone.processes import Processes
from stages.backbone.settings import FinetuneSettings
from stages.backbone.weights import check_finite
from stages.core.device import has_bf16
from stages.core.errors import StageError
from stages.core.images.transform import Transform
from stages.core.networks.backbone import Backbone
from stages.core.optimisation.early_stopping import EarlyStopping
from stages.core.optimisation.schedules import warmup_then_cosine
from stages.core.optimisation.scores import accuracy, macro_f1
from stages.core.parallel import thread_count
from stages.core.progress import Progress

MAX_WORKERS = 16
CLIP_NORM = 1.0

log = logging.getLogger(__name__)
EpochLog = dict[str, float]


@dataclass
class FinetuneState:
    """How far training is: what a checkpoint holds besides the weights and the optimizer's state."""

    epoch: int = 0
    stopping: EarlyStopping = field(default_factory=EarlyStopping)
    epochs: list[EpochLog] = field(default_factory=list)
    best_state: dict[str, torch.Tensor] = field(default_factory=dict)


def finetune(
    backbone: Backbone,
    *,
    channels: int,
    settings: FinetuneSettings,
    source: ImageSource,
    checkpoint: Path,
    processes: Processes,
    n_jobs: int = -1,
) -> dict[str, Any]:
    """Train a backbone in place and leave it, on the CPU, with the weights of its best epoch.

    Parameters
    ----------
    backbone
        With the weights to start from; under torchrun, those of the first process are used.
    channels
        Of its last map.
    settings
        The optimisation; `target` is set.
    source
        Where the images come from and how they are cut.
    checkpoint
        Where the state after the last whole epoch is kept until the end.
    processes
        The processes that train together.
    n_jobs
        Processes that decode, as in joblib; they change no result.

    Returns
    -------
    dict
        A record for the backbone's card: target, classes, counts, digest of the images, and each epoch's scores.

    Raises
    ------
    StageError
        If there is nothing to train on, the network has no such block, too many images cannot be read, or the weights
        become NaN or infinite.
    """
    assert settings.target is not None
    train, val, classes = read_labelled_images(settings.target, source.splits)
    torch.manual_seed(settings.random_state)
    classifier = Classifier(backbone, channels, len(classes)).to(processes.device)
    learning = freeze(classifier, backbone.arch, settings.unfreeze)
    processes.copy_from_first(classifier)
    classifier.to(memory_format=torch.channels_last)
    setup = _digest_of_setup(classifier, settings, source.transform, train, val)
    run = _Run(backbone, classifier, learning, settings, processes, source.max_failed_share)
    state = run.load(checkpoint, setup)
    workers = max(min(thread_count(n_jobs) // processes.here, MAX_WORKERS), 1)
    steps = Steps(len(train), settings.batch_size, settings.random_state, processes.rank, processes.count)
    crops = Crops(train, source.images, source.transform, settings)
    train_batches = CropLoader(crops, steps, workers, processes.device)
    shares = centre_batches(len(val), settings.batch_size, processes.rank, processes.count)
    crops = Crops(val, source.images, source.transform, settings)
    val_batches = CropLoader(crops, shares, workers, processes.device)

    while not state.stopping.is_over(state.epoch, epochs=settings.epochs, patience=settings.patience):
        epoch = state.epoch + 1
        steps.epoch = epoch
        scores = {"epoch": epoch} | run.train(train_batches, steps, epoch) | run.validate(val_batches, val)
        state.epoch = epoch
        state.epochs.append(scores)
        if state.stopping.improves(epoch, scores["val/f1_macro"]):
            state.best_state = {name: value.cpu().clone() for name, value in backbone.network.state_dict().items()}
        if processes.first:
            run.save(checkpoint, setup, state)
            best = (state.stopping.best_score, state.stopping.best_epoch)
            log.info(
                "epoch %d: train loss %.4f, val macro F1 %.4f (best %.4f at epoch %d)",
                epoch,
                scores["train/loss"],
                scores["val/f1_macro"],
                *best,
            )

    backbone.network.to("cpu").load_state_dict(state.best_state)
    backbone.network.requires_grad_(False).eval()
    check_finite(state.best_state, f"the backbone fine-tuned on {settings.target}")
    return _record(settings, classes, train, val, state, processes)


class _Run:
    """The training of one classifier: an epoch, its validation, and its checkpoint."""

    def __init__(
        self,
        backbone: Backbone,
        classifier: Classifier,
        learning: list[nn.Module],
        settings: FinetuneSettings,
        processes: Processes,
        max_failed_share: float,
    ) -> None:
        self.classifier, self.learning, self.settings, self.processes = classifier, learning, settings, processes
        self.max_failed_share = max_failed_share
        self.optimizer = make_optimizer(classifier, settings)
        device = processes.device
        use_bf16 = settings.precision == "bf16" or (settings.precision == "auto" and has_bf16(device))
        self.autocast = torch.autocast(device.type, torch.bfloat16, enabled=use_bf16)
        self.model: nn.Module = classifier
        if processes.count > 1:
            if settings.batch_norm == "update" and device.type == "cuda":
                nn.SyncBatchNorm.convert_sync_batchnorm(classifier)
            self.model = DistributedDataParallel(
                classifier,
                device_ids=[device] if device.type == "cuda" else None,
                broadcast_buffers=settings.batch_norm == "update",
                find_unused_parameters=backbone.may_skip_layers,
            )

    def train(self, batches: CropLoader, steps: Steps, epoch: int) -> EpochLog:
        """Step through every train image once."""
        # Dropout and the like: keyed by epoch, so that a resumed run draws what an uninterrupted one does.
        torch.manual_seed(
            int(
                np.random.SeedSequence([self.settings.random_state, epoch, self.processes.rank]).generate_state(
                    1, np.uint64
                )[0]
            )
        )
        set_train_mode(self.classifier, self.learning, self.settings.batch_norm)
        total = torch.zeros(4, dtype=torch.float64)  # loss, right, read, unreadable
        shown = Progress(steps.count, f"Fine-tuning, epoch {epoch}") if self.processes.first else nullcontext()
        with shown as progress:
            for step, ((pixels, labels), size) in enumerate(zip(batches, steps.step_sizes(), strict=True)):
                self._set_learning_rates(epoch - 1 + (step + 0.5) / steps.steps)
                total += self._step(pixels, labels, size)
                if progress is not None:
                    progress.advance(size)
        loss, right, read, unreadable = self.processes.sum(total).tolist()
        if unreadable > max(self.max_failed_share * steps.count, 1) or read == 0:
            raise StageError(
                f"{unreadable:.0f} of {steps.count} train images could not be read while fine-tuning: more than "
                "features.max_failed_share; check dataset.images and run `pipeline clean` again"
            )
        return {"train/loss": loss / read, "train/accuracy": right / read}

    def _step(self, pixels: torch.Tensor, labels: torch.Tensor, size: int) -> torch.Tensor:
        """Forward, backward and step; the sums of loss, right, read and unreadable images of this process."""
        device = self.processes.device
        pixels, labels = pixels.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        with self.autocast:
            logits = self.model(pixels)
        loss = F.cross_entropy(
            logits.float(),
            labels,
            ignore_index=UNREADABLE,
            label_smoothing=self.settings.label_smoothing,
            reduction="sum",
        )
        self.optimizer.zero_grad(set_to_none=True)
        # Gradients are averaged over processes, whose shares of the step may differ by one image.
        (loss * self.processes.count / size).backward()
        nn.utils.clip_grad_norm_(self.classifier.parameters(), CLIP_NORM)
        self.optimizer.step()
        read = labels != UNREADABLE
        right = (logits.detach().argmax(dim=1) == labels)[read].sum()
        return torch.tensor([float(loss.detach()), float(right), float(read.sum()), float((~read).sum())]).double()

    def _set_learning_rates(self, epochs_done: float) -> None:
        done, warmup = epochs_done / self.settings.epochs, self.settings.warmup_epochs / self.settings.epochs
        share = warmup_then_cosine(1.0, done, warmup=warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak_lr"] * share

    @torch.inference_mode()
    def validate(self, batches: CropLoader, val: LabelledImages) -> EpochLog:
        """Score the centre crops of the val images; every process gets the same scores."""
        self.classifier.eval()
        logits = torch.zeros(len(val), self.classifier.fc.out_features, dtype=torch.float64)
        read = torch.zeros(len(val), dtype=torch.float64)
        rank, count, done = self.processes.rank, self.processes.count, 0
        for pixels, labels in batches:
            with self.autocast:
                out = self.classifier(pixels.to(self.processes.device, non_blocking=True))
            rows = rank + count * torch.arange(done, done + len(labels))
            logits[rows], read[rows] = out.double().cpu(), (labels != UNREADABLE).double()
            done += len(labels)
        good = self.processes.sum(read).bool().numpy()
        logits = self.processes.sum(logits)[good]
        if not good.any():
            raise StageError("no val image could be read while fine-tuning: check dataset.images")
        y_true, y_pred = val.labels[good], logits.argmax(dim=1).numpy()
        return {
            "val/loss": float(F.cross_entropy(logits, torch.from_numpy(y_true))),
            "val/accuracy": accuracy(y_true, y_pred),
            "val/f1_macro": macro_f1(y_true, y_pred),
        }

    def save(self, checkpoint: Path, setup: str, state: FinetuneState) -> None:
        """Write everything that the next epoch depends on, atomically."""
        tensors = {f"classifier.{name}": value for name, value in self.classifier.state_dict().items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
        tensors |= {f"best.{name}": value for name, value in state.best_state.items()}
        numbers = {"epoch": state.epoch, "stopping": vars(state.stopping), "epochs": state.epochs}
        save_checkpoint(checkpoint, tensors, {"setup": setup, "state": numbers})

    def load(self, checkpoint: Path, setup: str) -> FinetuneState:
        """Resume an interrupted run of the same set-up, or start from the beginning.

        Under torchrun every process reads the file: the folder must be one that all of them see.
        """
        saved = _read_checkpoint(checkpoint, setup)
        self.processes.wait()
        if self.processes.first:
            for left in find_left_over(checkpoint):
                left.unlink(missing_ok=True)
        if saved is None:
            return FinetuneState()
        tensors, state = saved
        self.classifier.load_state_dict(_under("classifier.", tensors))
        self._put_back_moments(_under("optimizer.", tensors))
        log.info("fine-tuning resumes after epoch %d", state["epoch"])
        stopping = EarlyStopping(**state["stopping"])
        return FinetuneState(state["epoch"], stopping, state["epochs"], _under("best.", tensors))

    def _put_back_moments(self, tensors: dict[str, torch.Tensor]) -> None:
        """Give the optimizer its moments, each laid out in memory as its parameter is: other sums would round apart."""
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in tensors.items():
            index, _, moment = name.partition(".")
            like = parameters[int(index)]
            laid_out = torch.empty_like(like, dtype=value.dtype).copy_(value) if value.shape == like.shape else value
            moments.setdefault(int(index), {})[moment] = laid_out
        self.optimizer.load_state_dict({"state": moments, "param_groups": self.optimizer.state_dict()["param_groups"]})


def _read_checkpoint(path: Path, setup: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
    """The tensors and numbers of an interrupted run; None, with a log line, if they are damaged or of another run."""
    try:
        tensors, numbers = load_checkpoint(path)
    except FileNotFoundError:
        return None
    except DamagedCheckpointError as error:  # its epochs are done again
        log.warning("%s is damaged (%s): fine-tuning starts again", path, error)
        return None
    if numbers["setup"] != setup:
        log.info("settings, images or weights changed since the last fine-tuning was interrupted: starting again")
        return None
    return tensors, numbers["state"]


def _under(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _digest_of_setup(
    classifier: Classifier,
    settings: FinetuneSettings,
    transform: Transform,
    train: LabelledImages,
    val: LabelledImages,
) -> str:
    """Name everything that a resumed run must share with the interrupted one."""
    weights = hashlib.sha256()
    for name, value in classifier.state_dict().items():
        weights.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    sizes = {name: getattr(transform, name) for name in ("resize_px", "crop_px", "interpolation", "decoder", "colour")}
    return fingerprint(
        {
            "weights": weights.hexdigest(),
            "settings": settings.model_dump(),
            "features": sizes,
            "images": digest_of_images(train, val),
            "transform": classifier.native_input.as_json(),
        }
    )


def digest_of_images(train: LabelledImages, val: LabelledImages) -> str:
    """SHA-256 over the images that were trained and validated on, and their labels."""
    digest = hashlib.sha256()
    for split, data in (("train", train), ("val", val)):
        for key, label in zip(data.keys, data.labels.tolist(), strict=True):
            digest.update(f"{split} {key} {label}\n".encode())
    return digest.hexdigest()


def _record(
    settings: FinetuneSettings,
    classes: list[str],
    train: LabelledImages,
    val: LabelledImages,
    state: FinetuneState,
    processes: Processes,
) -> dict[str, Any]:
    norms = "everywhere as in the initial weights"
    if settings.batch_norm == "update":
        norms = "measured again in the layers that learned, as in the initial weights in the others"
    return {
        "target": settings.target,
        "sentence": (
            f"Backbone fine-tuned on {settings.target}: {len(train)} train images of {len(classes)} classes, "
            f"{settings.unfreeze} unfrozen, val macro F1 {state.stopping.best_score:.3f} "
            f"at epoch {state.stopping.best_epoch} "
            f"of {len(state.epochs)}."
        ),
        "classes": classes,
        "train_images": len(train),
        "val_images": len(val),
        "images_digest": digest_of_images(train, val),
        "batch_norm_statistics": norms,
        "best_epoch": state.stopping.best_epoch,
        "val_f1_macro": state.stopping.best_score,
        "epochs": state.epochs,
        "processes": processes.count,
        "settings": settings.model_dump(),
    }
