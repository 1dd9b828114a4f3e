"""timm's networks as backbones (an optional extra), with the input that each was trained for.

In: `timm:NAME`, `timm:NAME.TAG` or a preset. Out: a `Backbone` with random weights that names the trained ones.
Fetching those is left to the stage `backbone`.
"""

import difflib
import importlib
import math
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import torch
from torch import nn

from stages.core.errors import StageError
from stages.core.networks.backbone import (
    WEIGHT_FILES,
    Backbone,
    HubWeights,
    NativeInput,
    Pooled,
    State,
    forward_features,
)
from stages.core.networks.presets import PRESETS

# Its transformers can fit their position embeddings to the input in each pass, by `dynamic_img_size`. At the size of
# the training they are left as they are.
RESIZABLE = "timm.models.vision_transformer"


def build(arch: str, weights: str) -> Backbone:
    """Build a network by its name, for the weights of this tag. See `registry.LibraryModule`."""
    timm = _import_timm()
    network = _create(timm, arch, weights)
    config = timm.data.resolve_model_data_config(network)
    crop_px = config["input_size"][-1]
    resizable = bool(getattr(network, "dynamic_img_size", False))
    classifier = network.pretrained_cfg.get("classifier") or ()
    return Backbone(
        arch=arch,
        network=TimmTrunk(network),
        native_input=NativeInput(
            mean=tuple(config["mean"]),
            std=tuple(config["std"]),
            resize_px=math.floor(crop_px / config["crop_pct"]),
            crop_px=crop_px,
            interpolation="bilinear" if config["interpolation"] == "bilinear" else "bicubic",
            fixed_px=bool(network.pretrained_cfg.get("fixed_input_size")) and not resizable,
            multiple_px=network.patch_embed.patch_size[0] if resizable else 1,
        ),
        prefix_tokens=getattr(network, "num_prefix_tokens", None),
        pooled=_pooling(network),
        classifier_keys=tuple(f"{key}." for key in ((classifier,) if isinstance(classifier, str) else classifier)),
        hub=_hub_weights(network.pretrained_cfg),
        convert=_converter(timm, network),
        may_skip_layers=True,
    )


def explain_weights(backbone: Backbone) -> str:
    """Trained weights by their tags, random ones, or a file."""
    timm = _import_timm()
    name = _timm_name(backbone.arch)
    config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    tags = [tag for tag in _tags(timm, name) if "." not in name or name.endswith(f".{tag}")]
    if backbone.hub is None and config is not None and config.url:
        return f"random, or {WEIGHT_FILES} (the trained one is at {config.url}, which timm's hub does not have)"
    return ", ".join([*(["auto"] if tags else []), "random", *tags, f"or {WEIGHT_FILES}"])


def _timm_name(arch: str) -> str:
    """The name in timm, with a tag or without."""
    return PRESETS.get(arch) or arch.removeprefix("timm:")


def _tags(timm: ModuleType, name: str) -> list[str]:
    """The tags of a network's weights on the hub."""
    configs = timm.models.get_arch_pretrained_cfgs(name.partition(".")[0])
    return [config.tag for config in configs.values() if config.hf_hub_id]


def _create(timm: ModuleType, arch: str, weights: str) -> Any:
    """A network of timm, whose attributes have no types."""
    name = _timm_name(arch)
    if "." not in name and weights in _tags(timm, name):
        name = f"{name}.{weights}"
    if not timm.is_model(name):
        raise StageError(
            f"backbone.arch is {arch!r}, which timm cannot build: it has no such network{_near(timm, name)}"
        )
    try:
        resizable = timm.models.model_entrypoint(name).__module__ == RESIZABLE
        options = {"dynamic_img_size": True} if resizable else {}
        return timm.create_model(name, pretrained=False, num_classes=0, **options)
    except (RuntimeError, TypeError, ValueError) as error:
        raise StageError(
            f"backbone.arch is {arch!r}, which timm cannot build: {' '.join(str(error).split())}{_near(timm, name)}"
        ) from None


def _near(timm: ModuleType, name: str) -> str:
    """Name networks, or tags of the network, that a person may have meant."""
    known = [f"{name.partition('.')[0]}.{tag}" for tag in _tags(timm, name)] or timm.list_models()
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"; is it {', '.join(near)}?" if near else ""


def _hub_weights(config: Mapping[str, Any]) -> HubWeights | None:
    """Where timm's trained weights are. They have a safetensors file there of one name, whatever else they have."""
    if not config.get("hf_hub_id"):
        return None
    repository, _, revision = config["hf_hub_id"].partition("@")
    named = config.get("hf_hub_filename") or ""
    filename = named if named.endswith(".safetensors") else HubWeights.filename
    return HubWeights(config.get("tag") or "pretrained", repository, filename, revision or None)


def _converter(timm: ModuleType, network: Any) -> Callable[[State], State] | None:
    """timm's own conversion of files that the network's authors published, by the name that most modules give it."""
    module = importlib.import_module(timm.models.model_entrypoint(network.pretrained_cfg["architecture"]).__module__)
    convert = getattr(module, "checkpoint_filter_fn", None)
    return None if convert is None else lambda state: convert(state, network)


def _pooling(network: nn.Module) -> Pooled:
    """What the network's own classifier reads, if that is one vector of the width of a token; else the mean."""
    own = getattr(network, "global_pool", None)
    if getattr(network, "head_hidden_size", None) != getattr(network, "num_features", None):
        return "mean"
    if own == "token" and getattr(network, "cls_token", None) is not None:
        return "class_token"
    return "attention" if own == "map" and getattr(network, "attn_pool", None) is not None else "mean"


def _import_timm() -> ModuleType:
    try:
        import timm
    except ImportError:
        raise StageError(
            "backbone.arch names a network of timm, which is not installed: `uv pip install timm`, "
            "or install this project with its extra `timm`"
        ) from None
    return timm


class TimmTrunk(nn.Module):
    """A timm network with the interface of a backbone; its keys are timm's."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        # Some families (Swin, MetaFormer) keep the channels last.
        self.channels_last = getattr(network, "output_fmt", "NCHW") == "NHWC"

    def forward_features(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map normalised `(n, 3, h, w)` to `(n, channels, h', w')` or `(n, prefix_tokens + patches, channels)`."""
        features = forward_features(self.network, inputs)
        return features.permute(0, 3, 1, 2) if self.channels_last and features.ndim == 4 else features

    def pool_features(self, features: torch.Tensor) -> torch.Tensor:
        """Map a sequence to what timm's own classifier reads, `(n, channels)`."""
        pooled: torch.Tensor = self.network.forward_head(features, pre_logits=True)  # type: ignore[operator]
        return pooled

    def state_dict(self, *arguments: Any, **options: Any) -> Any:
        """The state of the network inside, so that files of timm's weights fit."""
        return self.network.state_dict(*arguments, **options)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load what `state_dict` gave."""
        return self.network.load_state_dict(state_dict, strict=strict, assign=assign)
