"""The state of a training, and its checkpoint: one file, replaced after each epoch, from which training resumes.

In: everything that the next epoch depends on. Out: the same again, if it was written for the same data and settings.
The file lies outside the stage's outputs, which DVC deletes before it runs the stage, and is removed at the end.
"""

import contextlib
import hashlib
import json
import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from cache.atomic import TEMPORARY_SUFFIX, atomic_path
from stages.core.head.average import WeightAverage
from stages.core.head.protocol import Head
from stages.core.optimisation.early_stopping import EarlyStopping

FILE_NAME = "checkpoint.safetensors"
# Writing may take this share of the time: quick epochs are not slowed, and after each slow epoch there is a checkpoint.
TIME_SHARE = 0.05

log = logging.getLogger(__name__)


@dataclass
class TrainingState:
    """What changes from epoch to epoch.

    Attributes
    ----------
    head, average, optimizer
        Objects whose tensors change in place.
    epochs
        The log of each finished epoch.
    stopping
        The best epoch so far and its validation macro F1.
    best_logits, best_weights
        The best epoch's val logits `(n, classes)` and its weights.
    """

    head: Head[Any]
    average: WeightAverage
    optimizer: torch.optim.Optimizer
    epochs: list[dict[str, float]] = field(default_factory=list)
    stopping: EarlyStopping = field(default_factory=EarlyStopping)
    best_logits: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))
    best_weights: dict[str, torch.Tensor] = field(default_factory=dict)


class Checkpoint:
    """The checkpoint file of one training.

    Parameters
    ----------
    folder
        The training's work folder, used by it alone.
    identity
        Everything that decides the result, as plain JSON values: a checkpoint with another identity is not used.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self.path = folder / FILE_NAME
        self._identity = json.dumps(identity, sort_keys=True)
        self._next_save = 0.0

    def save(self, state: TrainingState) -> None:
        """Replace the file, unless writing would take more than a twentieth of the time since it was last written."""
        started = time.monotonic()
        if started < self._next_save:
            return
        numbers = {
            "epochs": state.epochs,
            "stopping": vars(state.stopping),
            "average_steps": state.average.steps,
        }
        tensors = {name: value.contiguous().cpu() for name, value in _tensors(state).items()}
        metadata = {"identity": self._identity, "numbers": json.dumps(numbers)}
        metadata["digest"] = _digest(tensors, metadata)
        with atomic_path(self.path) as temporary:
            temporary.write_bytes(save(tensors, metadata))  # save_file has a temporary file too, which a kill leaves
        finished = time.monotonic()
        self._next_save = finished + (finished - started) * (1 / TIME_SHARE - 1)

    def restore(self, state: TrainingState) -> bool:
        """Put a fresh training into the saved state; False if there is none, or, with a log line, if it is unusable."""
        try:
            with safe_open(self.path, framework="pt") as file:
                metadata = file.metadata() or {}
                if metadata.get("identity") != self._identity:
                    log.info("%s is of other data or settings: training starts again", self.path)
                    return False
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if metadata.pop("digest", None) != _digest(tensors, metadata):
                raise ValueError("its content does not match its digest")
            numbers = json.loads(metadata["numbers"])
            _check_shapes(state, tensors)
            _put_back(state, tensors, numbers)
        except FileNotFoundError:
            return False
        except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError, OSError) as error:
            log.warning("%s cannot be used (%s): training starts again", self.path, error)
            return False
        log.info("resuming after epoch %d from %s", len(state.epochs), self.path)
        return True

    def remove(self) -> None:
        """Remove the file, any half-written one that a kill left, and the folder if nothing else is in it."""
        self.path.unlink(missing_ok=True)
        for left in self.path.parent.glob(f".{FILE_NAME}.*{TEMPORARY_SUFFIX}"):
            left.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # TensorBoard's files may be there, or there was no folder
            self.path.parent.rmdir()


def _digest(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> str:
    """SHA-256 of everything in the file."""
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.contiguous().view(-1).view(torch.uint8).numpy().data if value.numel() else b"")
    return digest.hexdigest()


def _tensors(state: TrainingState) -> dict[str, torch.Tensor]:
    """Every tensor of the state, named by what it belongs to."""
    tensors = {f"head.{name}": value for name, value in state.head.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in state.average.head.state_dict().items()}
    for index, moments in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
    tensors |= {f"best.{name}": value for name, value in state.best_weights.items()}
    return tensors | {"best_logits": torch.from_numpy(state.best_logits)}


def _check_shapes(state: TrainingState, tensors: dict[str, torch.Tensor]) -> None:
    """Refuse tensors that do not fit before the first is put back: half a state would train to other weights."""
    for name, value in _tensors(state).items():
        if name != "best_logits" and (name not in tensors or tensors[name].shape != value.shape):
            raise ValueError(f"{name} is missing or of another shape")


def _put_back(state: TrainingState, tensors: dict[str, torch.Tensor], numbers: dict[str, Any]) -> None:
    """Load the tensors of `_tensors` and the numbers of `save`."""
    epochs = [{str(name): float(value) for name, value in epoch.items()} for epoch in numbers["epochs"]]
    stopping, steps = EarlyStopping(**numbers["stopping"]), int(numbers["average_steps"])
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in _under("optimizer.", tensors).items():
        index, _, moment = name.partition(".")
        moments.setdefault(int(index), {})[moment] = value
    groups = state.optimizer.state_dict()["param_groups"]
    state.head.load_state_dict(_under("head.", tensors))
    state.average.head.load_state_dict(_under("average.", tensors))
    state.average.steps = steps
    state.optimizer.load_state_dict({"state": moments, "param_groups": groups})
    state.best_weights = {name: value.to(state.head.device) for name, value in _under("best.", tensors).items()}
    state.best_logits = tensors["best_logits"].numpy()
    state.epochs, state.stopping = epochs, stopping


def _under(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
