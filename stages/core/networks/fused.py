"""ResNet's convolutions fused with the operations after them, in one pass over memory, for CPUs.

In: a ResNet whose batch norms are folded. Out: the same network, its blocks replaced in place. oneDNN computes a
convolution, its bias, the addition of the shortcut and the ReLU at once, from weights packed beforehand. These are the
operations that `torch.compile` emits with frozen weights. Called directly they need no compilation, and the values are
the same for one image as for a million.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

Size = tuple[int, int, int, int]
# Their maps are the largest: fewer images at a time fit into a core's cache (8 of 16: 4 to 6 % more images a second).
EARLY = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2")
EARLY_IMAGES = 8


def can_fuse(network: nn.Module, dtype: torch.dtype) -> bool:
    """Whether there are blocks to fuse, on a CPU that oneDNN serves, in float32 or bfloat16.

    Those are the blocks of torchvision's ResNet, ResNeXt and Wide ResNet whose batch norms are folded.
    """
    blocks = [module for module in network.modules() if isinstance(module, BasicBlock | Bottleneck)]
    return (
        bool(blocks)
        and all(conv.bias is not None for block in blocks for conv in _convs(block))
        and blocks[0].conv1.weight.device.type == "cpu"
        and dtype in (torch.float32, torch.bfloat16)
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise_")
    )


def fuse_residual_blocks(network: nn.Module, input_size: Size) -> nn.Module:
    """Replace the residual blocks, and a stem of `conv1` and `relu`, in place.

    Parameters
    ----------
    network
        In eval mode, its batch norms folded into its convolutions, on the CPU.
    input_size
        `(n, 3, h, w)` of the batches to come: the layout of the packed weights is chosen for it.

    Returns
    -------
    Module
        The same object. Its outputs differ from the unfused network's by rounding only: sums are rounded once, after
        the ReLU, instead of after every step.
    """
    early = [name for name, _ in network.named_children() if name in EARLY]
    sizes = _input_sizes(network, input_size, early)
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, BasicBlock | Bottleneck):
                setattr(parent, name, FusedBlock(child, sizes))
    stem = getattr(network, "conv1", None)
    if isinstance(stem, nn.Conv2d) and stem.bias is not None and isinstance(getattr(network, "relu", None), nn.ReLU):
        network.conv1, network.relu = PackedConv(stem, sizes[stem], relu=True), nn.Identity()
        if stem.weight.dtype == torch.bfloat16 and _is_three_by_two(getattr(network, "maxpool", None)):
            network.maxpool = MaxPoolAfterReLU()
    if input_size[0] > EARLY_IMAGES and early:
        setattr(network, early[0], InParts(nn.Sequential(*(getattr(network, name) for name in early)), EARLY_IMAGES))
        for name in early[1:]:
            setattr(network, name, nn.Identity())
    return network


def _convs(block: BasicBlock | Bottleneck) -> list[nn.Conv2d]:
    return [block.conv1, block.conv2, *([block.conv3] if isinstance(block, Bottleneck) else [])]


class PackedConv(nn.Module):
    """A convolution with bias, and optionally ReLU, from weights packed for one input size."""

    def __init__(self, conv: nn.Conv2d, input_size: Size, *, relu: bool) -> None:
        super().__init__()
        self.geometry = (list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups)
        assert conv.bias is not None
        # Not a buffer: the packed layout has no storage that could be saved or moved.
        self.packed = torch.ops.mkldnn._reorder_convolution_weight(conv.weight.detach(), *self.geometry, input_size)
        self.register_buffer("bias", conv.bias.detach(), persistent=False)
        self.after = "relu" if relu else "none"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`after(conv(x) + bias)`."""
        output: torch.Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, self.packed, self.bias, *self.geometry, self.after, [], ""
        )
        return output

    def add_into(self, shortcut: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """`relu(shortcut + conv(x) + bias)`, written over the shortcut."""
        output: torch.Tensor = torch.ops.mkldnn._convolution_pointwise_(
            shortcut, x, self.packed, self.bias, *self.geometry, "add", 1.0, "relu", [], ""
        )
        return output


class FusedBlock(nn.Module):
    """A residual block: all its convolutions except the last with ReLU, the last added into the shortcut."""

    def __init__(self, block: BasicBlock | Bottleneck, sizes: dict[nn.Module, Size]) -> None:
        super().__init__()
        convs = _convs(block)
        self.body = nn.Sequential(*(PackedConv(conv, sizes[conv], relu=True) for conv in convs[:-1]))
        self.last = PackedConv(convs[-1], sizes[convs[-1]], relu=False)
        shortcut = block.downsample
        self.downsample = None if shortcut is None else PackedConv(shortcut[0], sizes[shortcut[0]], relu=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the block; without a convolution in the shortcut it overwrites its input, which nobody needs any more."""
        body = self.body(x)
        return self.last.add_into(x if self.downsample is None else self.downsample(x), body)


class MaxPoolAfterReLU(nn.Module):
    """Max pooling, 3 x 3 with stride 2 and padding 1, of a ReLU's output in bfloat16 and channels-last layout.

    Non-negative numbers have the order of their bits, and torch compares int16 four times as fast.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `(n, c, h, w)` to `(n, c, h / 2, w / 2)`; rows first, which halves the work for the columns."""
        if x.shape[2] % 2 or x.shape[3] % 2 or not x.is_contiguous(memory_format=torch.channels_last):
            return F.max_pool2d(x, 3, 2, 1)
        bits = x.permute(0, 2, 3, 1).view(torch.int16)
        rows = _largest_of_three(bits)
        return _largest_of_three(rows.transpose(1, 2)).transpose(1, 2).view(torch.bfloat16).permute(0, 3, 1, 2)


def _largest_of_three(x: torch.Tensor) -> torch.Tensor:
    """The maximum of every second element and its neighbours, along dimension 1 of even length."""
    pairs = torch.maximum(x[:, 0::2], x[:, 1::2])
    torch.maximum(pairs[:, 1:], x[:, 1:-1:2], out=pairs[:, 1:])
    return pairs


def _is_three_by_two(pool: nn.Module | None) -> bool:
    return isinstance(pool, nn.MaxPool2d) and (
        (pool.kernel_size, pool.stride, pool.padding, pool.dilation, pool.ceil_mode) == (3, 2, 1, 1, False)
    )


class InParts(nn.Module):
    """Layers that run on at most `images` images at a time."""

    def __init__(self, layers: nn.Module, images: int) -> None:
        super().__init__()
        self.layers, self.images = layers, images

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The output of `layers` for all of x."""
        return torch.cat([self.layers(part) for part in torch.split(x, self.images)])


def _input_sizes(network: nn.Module, input_size: Size, early: list[str]) -> dict[nn.Module, Size]:
    """The input size of every convolution, from one image's pass through the network."""
    sizes: dict[nn.Module, Size] = {}
    in_parts = {layer for name in early for layer in getattr(network, name).modules()}

    def note(conv: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        images = min(input_size[0], EARLY_IMAGES) if conv in in_parts else input_size[0]
        sizes[conv] = (images, *inputs[0].shape[1:])

    convs = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    hooks = [conv.register_forward_pre_hook(note) for conv in convs]
    # torch's meta device computes shapes and nothing else.
    shapes = {name: tensor.to("meta") for name, tensor in network.state_dict(keep_vars=True).items()}
    image = torch.zeros(1, *input_size[1:], dtype=convs[0].weight.dtype, device="meta")
    with torch.inference_mode():
        torch.func.functional_call(network, shapes, (image,))
    for hook in hooks:
        hook.remove()
    return sizes
