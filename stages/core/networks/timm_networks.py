"""timm's networks as backbones (an optional extra), with the input that each was trained for.

In: `timm:NAME`. Out: a `Backbone`. Nothing is downloaded: the weights are random or a local file's.
"""

import math
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import torch
from torch import nn

from stages.core.errors import StageError
from stages.core.networks.backbone import WEIGHT_FILES, Backbone, NativeInput, forward_features


def build(arch: str, weights: str) -> Backbone:
    """Build a network by its name; `weights` changes nothing here. See `registry.LibraryModule`."""
    timm = _import_timm()
    name = arch.removeprefix("timm:")
    try:
        network = timm.create_model(name, pretrained=False, num_classes=0)
    except (RuntimeError, TypeError, ValueError) as error:
        near = timm.list_models(f"*{name.partition('.')[0]}*")[:3]
        hint = f"; is it one of {', '.join(near)}?" if near else ""
        raise StageError(f"backbone.arch is {arch!r}, which timm cannot build ({error}){hint}") from None
    config = timm.data.resolve_model_data_config(network)
    crop_px = config["input_size"][-1]
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
            fixed_px=bool(network.pretrained_cfg.get("fixed_input_size")),
        ),
        prefix_tokens=getattr(network, "num_prefix_tokens", None),
        classifier_keys=tuple(f"{key}." for key in ((classifier,) if isinstance(classifier, str) else classifier)),
        may_skip_layers=True,
    )


def explain_weights(backbone: Backbone) -> str:
    """Random ones or a file, and where the trained ones can be fetched by hand."""
    config = _import_timm().get_pretrained_cfg(backbone.arch.removeprefix("timm:"), allow_unregistered=True)
    place = (config and (config.hf_hub_id or config.url)) or "the place that timm's documentation names"
    return f"random, or {WEIGHT_FILES} (fetch the trained one from {place})"


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

    def state_dict(self, *arguments: Any, **options: Any) -> Any:
        """The state of the network inside, so that files of timm's weights fit."""
        return self.network.state_dict(*arguments, **options)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load what `state_dict` gave."""
        return self.network.load_state_dict(state_dict, strict=strict, assign=assign)
