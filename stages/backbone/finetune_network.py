"""What of a network learns in fine-tuning, how fast, and with which batch-norm statistics.

In: a backbone and the settings. Out: a classifier with its frozen parts frozen, and AdamW over the rest.
"""

import torch
from torch import nn

from stages.backbone.settings import FinetuneSettings
from stages.core.errors import StageError
from stages.core.networks.backbone import Backbone, forward_features
from stages.core.networks.feature_extractor import normalise, to_map
from stages.core.optimisation.weight_decay import split_by_decay

RESNET_LAYERS = ("layer1", "layer2", "layer3", "layer4")
# What learns, last block first.
UNFROZEN_LAYERS = {"layer4": ("layer4",), "layer3": ("layer4", "layer3")}


class Classifier(nn.Module):
    """A backbone, its last map averaged, and a linear layer.

    Parameters
    ----------
    backbone
        With the weights to start from.
    channels, classes
        Of its last map, and of the label column.
    """

    def __init__(self, backbone: Backbone, channels: int, classes: int) -> None:
        super().__init__()
        self.network, self.prefix_tokens = backbone.network, backbone.prefix_tokens
        self.native_input = backbone.native_input
        self.fc = nn.Linear(channels, classes)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map `(n, 3, crop_px, crop_px)` uint8 to logits `(n, classes)`."""
        inputs = normalise(pixels, self.native_input).to(memory_format=torch.channels_last)
        maps = to_map(forward_features(self.network, inputs), self.prefix_tokens)
        logits: torch.Tensor = self.fc(maps.float().mean(dim=(2, 3)))
        return logits


def freeze(classifier: Classifier, arch: str, unfreeze: str) -> list[nn.Module]:
    """Let only part of a classifier learn, in place.

    Returns
    -------
    list of Module
        The parts of the backbone that learn; the linear head always does.

    Raises
    ------
    StageError
        If the network has no such part.
    """
    if unfreeze == "all":
        return [classifier.network]
    classifier.network.requires_grad_(False)
    names = UNFROZEN_LAYERS.get(unfreeze, ())
    layers = [layer for name in names if (layer := _find_layer(classifier.network, name)) is not None]
    if len(layers) < len(names):
        raise StageError(
            f"backbone.finetune.unfreeze is {unfreeze}, but {arch} is no ResNet and has no such block: "
            "set it to fc or all"
        )
    for layer in layers:
        layer.requires_grad_(True)
    return layers


def _find_layer(network: nn.Module, name: str) -> nn.Module | None:
    """A ResNet's block of that name; in timm's networks and most adapters it is one level deeper."""
    modules = dict(network.named_modules())
    return modules.get(name, modules.get(f"network.{name}"))


def set_train_mode(classifier: Classifier, learning: list[nn.Module], batch_norm: str) -> None:
    """Switch dropout and the like on in what learns, and nowhere else.

    Batch normalisation uses fixed statistics in all frozen parts, and everywhere unless `batch_norm` is update. Its
    scale and shift learn with the part that they belong to.
    """
    classifier.eval()
    classifier.fc.train()
    for part in learning:
        part.train()
    if batch_norm == "fixed":
        for module in classifier.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()


def make_optimizer(classifier: Classifier, settings: FinetuneSettings) -> torch.optim.Optimizer:
    """AdamW with a learning rate per block: `lr` for the head, `backbone_lr` for the last block, and decaying before.

    Each group keeps its peak under `peak_lr`, which the schedule scales.
    """
    block_of = blocks(classifier.network)
    depth = max(block_of.values(), default=0)
    rates = {"lr": settings.lr, "peak_lr": settings.lr}
    groups = [group | rates for group in split_by_decay(classifier.fc.parameters(), settings.weight_decay)]
    for block in range(depth, -1, -1):
        lr = settings.backbone_lr * settings.layer_decay ** (depth - block)
        members = (p for name, p in classifier.network.named_parameters() if block_of[name] == block)
        groups += [group | {"lr": lr, "peak_lr": lr} for group in split_by_decay(members, settings.weight_decay)]
    return torch.optim.AdamW(groups)


def blocks(network: nn.Module) -> dict[str, int]:
    """Number a network's blocks from the input on: the block of each parameter, by its name.

    The blocks are the children of its body: the outermost chain or list of three or more children that holds at least
    half of the parameters (`layer1`, … of a ResNet, the layers of a transformer). What comes before the body belongs
    to the first block, what comes after it to the last.
    """
    names = [name for name, _ in network.named_parameters()]
    body = _body(network)
    if body is None:
        return dict.fromkeys(names, 0)
    prefix, children = body
    number, numbers = 0, {}
    for name in names:
        if name.startswith(prefix):
            child = name.removeprefix(prefix).partition(".")[0]
            number = children.index(child) if child in children else number
        numbers[name] = number
    return numbers


def _body(network: nn.Module) -> tuple[str, list[str]] | None:
    """Prefix of the body's parameter names, and the names of its children that have parameters."""
    total = sum(parameter.numel() for parameter in network.parameters())
    for name, module in network.named_modules():
        is_chain = isinstance(module, nn.Sequential | nn.ModuleList)
        children = [n for n, child in module.named_children() if any(True for _ in child.parameters())]
        if set(RESNET_LAYERS) <= set(children):  # its stem belongs to the first of them
            is_chain, children = True, list(RESNET_LAYERS)
        held = sum(parameter.numel() for parameter in module.parameters())
        if is_chain and len(children) >= 3 and 2 * held >= total:
            return (f"{name}." if name else ""), children
    return None
