"""The network: ResNet-101 with `fc = Identity`, from uint8 pixels to a sequence of feature tokens.

In: a file of weights. Out: a module that maps `(n, 3, crop_px, crop_px)` uint8 to `(n, tokens, 2048)` float32.
Where the weights come from is left to `weights.py`.
"""

import math
from pathlib import Path

import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from stages.backbone.fused import can_fuse, fuse_resnet

CHANNELS = 2048
# Raised when the code of the forward pass changes values: the feature cache then starts anew.
FORWARD_VERSION = 2
# Mean and standard deviation of ImageNet's RGB values, which torchvision's weights expect.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def build_resnet() -> nn.Module:
    """Make torchvision's ResNet-101, freshly initialised, with `fc = Identity`."""
    network = torchvision.models.resnet101(weights=None)
    network.fc = nn.Identity()
    return network


def normalise(pixels: torch.Tensor) -> torch.Tensor:
    """Scale uint8 RGB to ImageNet's zero mean and unit deviation: `(n, 3, h, w)` uint8 to the same shape, float32."""
    mean = torch.tensor(IMAGENET_MEAN, device=pixels.device).view(1, 3, 1, 1) * 255
    std = torch.tensor(IMAGENET_STD, device=pixels.device).view(1, 3, 1, 1) * 255
    return (pixels.float() - mean) / std


def feature_map(resnet: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """Run all layers up to the last feature map: `(n, 3, h, w)` to `(n, 2048, h/32, w/32)`."""
    out = resnet.maxpool(resnet.relu(resnet.bn1(resnet.conv1(inputs))))
    return resnet.layer4(resnet.layer3(resnet.layer2(resnet.layer1(out))))


class FeatureExtractor(nn.Module):
    """A frozen ResNet that turns pixels into tokens.

    Batch normalisation is folded into the convolutions before them, which leaves the function as it is and saves the
    memory traffic of a hundred element-wise layers.

    Parameters
    ----------
    resnet
        What `build_resnet` makes, with its weights loaded.
    tokens
        1 for the pooled vector, g² for the last map pooled to a g x g grid and read row by row.
    dtype
        Of weights and activations. Normalisation and pooling are float32 whatever it is.
    """

    def __init__(self, resnet: nn.Module, *, tokens: int, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.resnet = fold_batch_norm(resnet.eval()).to(dtype=dtype, memory_format=torch.channels_last)
        self.grid, self.dtype = math.isqrt(tokens), dtype
        self.requires_grad_(False)

    def prepare_for(self, input_size: tuple[int, int, int, int]) -> None:
        """Make passes over `(n, 3, h, w)` quicker where this device allows; but for rounding the function stays."""
        if can_fuse(self.resnet, self.dtype):
            fuse_resnet(self.resnet, input_size)

    @torch.inference_mode()
    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map `(n, 3, h, w)` uint8 pixels to `(n, tokens, 2048)` float32 features."""
        inputs = normalise(pixels).to(dtype=self.dtype, memory_format=torch.channels_last)
        maps = feature_map(self.resnet, inputs).float()
        return F.adaptive_avg_pool2d(maps, self.grid).flatten(2).transpose(1, 2).contiguous()


def fold_batch_norm(module: nn.Module) -> nn.Module:
    """Replace each batch norm by Identity and put what it does into the convolution before it, in place.

    torchvision's ResNet names them in pairs: `conv1` and `bn1`, …, and `downsample.0` and `downsample.1`.
    """
    for child in module.modules():
        names = dict(child.named_children())
        pairs = [(f"conv{i}", f"bn{i}") for i in (1, 2, 3)]
        if isinstance(child, nn.Sequential) and isinstance(names.get("1"), nn.BatchNorm2d):
            pairs.append(("0", "1"))
        for conv, norm in pairs:
            if isinstance(names.get(norm), nn.BatchNorm2d):
                setattr(child, conv, fuse_conv_bn_eval(names[conv], names[norm]))
                setattr(child, norm, nn.Identity())
    return module


def load_extractor(weights: Path, *, tokens: int, dtype: torch.dtype, device: torch.device) -> FeatureExtractor:
    """Read the prepared backbone from its file onto a device."""
    resnet = build_resnet()
    resnet.load_state_dict(load_file(weights))
    return FeatureExtractor(resnet, tokens=tokens, dtype=dtype).to(device)
