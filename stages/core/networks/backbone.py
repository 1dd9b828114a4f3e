"""What every network library gives: a network without its classifier, and what must be known to use it.

In: nothing. Out: the types `Backbone` and `NativeInput`. Building one by its name is left to `registry.py`, weights to
the stage `backbone`, the use of its output to `feature_extractor.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

import torch
from torch import nn
from torchvision.models import WeightsEnum

from stages.core.images.transform import Interpolation

# Mean and standard deviation of ImageNet's RGB values, which most trained networks expect.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# What the pooled vector of an image is: the mean of the last map, or what the network's own classifier reads.
Pooled = Literal["mean", "class_token", "attention", "own"]
State = dict[str, torch.Tensor]
# Files of weights that every network can have, as messages name them.
WEIGHT_FILES = "a .pth, .pt or .safetensors file"


@dataclass(frozen=True)
class NativeInput:
    """The input that a network was made for.

    Attributes
    ----------
    mean, std
        Of its RGB input, on the scale from 0 to 1.
    resize_px, crop_px
        The shorter side after resizing, and the side of the square cut from it.
    interpolation
        How images are resized.
    fixed_px
        Whether it takes no other size than `crop_px`.
    multiple_px
        The input's side must be a multiple of this.

    Examples
    --------
    >>> NativeInput.from_json(NativeInput(crop_px=96).as_json()) == NativeInput(crop_px=96)
    True
    """

    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    resize_px: int = 256
    crop_px: int = 224
    interpolation: Interpolation = "bilinear"
    fixed_px: bool = False
    multiple_px: int = 1

    def as_json(self) -> dict[str, Any]:
        """The plain values, as the backbone's card has them under `transform`."""
        return asdict(self) | {"mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "NativeInput":
        """Read what `as_json` gave; KeyError if a value is missing."""
        return cls(
            mean=tuple(values["mean"]),
            std=tuple(values["std"]),
            resize_px=values["resize_px"],
            crop_px=values["crop_px"],
            interpolation=values["interpolation"],
            fixed_px=values["fixed_px"],
            multiple_px=values.get("multiple_px", 1),  # cards written before it was recorded have none
        )


@dataclass(frozen=True)
class HubWeights:
    """Trained weights on the Hugging Face hub.

    Attributes
    ----------
    name
        As `backbone.weights` names them: a tag of timm.
    repository, filename, revision
        Where they are; a revision of None is the newest.
    """

    name: str
    repository: str
    filename: str = "model.safetensors"
    revision: str | None = None


@dataclass(frozen=True)
class Backbone:
    """A network without its classifier, and what must be known to use it.

    Attributes
    ----------
    arch
        The name that it was built by.
    network
        Its `forward_features` maps normalised `(n, 3, crop_px, crop_px)` to a map `(n, channels, h, w)` or a sequence
        `(n, prefix_tokens + h * w, channels)`.
    native_input
        The input that it was made for.
    prefix_tokens
        How many class or register tokens a sequence begins with; None derives it from the length.
    pooled
        What the pooled vector is. Unless it is the mean, the network's `pool_features` maps what `forward_features`
        gave to `(n, channels)`.
    classifier_keys
        Beginnings of the keys of a file of weights that belong to the classifier and are left out.
    pretrained
        torchvision's trained weights for it, if there are any.
    hub
        Its trained weights on the Hugging Face hub, if there are any.
    convert
        Brings a file of its weights with other key names, as its first authors published them, into the network's.
    has_weights
        Whether it was built with its weights (a user's own network).
    may_skip_layers
        Whether it may have parameters that `forward_features` does not use.
    code_digest
        SHA-256 of the file that defines a user's own network.
    """

    arch: str
    network: nn.Module
    native_input: NativeInput
    prefix_tokens: int | None = 0
    pooled: Pooled = "mean"
    classifier_keys: tuple[str, ...] = ()
    pretrained: type[WeightsEnum] | None = None
    hub: HubWeights | None = None
    convert: Callable[[State], State] | None = None
    has_weights: bool = False
    may_skip_layers: bool = False
    code_digest: str | None = None


def forward_features(network: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """Run a backbone's network: normalised `(n, 3, h, w)` to its last map or sequence, see `Backbone.network`."""
    return cast(Callable[[torch.Tensor], torch.Tensor], network.forward_features)(inputs)


def pool_features(network: nn.Module, features: torch.Tensor) -> torch.Tensor:
    """Pool what `forward_features` gave as the network itself does, to `(n, channels)`; see `Backbone.pooled`."""
    return cast(Callable[[torch.Tensor], torch.Tensor], network.pool_features)(features)
