"""From pixels to feature tokens, whatever the network: normalise, run it, pool its last map to a grid.

In: a backbone with its weights. Out: a module that maps `(n, 3, crop_px, crop_px)` uint8 to `(n, tokens, channels)`
float32. Which networks exist is left to `registry.py`, reading prepared weights to `backbone_files.py`.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.models.resnet import BasicBlock, Bottleneck

from stages.core.errors import StageError
from stages.core.networks.backbone import Backbone, NativeInput, forward_features, pool_features
from stages.core.networks.fused import can_fuse, fuse_residual_blocks

# Raised when the code of the forward pass changes values: features cached under another number are not used.
FORWARD_VERSION = 3


def normalise(pixels: torch.Tensor, native_input: NativeInput) -> torch.Tensor:
    """Scale uint8 RGB as the network expects it: `(n, 3, h, w)` uint8 to the same shape, float32."""
    mean, std = (values.to(pixels.device) for values in mean_and_std(native_input))
    return scale(pixels, mean, std)


def mean_and_std(native_input: NativeInput) -> tuple[torch.Tensor, torch.Tensor]:
    """A network's mean and standard deviation on the scale from 0 to 255, each `(1, 3, 1, 1)` float32."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) * 255 for values in (native_input.mean, native_input.std))
    return mean, std


def scale(pixels: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """`(pixels - mean) / std`, float32."""
    return pixels.to(torch.float32, copy=True).sub_(mean).div_(std)


def to_map(features: torch.Tensor, prefix_tokens: int | None) -> torch.Tensor:
    """Bring a network's output into one form: `(n, channels, h, w)`.

    A sequence `(n, prefix_tokens + patches, channels)` is a square grid of patches, row by row, after some class or
    register tokens. Those belong to no place in the image and are left out of the map.

    Parameters
    ----------
    features
        A map, which is returned unchanged, or a sequence.
    prefix_tokens
        How many to leave out; None leaves out as many as make the rest the largest square.

    Raises
    ------
    StageError
        If it is neither, or the rest of the sequence is not a square.

    Examples
    --------
    A class token and 7 x 7 patches:

    >>> to_map(torch.zeros(2, 50, 192), prefix_tokens=1).shape
    torch.Size([2, 192, 7, 7])
    """
    if features.ndim == 4:
        return features
    if features.ndim != 3:
        raise StageError(
            f"the backbone's forward_features gives shape {tuple(features.shape)}; "
            "it must give (n, channels, h, w) or (n, prefix_tokens + patches, channels)"
        )
    count = features.shape[1]
    prefix = count - math.isqrt(count) ** 2 if prefix_tokens is None else prefix_tokens
    side = math.isqrt(max(count - prefix, 0))
    if side == 0 or prefix + side**2 != count:
        raise StageError(
            f"the backbone gives a sequence of {count}, of which {prefix} are prefix tokens: the rest is no square"
        )
    return torch.unflatten(features[:, prefix:].transpose(1, 2), 2, (side, side))


class FeatureExtractor(nn.Module):
    """A frozen network that turns pixels into feature tokens.

    Batch normalisation is folded into the convolution before it. The function stays the same, and the memory traffic of
    a hundred element-wise layers is saved.

    Parameters
    ----------
    backbone
        From `registry.build_backbone`, with its weights loaded.
    tokens
        1 for the pooled vector (`Backbone.pooled`), g² for the last map pooled to a g x g grid and read row by row.
    pooled_token
        Put the pooled vector before the grid.
    dtype
        Of weights and activations. Normalisation and pooling are always float32.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self, backbone: Backbone, *, tokens: int, pooled_token: bool = False, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        folded = fold_batch_norm(backbone.network.eval())
        self.network: nn.Module = folded.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.prefix_tokens, self.pooled = backbone.prefix_tokens, backbone.pooled
        self.grids = [1, math.isqrt(tokens)] if pooled_token else [math.isqrt(tokens)]
        self.dtype = dtype
        # Buffers, to be on the device beforehand: a CUDA graph cannot record a copy to it.
        for name, values in zip(("mean", "std"), mean_and_std(backbone.native_input), strict=True):
            self.register_buffer(name, values, persistent=False)
        self.requires_grad_(False)

    def prepare_for(self, input_size: tuple[int, int, int, int]) -> None:
        """Make passes over `(n, 3, h, w)` faster where the device allows; results change by rounding at most."""
        if can_fuse(self.network, self.dtype):
            fuse_residual_blocks(self.network, input_size)

    @torch.inference_mode()
    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map `(n, 3, h, w)` uint8 pixels to `(n, tokens, channels)` float32 features."""
        # One after the other: torch changes type and layout at once in twice the time.
        inputs = scale(pixels, self.mean, self.std).to(self.dtype).contiguous(memory_format=torch.channels_last)
        features = forward_features(self.network, inputs)
        maps = to_map(features.float(), self.prefix_tokens)
        tokens = [F.adaptive_avg_pool2d(maps, grid).flatten(2) for grid in self.grids]
        if self.pooled != "mean" and self.grids[0] == 1:
            tokens[0] = pool_features(self.network, features).float().unsqueeze(2)
        return torch.cat(tokens, dim=2).transpose(1, 2).contiguous()


def fold_batch_norm(module: nn.Module) -> nn.Module:
    """Replace each batch norm by Identity and fold it into the convolution before it, in place.

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
    """Do what torch's `fuse_conv_bn_eval` does, without its copy of the weights, which takes as long as the rest."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
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
        features = forward_features(backbone.network.eval(), grey)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise StageError(
            f"{backbone.arch} cannot take an input of {crop_px} x {crop_px} ({error}): set features.crop_px to auto"
        ) from None
    _, channels, height, width = to_map(features, backbone.prefix_tokens).shape
    return channels, height, width
