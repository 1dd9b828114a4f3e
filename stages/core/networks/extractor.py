"""From pixels to feature tokens, whatever the network: normalise, run it, pool its last map to a grid.

In: a backbone, or a file of prepared weights with its card. Out: a module that maps `(n, 3, crop_px, crop_px)` uint8 to
`(n, tokens, channels)` float32. Which networks there are is left to `architectures.py`, their weights to `weights.py`.
"""

import json
import math
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.models.resnet import BasicBlock, Bottleneck

from stages.core.errors import StageError
from stages.core.networks.architectures import Backbone, Transform, build
from stages.core.networks.fused import can_fuse, fuse_residual_blocks

# Raised when the code of the forward pass changes values: the feature cache then starts anew.
FORWARD_VERSION = 3


def normalise(pixels: torch.Tensor, transform: Transform) -> torch.Tensor:
    """Scale uint8 RGB as the network expects it: `(n, 3, h, w)` uint8 to the same shape, float32."""
    mean, std = (values.to(pixels.device) for values in mean_and_std(transform))
    return scaled(pixels, mean, std)


def mean_and_std(transform: Transform) -> tuple[torch.Tensor, torch.Tensor]:
    """A network's mean and standard deviation on the scale from 0 to 255, each `(1, 3, 1, 1)` float32."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) * 255 for values in (transform.mean, transform.std))
    return mean, std


def scaled(pixels: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """`(pixels - mean) / std`, float32."""
    return pixels.to(torch.float32, copy=True).sub_(mean).div_(std)


def as_map(features: torch.Tensor, prefix_tokens: int | None) -> torch.Tensor:
    """Bring what a network gives into one form: `(n, channels, h, w)`.

    A sequence `(n, tokens, channels)` is a square grid of patches, row by row, after some class or register tokens,
    which stand for no place in the image and are dropped.

    Parameters
    ----------
    features
        A map, which is returned as it is, or a sequence.
    prefix_tokens
        How many tokens to drop; None drops as many as the largest square leaves over.

    Raises
    ------
    StageError
        If it is neither, or what is left of the sequence is no square.
    """
    if features.ndim == 4:
        return features
    if features.ndim != 3:
        raise StageError(
            f"the backbone's forward_features gives shape {tuple(features.shape)}; "
            "it must give (n, channels, h, w) or (n, tokens, channels)"
        )
    count = features.shape[1]
    prefix = count - math.isqrt(count) ** 2 if prefix_tokens is None else prefix_tokens
    side = math.isqrt(max(count - prefix, 0))
    if side == 0 or prefix + side**2 != count:
        raise StageError(f"the backbone gives {count} tokens, of which {prefix} are no patches: the rest is no square")
    return features[:, prefix:].transpose(1, 2).unflatten(2, (side, side))


class FeatureExtractor(nn.Module):
    """A frozen network that turns pixels into tokens.

    Batch normalisation is folded into the convolutions before them, which leaves the function as it is and saves the
    memory traffic of a hundred element-wise layers.

    Parameters
    ----------
    backbone
        What `architectures.build` makes, with its weights loaded.
    tokens
        1 for the pooled vector, g² for the last map pooled to a g x g grid and read row by row.
    pooled_token
        Put the pooled vector before the grid.
    dtype
        Of weights and activations. Normalisation and pooling are float32 whatever it is.
    """

    def __init__(
        self, backbone: Backbone, *, tokens: int, pooled_token: bool = False, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        folded = fold_batch_norm(backbone.network.eval())
        self.network = folded.to(dtype=dtype, memory_format=torch.channels_last)
        self.prefix_tokens = backbone.prefix_tokens
        self.grids = [1, math.isqrt(tokens)] if pooled_token else [math.isqrt(tokens)]
        self.dtype = dtype
        # On the device beforehand: a CUDA graph can record no copy to it.
        for name, values in zip(("mean", "std"), mean_and_std(backbone.transform), strict=True):
            self.register_buffer(name, values, persistent=False)
        self.requires_grad_(False)

    def prepare_for(self, input_size: tuple[int, int, int, int]) -> None:
        """Make passes over `(n, 3, h, w)` quicker where this device allows; but for rounding the function stays."""
        if can_fuse(self.network, self.dtype):
            fuse_residual_blocks(self.network, input_size)

    @torch.inference_mode()
    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map `(n, 3, h, w)` uint8 pixels to `(n, tokens, channels)` float32 features."""
        # One after the other: torch changes type and layout at once in twice the time.
        inputs = scaled(pixels, self.mean, self.std).to(self.dtype).contiguous(memory_format=torch.channels_last)
        maps = as_map(self.network.forward_features(inputs).float(), self.prefix_tokens)
        tokens = [F.adaptive_avg_pool2d(maps, grid).flatten(2) for grid in self.grids]
        return torch.cat(tokens, dim=2).transpose(1, 2).contiguous()


