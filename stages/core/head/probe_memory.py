"""Keep a fitted probe for later trainings on the same images: it depends on their inputs and labels, and on no seed.

In: the inputs of `fit_probe` and a folder. Out: what `fit_probe` returns, bit for bit, fitted or read. A file that is
damaged, or was made with other versions, is fitted again.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import scipy
import sklearn
import torch
import xxhash
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from cache.atomic import atomic_path
from stages.core.head.lstm_probe import STRENGTHS, Labelled, fit_probe

Probe = tuple[np.ndarray, np.ndarray, float]


def fit_probe_once(train: Labelled, val: Labelled | None, classes: int, folder: Path | None) -> Probe:
    """Fit the probe, unless an earlier training in `folder` has; arguments else as for `fit_probe`."""
    if folder is None:
        return fit_probe(train, val, classes)
    path = folder / f"probe-{_name_inputs(train, val, classes)}.safetensors"
    known = _read(path)
    if known is not None:
        return known
    weights, biases, temperature = fit_probe(train, val, classes)
    _write(path, weights, biases, temperature)
    return weights, biases, temperature


def _name_inputs(train: Labelled, val: Labelled | None, classes: int) -> str:
    """Digest everything that decides the probe."""
    made_with = (classes, STRENGTHS, np.__version__, scipy.__version__, sklearn.__version__)
    digest = xxhash.xxh3_128(json.dumps(made_with).encode())
    for array in (*train, *(val or ())):
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _write(path: Path, weights: np.ndarray, biases: np.ndarray, temperature: float) -> None:
    tensors = {"weights": torch.from_numpy(weights), "biases": torch.from_numpy(biases)}
    tensors["temperature"] = torch.tensor([temperature], dtype=torch.float64)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(tensors, {"digest": _digest(tensors)}))


def _read(path: Path) -> Probe | None:
    try:
        with safe_open(path, framework="pt") as file:
            expected = (file.metadata() or {}).get("digest")
            tensors = {name: file.get_tensor(name) for name in ("weights", "biases", "temperature")}
    except (SafetensorError, OSError):
        return None
    if _digest(tensors) != expected:
        return None
    return tensors["weights"].numpy(), tensors["biases"].numpy(), float(tensors["temperature"])


def _digest(tensors: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].contiguous().numpy().data)
    return digest.hexdigest()
