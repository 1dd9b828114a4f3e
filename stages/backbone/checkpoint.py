"""The checkpoint of fine-tuning: one file, replaced after each epoch, bound to its content by a digest.

In: tensors by name and plain numbers. Out: the same again, or a `DamagedCheckpointError`: a flipped bit anywhere in the
file would otherwise resume to other weights. What the tensors are is left to `finetune`.
"""

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from cache.atomic import TEMPORARY_SUFFIX, atomic_path
from stages.core.errors import naming

Tensors = dict[str, torch.Tensor]
# safetensors writes to such a name in the same folder before it renames.
SAFETENSORS_TEMPORARY = re.compile(r"\.tmp[A-Za-z0-9]{6}")


class DamagedCheckpointError(Exception):
    """The file is not what was written."""


def save_checkpoint(path: Path, tensors: Mapping[str, torch.Tensor], numbers: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically.

    Parameters
    ----------
    path
        The file to replace.
    tensors
        On any device, of any layout in memory; each may be another's view.
    numbers
        Plain JSON values.

    Raises
    ------
    StageError
        If it cannot be written, with the room it needs.
    """
    copies = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in tensors.items()
    }
    text = json.dumps(numbers)  # in their order: the card that a resumed run writes has the same bytes
    size_bytes = sum(value.numel() * value.element_size() for value in copies.values()) + len(text)
    with naming(path, size_bytes), atomic_path(path) as temporary:
        save_file(copies, temporary, {"numbers": text, "sha256": _digest(copies, text)})


def load_checkpoint(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """Read what `save_checkpoint` wrote: tensors on the CPU, and the numbers.

    Raises
    ------
    FileNotFoundError
        If there is none.
    DamagedCheckpointError
        If a byte differs from what was written.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if metadata["sha256"] != _digest(tensors, metadata["numbers"]):
            raise DamagedCheckpointError("it does not match its digest")
        numbers: dict[str, Any] = json.loads(metadata["numbers"])
    except (FileNotFoundError, DamagedCheckpointError):
        raise
    except Exception as error:  # whatever a damaged header makes the libraries raise
        raise DamagedCheckpointError(" ".join(str(error).split())) from None
    return tensors, numbers


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint, and what killed writers of it left next to it."""
    for left in (path, *find_left_over(path)):
        left.unlink(missing_ok=True)


def find_left_over(path: Path) -> Iterator[Path]:
    """Find the temporary files of killed writers of a checkpoint. No other process may be writing it."""
    with contextlib.suppress(FileNotFoundError):
        for other in list(path.parent.iterdir()):
            ours = other.name.startswith(f".{path.name}.") and other.name.endswith(TEMPORARY_SUFFIX)
            if ours or SAFETENSORS_TEMPORARY.fullmatch(other.name):
                yield other


def _copy(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def _digest(tensors: Mapping[str, torch.Tensor], text: str) -> str:
    """SHA-256 over every tensor's name, type, shape and bytes, and over the numbers."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"\n{name} {value.dtype} {list(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
