"""The prepared backbone's two files: the weights and, next to them, the card that says what they are.

In: `models/backbone.safetensors` and `.json`. Out: a `BackboneCard`, or the network with these weights. Making the
weights is left to the stage `backbone`.
"""

import json
import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from cache.atomic import write_text
from stages.core.errors import StageError
from stages.core.images.transform import Interpolation
from stages.core.networks.backbone import Backbone, NativeInput, Pooled
from stages.core.networks.feature_extractor import FeatureExtractor
from stages.core.networks.registry import build_backbone, find_library
from stages.core.records.artefacts import BACKBONE_CARD, BACKBONE_WEIGHTS
from stages.core.records.reading import Input, read_json, verify


@dataclass(frozen=True)
class BackboneCard:
    """What extraction must know of the weights, and what a reader should.

    Attributes
    ----------
    arch
        The network's name.
    weights, requested, source
        The weights' name, what `backbone.weights` asked for, and their address, path or seed.
    warning
        What the user of a score must know, or None.
    digest
        SHA-256 of the file of weights, hexadecimal.
    source_digest
        That of the file that the weights were read from, or None if there was none.
    code_digest
        SHA-256 of the file that defines a user's own network.
    channels, map_size
        Of the last feature map: channels, and `(height, width)`; the size is `map` in the file.
    prefix_tokens, pooled
        As in `Backbone`. Cards written before `pooled` was recorded are of means.
    native_input
        The input that the network was made for; `transform` in the file.
    random_state, calibrated_on_images
        Seed of random weights, and how many train images their batch-norm statistics come from.
    finetuned_on
        The record of fine-tuning, or None.
    torch_version, torchvision_version
        `torch` and `torchvision` in the file.
    others
        Keys of the file that this code does not know.
    """

    arch: str
    weights: str
    requested: str | None
    source: str | None
    warning: str | None
    digest: str
    code_digest: str | None
    channels: int
    map_size: tuple[int, ...]
    prefix_tokens: int | None
    native_input: NativeInput
    random_state: int | None
    calibrated_on_images: int
    finetuned_on: Mapping[str, Any] | None
    torch_version: str | None
    torchvision_version: str | None
    source_digest: str | None = None
    pooled: Pooled = "mean"
    others: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The plain values, as they are in the file."""
        return {
            "arch": self.arch,
            "weights": self.weights,
            "requested": self.requested,
            "source": self.source,
            "source_digest": self.source_digest,
            "warning": self.warning,
            "digest": self.digest,
            "code_digest": self.code_digest,
            "channels": self.channels,
            "map": list(self.map_size),
            "prefix_tokens": self.prefix_tokens,
            "pooled": self.pooled,
            "transform": self.native_input.as_json(),
            "random_state": self.random_state,
            "calibrated_on_images": self.calibrated_on_images,
            "finetuned_on": self.finetuned_on,
            "torch": self.torch_version,
            "torchvision": self.torchvision_version,
            **self.others,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "BackboneCard":
        """Read what `as_json` gave; KeyError if a value that extraction needs is missing."""
        card = cls(
            arch=values["arch"],
            weights=values["weights"],
            requested=values.get("requested"),
            source=values.get("source"),
            warning=values.get("warning"),
            digest=values["digest"],
            code_digest=values["code_digest"],
            channels=values["channels"],
            map_size=tuple(values.get("map", ())),
            prefix_tokens=values["prefix_tokens"],
            native_input=NativeInput.from_json(values["transform"]),
            random_state=values.get("random_state"),
            calibrated_on_images=values.get("calibrated_on_images", 0),
            finetuned_on=values["finetuned_on"],
            torch_version=values.get("torch"),
            torchvision_version=values.get("torchvision"),
            source_digest=values.get("source_digest"),
            pooled=values.get("pooled", "mean"),
        )
        return replace(card, others={key: value for key, value in values.items() if key not in card.as_json()})


def read_card(weights: Path) -> BackboneCard:
    """Read the card next to a file of weights.

    Raises
    ------
    StageError
        If it is missing, unreadable, or lacks what extraction needs.
    """
    path = weights.with_suffix(".json")
    try:
        card = BackboneCard.from_json(read_json(path, BACKBONE_CARD))
        _check_values(card)
        return card
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise StageError(
            f"{path} lacks what extraction needs ({type(error).__name__}: {error}): "
            "run `pipeline prepare-backbone` again"
        ) from None


def _check_values(card: BackboneCard) -> None:
    """Refuse values that extraction cannot compute with: ValueError, or TypeError where one has no parts."""
    native_input = card.native_input
    for size in (card.channels, native_input.resize_px, native_input.crop_px, native_input.multiple_px, *card.map_size):
        if type(size) is not int or not 0 < size < 2**31:
            raise ValueError(f"{size!r} is no size")
    for text in (card.arch, card.weights, card.digest, card.code_digest or ""):
        if not isinstance(text, str):
            raise ValueError(f"{text!r} is no text")
    for number in (*native_input.mean, *native_input.std):
        if type(number) not in (int, float) or not math.isfinite(number):
            raise ValueError(f"{number!r} is no mean or standard deviation")
    if native_input.interpolation not in get_args(Interpolation) or type(native_input.fixed_px) is not bool:
        raise ValueError("`transform` names no known interpolation or size")
    if card.pooled not in get_args(Pooled):
        raise ValueError(f"{card.pooled!r} is no way to pool")
    if card.prefix_tokens is not None and type(card.prefix_tokens) is not int:
        raise ValueError(f"{card.prefix_tokens!r} is no number of tokens")
    if card.finetuned_on is not None and not isinstance(card.finetuned_on["target"], str):
        raise ValueError("`finetuned_on` names no label column")


def backbone_inputs(weights: Path) -> list[Input]:
    """The weights and their card, as inputs of a stage."""
    return [Input(weights, BACKBONE_WEIGHTS), Input(weights.with_suffix(".json"), BACKBONE_CARD)]


def write_card(card: BackboneCard, weights: Path) -> None:
    """Write the card next to a file of weights, atomically."""
    write_text(weights.with_suffix(".json"), json.dumps(card.as_json(), indent=2, ensure_ascii=False) + "\n")


def check_arch(card: BackboneCard, arch: str, weights: Path) -> None:
    """Refuse prepared weights whose card names another network than the settings do.

    The name may stand for code (`package.module:function`), which runs. Only params.yaml may name code, never a file
    of data.

    Raises
    ------
    StageError
        With both names.
    """
    if card.arch != arch:
        raise StageError(
            f"{weights} holds {card.arch!r}, but backbone.arch is {arch!r}: run `pipeline prepare-backbone`, or set "
            "backbone.arch to the network that you trust"
        )


def load_backbone(weights: Path, *, arch: str) -> Backbone:
    """Build the network that the settings name and give it the weights of the file.

    Parameters
    ----------
    weights
        The file, with its card next to it.
    arch
        `backbone.arch` of the settings; the card must name the same.

    Raises
    ------
    StageError
        If the card cannot be read or names another network, or the weights are not those that it describes or do not
        fit the network any more.
    """
    card = read_card(weights)
    check_arch(card, arch, weights)
    if verify(weights, BACKBONE_WEIGHTS) != card.digest:
        raise StageError(f"{weights} is not the file that its card describes: run `pipeline prepare-backbone` again")
    # The file gives all values, and drawing initial ones takes longer than reading it.
    with torch.device("meta") if find_library(arch).builds_without_values else nullcontext():
        backbone = build_backbone(arch, weights=card.weights)
    try:
        backbone.network.load_state_dict(load_file(weights), assign=True)
    except (RuntimeError, SafetensorError) as error:
        raise StageError(
            f"{weights} does not fit {arch} any more ({str(error).splitlines()[0]}): "
            "run `pipeline prepare-backbone` again"
        ) from None
    if card.pooled not in ("mean", backbone.pooled):
        raise StageError(
            f"{weights} was prepared with pooling {card.pooled!r}, which {arch} has no more: "
            "run `pipeline prepare-backbone` again"
        )
    return replace(backbone, pooled=card.pooled)


def load_extractor(
    weights: Path, *, arch: str, tokens: int, pooled_token: bool, dtype: torch.dtype, device: torch.device
) -> FeatureExtractor:
    """Read the prepared backbone from its file onto a device."""
    return FeatureExtractor(
        load_backbone(weights, arch=arch), tokens=tokens, pooled_token=pooled_token, dtype=dtype
    ).to(device)
