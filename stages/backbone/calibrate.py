"""Set the batch-norm statistics of untrained weights from real images.

An untrained ResNet-101 in eval mode multiplies its activations block by block until float16 overflows; with statistics
of its own activations every block's output stays near unit variance.
"""

from collections.abc import Iterable

import torch
from torch import nn

from stages.backbone.network import feature_map, normalise


def calibrate_batch_norm(resnet: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Replace the running statistics by the mean of the batches' own, in place.

    Parameters
    ----------
    resnet
        The network; left in eval mode.
    batches
        Pixels, each `(n, 3, h, w)` uint8 with n of 2 or more.
    """
    norms = [module for module in resnet.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over batches instead of a moving one
    resnet.train()
    with torch.no_grad():
        for pixels in batches:
            feature_map(resnet, normalise(pixels).to(memory_format=torch.channels_last))
    resnet.eval()
