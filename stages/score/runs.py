"""One head of the protocol: trained, run over its test images, and kept, so that an interrupted table resumes.

In: the images and the recipe. Out: test probabilities, in `.scoring/PROTOCOL/TARGET/`. A file is used again only for
the same images, features, settings and versions; a damaged one is made again.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from scipy.special import softmax

from cache.atomic import atomic_path
from stages.core.device import choose_device
from stages.core.features.labelled import LabelledFeatures
from stages.core.features.placement import FeatureArray
from stages.core.head.checkpoint import Checkpoint
from stages.core.head.fit import fit_head
from stages.core.head.predict_logits import predict_rows
from stages.core.head.recipe import Recipe
from stages.core.head.temperature import fit_harmless_temperature
from stages.core.head.training_data import TrainingData
from stages.score.divisions import Division


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes
    ----------
    target, fold, seed
        Which one.
    data, test
        The images.
    recipe
        With the run's own seed.
    identity
        Everything that decides its result, as plain JSON values.
    folder
        Where results of this target are kept.
    """

    target: str
    fold: int
    seed: int
    data: TrainingData
    test: np.ndarray
    recipe: Recipe
    identity: dict[str, Any]
    folder: Path

    @property
    def path(self) -> Path:
        """The file of its result."""
        digest = hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()
        return self.folder / f"{digest[:32]}.safetensors"


def plan_run(data: LabelledFeatures, division: Division, recipe: Recipe, *, fold: int, seed: int, folder: Path) -> Run:
    """Describe the training of one seed on one division."""
    seeded = recipe.model_copy(update={"train": recipe.train.model_copy(update={"random_state": seed})})
    identity = {
        "classes": data.classes,
        "device": choose_device().type,
        "fingerprint": data.fingerprint,
        "images": _digest_images(data, division),
        "settings": seeded.decisive(),
        "shape": list(data.features.shape[1:]),
        "target": data.target,
        "torch": torch.__version__,
    }
    rows = TrainingData(data.features, data.labels, len(data.classes), division.train, division.val, kept=folder)
    return Run(data.target, fold, seed, rows, division.test, seeded, identity, folder)


def train_run(run: Run, placed: FeatureArray | None = None, threads: int | None = None) -> None:
    """Train the head, and keep what it predicts for the test images.

    Parameters
    ----------
    run
        What to train.
    placed
        The features, where `place` has put them; None reads the cache's file.
    threads
        How many to use, where several runs share the cores.
    """
    if threads:
        torch.set_num_threads(threads)
    data = run.data if placed is None else replace(run.data, features=placed)
    checkpoint = Checkpoint(run.path.with_suffix(".training"), run.identity)
    fit = fit_head(data, run.recipe, device=choose_device(), checkpoint=checkpoint)
    temperature = fit_harmless_temperature(fit.val_logits, data.labels[data.val])
    logits = predict_rows(fit.head, data.features, run.test)
    tensors = {"probabilities": torch.from_numpy(softmax(logits / temperature, axis=1))}
    run.path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(run.path) as temporary:
        temporary.write_bytes(save(tensors, {"of": _describe(run, tensors)}))
    checkpoint.remove()


def read_run(run: Run) -> np.ndarray | None:
    """Read the test probabilities `(test images, classes)` of a finished run; None if there are none to be used."""
    try:
        with safe_open(run.path, framework="pt") as file:
            described, tensors = (file.metadata() or {}).get("of"), {"probabilities": file.get_tensor("probabilities")}
    except (SafetensorError, OSError):
        return None
    found: np.ndarray = tensors["probabilities"].numpy()
    return found if described == _describe(run, tensors) and found.shape == (len(run.test), run.data.classes) else None


def _describe(run: Run, tensors: dict[str, torch.Tensor]) -> str:
    """The identity and the digest of the result in one text: of several, safetensors shuffles the order."""
    digest = hashlib.sha256(tensors["probabilities"].contiguous().numpy().data).hexdigest()
    return json.dumps({"identity": run.identity, "digest": digest}, sort_keys=True)


def _digest_images(data: LabelledFeatures, division: Division) -> str:
    """SHA-256 of the images of each part, in order, and of their labels."""
    keys, digest = data.table["sha256"].to_numpy(dtype=str), hashlib.sha256()
    for rows in (division.train, division.val, division.test):
        digest.update("\n".join(keys[rows]).encode())
        digest.update(data.labels[rows].tobytes())
    return digest.hexdigest()