def fold_batch_norm(module: nn.Module) -> nn.Module:
    """Replace each batch norm by Identity and put what it does into the convolution before it, in place.

    Only where the order of the two is certain: neighbours in a chain, and the pairs `conv1` and `bn1`, … of
    torchvision's ResNet blocks. Other networks may have layers of these names in another order.
    """
    for child in module.modules():
        names = list(dict(child.named_children()))
        if type(child).forward is nn.Sequential.forward:
            pairs = list(pairwise(names))
        elif isinstance(child, BasicBlock | Bottleneck):
            pairs = [(f"conv{i}", f"bn{i}") for i in (1, 2, 3) if f"conv{i}" in names]
        else:
            continue
        for conv, norm in pairs:
            # The exact types, because a subclass may do more: timm's batch norms contain the activation.
            if type(getattr(child, conv)) is nn.Conv2d and type(getattr(child, norm)) is nn.BatchNorm2d:
                _fold(getattr(child, conv), getattr(child, norm))
                setattr(child, norm, nn.Identity())
    return module


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """What torch's `fuse_conv_bn_eval` does, without its copy of the weights, which takes as long as the rest."""
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )


@torch.inference_mode()
def map_shape(backbone: Backbone, crop_px: int) -> tuple[int, int, int]:
    """Find the channels, height and width of the last feature map by running the network once, on the CPU.

    Raises
    ------
    StageError
        If the network cannot take an input of this size.
    """
    grey = torch.zeros(1, 3, crop_px, crop_px)
    try:
        features = backbone.network.eval().forward_features(grey)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise StageError(
            f"{backbone.arch} cannot take an input of {crop_px} x {crop_px} ({error}): set features.crop_px to auto"
        ) from None
    return tuple(as_map(features, backbone.prefix_tokens).shape[1:])


def read_card(weights: Path) -> dict[str, Any]:
    """Read what `prepare-backbone` wrote beside the weights.

    Raises
    ------
    StageError
        If it is missing, unreadable, or from before it named channels and transform.
    """
    try:
        card = json.loads(weights.with_suffix(".json").read_text(encoding="utf-8"))
        if {"arch", "weights", "digest", "channels", "transform"} <= card.keys():
            return card
    except (OSError, ValueError, AttributeError):
        pass
    raise StageError(f"{weights} is missing or unreadable: run `pipeline prepare-backbone` first") from None


def load_backbone(weights: Path) -> Backbone:
    """Build the network that the card beside the weights names, and give it these weights."""
    card = read_card(weights)
    # torchvision's networks need no first values, which take longer to draw than the file to read; others' code may
    # compute something from them.
    with nullcontext() if ":" in card["arch"] else torch.device("meta"):
        backbone = build(card["arch"], weights=card["weights"])
    try:
        backbone.network.load_state_dict(load_file(weights), assign=True)
    except RuntimeError as error:
        raise StageError(
            f"{weights} does not fit {card['arch']} any more ({str(error).splitlines()[0]}): "
            "run `pipeline prepare-backbone` again"
        ) from None
    return backbone


def load_extractor(
    weights: Path, *, tokens: int, pooled_token: bool, dtype: torch.dtype, device: torch.device
) -> FeatureExtractor:
    """Read the prepared backbone from its file onto a device."""
    return FeatureExtractor(load_backbone(weights), tokens=tokens, pooled_token=pooled_token, dtype=dtype).to(device)
