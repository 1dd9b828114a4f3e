"""A head's two files: writing, reading, and refusing those that do not fit the current data.

In: a head's weights and its card. Out: `head.safetensors` and `head.json` in a folder per target.
"""

import json
import math
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from cache.atomic import atomic_path, write_text
from stages.core.errors import StageError
from stages.core.features.labelled import LabelledFeatures
from stages.core.head.protocol import Head
from stages.core.head.recipe import read_recipe
from stages.core.head.registry import build_head
from stages.core.records.artefacts import HEAD_CARD, HEAD_WEIGHTS
from stages.core.records.reading import Input, read_json, read_verified

# The keys that users of a head read from its card: one written by an older version is refused here.
CARD_KEYS = {"target", "classes", "shape", "fingerprint", "labels_sha256", "temperature", "epoch", "settings"}


def save_head(folder: Path, state: dict[str, torch.Tensor], card: dict[str, Any]) -> None:
    """Write `head.safetensors` and `head.json`."""
    with atomic_path(folder / "head.safetensors") as temporary:
        # Bytes, because safetensors' own file could be read by its owner alone.
        temporary.write_bytes(save({name: value.contiguous().cpu() for name, value in state.items()}))
    write_text(folder / "head.json", json.dumps(card, indent=2, ensure_ascii=False) + "\n")


def load_head(folder: Path) -> tuple[Head[Any], dict[str, Any]]:
    """Read a head and its card.

    Raises
    ------
    StageError
        If there is no head, or its files are not those that training wrote.
    """
    try:
        card = read_json(folder / "head.json", HEAD_CARD, folder.name)
        if missing := sorted(CARD_KEYS - set(card)):
            raise ValueError(f"its head.json lacks {', '.join(missing)}: an older version wrote it")
        head = build_head(read_recipe(card).head, channels=card["shape"][-1], classes=len(card["classes"]))
        head.load_state_dict(load(read_verified(folder / "head.safetensors", HEAD_WEIGHTS, folder.name)))
        if not (math.isfinite(card["temperature"]) and card["temperature"] > 0):
            raise ValueError(f"its temperature is {card['temperature']}, not a positive number")
    except (ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise StageError(
            f"{folder} holds a damaged head ({error}): run `pipeline train-head --target {folder.name}` again"
        ) from None
    return head, card


def head_inputs(folder: Path) -> list[Input]:
    """The files of a head, as inputs of a stage."""
    files = {"head.json": HEAD_CARD, "head.safetensors": HEAD_WEIGHTS}
    return [Input(folder / name, artefact, folder.name) for name, artefact in files.items()]


def check_fingerprint(card: dict[str, Any], fingerprint: str) -> None:
    """Refuse a head that was trained on features of another fingerprint."""
    if card["fingerprint"] != fingerprint:
        raise StageError(
            f"the {card['target']} head was trained on features {card['fingerprint'][:16]}, the current ones are "
            f"{fingerprint[:16]}: run `pipeline train-head --target {card['target']}` again"
        )


def check_same_data(card: dict[str, Any], data: LabelledFeatures) -> None:
    """Refuse a head that was trained on other features, classes, labels or another split than the current ones."""
    check_fingerprint(card, data.fingerprint)
    if card["classes"] != data.classes:
        raise StageError(
            f"data/splits.csv has other classes of {data.target} than its head was trained on: "
            f"run `pipeline train-head --target {data.target}` again"
        )
    # Otherwise an image that the head was fitted to could be scored as a test image.
    if card["labels_sha256"] != data.digest("train", "val"):
        raise StageError(
            f"data/splits.csv has another split or other labels of {data.target} than its head was trained on: "
            f"run `pipeline train-head --target {data.target}` again"
        )
