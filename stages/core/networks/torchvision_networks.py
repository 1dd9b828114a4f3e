"""torchvision's classification networks as backbones: everything before the global pooling, under the same keys.

In: a name that `torchvision.models.list_models` lists. Out: a `Backbone`. All seventeen families are covered: each is a
chain of children up to its pooling, except the vision transformer.
"""

import difflib
from collections import OrderedDict

import torch
import torchvision
from torch import nn
from torchvision.models import WeightsEnum

from stages.core.errors import StageError
from stages.core.images.transform import Interpolation
from stages.core.networks.backbone import WEIGHT_FILES, Backbone, NativeInput
from stages.core.networks.presets import PRESETS
from stages.core.networks.registry import arch_forms

# What follows the last feature map, and the auxiliary classifiers used in training, by torchvision's names.
AFTER_THE_MAP = frozenset(
    {"avgpool", "flatten", "dropout", "fc", "classifier", "head", "heads", "aux1", "aux2", "AuxLogits"}
)
# Sizes that do not depend on the weights: all of this project's figures are measured with them.
OWN_SIZES = {"resnet101": (256, 224)}


def build(arch: str, weights: str) -> Backbone:
    """Build a network by its name; see `registry.LibraryModule`."""
    names = torchvision.models.list_models(module=torchvision.models)
    if arch not in names:
        near = difflib.get_close_matches(arch, [*PRESETS, *names], n=3)
        raise StageError(
            f"backbone.arch is {arch!r}, which is not a classification network of torchvision"
            + (f" (is it {', '.join(near)}?)" if near else "")
            + f"; it must be {arch_forms()}"
        )
    pretrained = torchvision.models.get_model_weights(arch)
    member = pretrained.__members__.get(weights, pretrained.DEFAULT)
    native_input = _native_input(arch, member)
    network = _untrained(arch, native_input.crop_px)
    has_class_token = isinstance(network, torchvision.models.VisionTransformer)
    return Backbone(
        arch=arch,
        network=trunk(network),
        native_input=native_input,
        prefix_tokens=int(has_class_token),
        pooled="class_token" if has_class_token else "mean",
        classifier_keys=tuple(f"{name}." for name in sorted(AFTER_THE_MAP)),
        pretrained=pretrained,
    )


def explain_weights(backbone: Backbone) -> str:
    """Trained weights by their names in torchvision, random ones, or a file."""
    assert backbone.pretrained is not None
    return ", ".join(["auto", "random", *backbone.pretrained.__members__, f"or {WEIGHT_FILES}"])


def _native_input(arch: str, member: WeightsEnum) -> NativeInput:
    preset = member.transforms()
    resize_px, crop_px = OWN_SIZES.get(arch, (preset.resize_size[0], preset.crop_size[0]))
    mean, std = tuple(preset.mean), tuple(preset.std)
    if arch in ("googlenet", "inception_v3"):
        # Trained on inputs from -1 to 1; torchvision's network converts ImageNet's scale to that by itself.
        mean = std = (0.5, 0.5, 0.5)
    fixed = arch.startswith(("vit_", "maxvit"))
    interpolation: Interpolation = "bicubic" if preset.interpolation.value == "bicubic" else "bilinear"
    return NativeInput(mean, std, resize_px, crop_px, interpolation, fixed)


def _untrained(arch: str, crop_px: int) -> nn.Module:
    """The whole network with torchvision's initialisation."""
    options: dict[str, object] = {"weights": None}
    if arch.startswith("vit_"):
        options["image_size"] = crop_px  # decides how many position embeddings there are
    if arch in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": True, "transform_input": False}
    network: nn.Module = torchvision.models.get_model(arch, **options)
    return network


def trunk(network: nn.Module) -> nn.Module:
    """Cut a torchvision network off before its pooling; the rest keeps its keys."""
    if isinstance(network, torchvision.models.VisionTransformer):
        return VisionTransformerTrunk(network)
    children = OrderedDict((name, child) for name, child in network.named_children() if name not in AFTER_THE_MAP)
    for name, child in children.items():
        if isinstance(child, nn.ModuleList):
            children[name] = nn.Sequential(*child)
    if isinstance(network, torchvision.models.DenseNet):
        children["relu"] = nn.ReLU()  # a function call in torchvision's forward
    return Trunk(children)


class Trunk(nn.Sequential):
    """A chain of layers whose output is the last feature map."""

    def forward_features(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map normalised `(n, 3, h, w)` to `(n, channels, h', w')`."""
        features: torch.Tensor = self(inputs)
        return features


class VisionTransformerTrunk(nn.Module):
    """A vision transformer up to its last normalisation; its one prefix token is the class token."""

    def __init__(self, network: torchvision.models.VisionTransformer) -> None:
        super().__init__()
        self.class_token, self.conv_proj, self.encoder = network.class_token, network.conv_proj, network.encoder

    def forward_features(self, inputs: torch.Tensor) -> torch.Tensor:
        """Map normalised `(n, 3, crop_px, crop_px)` to `(n, 1 + patches, channels)`."""
        patches = self.conv_proj(inputs).flatten(2).transpose(1, 2)
        sequence = torch.cat([self.class_token.expand(len(patches), -1, -1), patches], dim=1)
        features: torch.Tensor = self.encoder(sequence)
        return features

    def pool_features(self, features: torch.Tensor) -> torch.Tensor:
        """Take the class token, `(n, channels)`, which torchvision's own classifier reads."""
        return features[:, 0]
