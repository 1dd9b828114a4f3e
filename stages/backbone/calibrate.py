"""Set the batch-norm statistics of untrained weights from real images.

In: an untrained backbone and batches of pixels. Out: the same backbone, every block's output near unit variance. With
initial statistics, activations of a ResNet in eval mode grow from block to block until float16 overflows.
"""

from collections.abc import Iterable

import torch
from torch import nn

from stages.core.networks.backbone import Backbone, forward_features
from stages.core.networks.feature_extractor import normalise


def batch_norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    """The layers whose statistics can be set."""
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


def calibrate_batch_norm(backbone: Backbone, batches: Iterable[torch.Tensor]) -> None:
    """Replace the running statistics by the mean of the batches' own, in place.

    Parameters
    ----------
    backbone
        Its network is left in eval mode.
    batches
        Pixels, each `(n, 3, h, w)` uint8 with n of 2 or more.
    """
    backbone.network.eval()
    for norm in batch_norms(backbone.network):
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over batches instead of a moving one
        norm.train()
    with torch.no_grad():
        for pixels in batches:
            inputs = normalise(pixels, backbone.native_input)
            forward_features(backbone.network, inputs.to(memory_format=torch.channels_last))
    backbone.network.eval()
