"""Build any backbone by the name that `backbone.arch` gives: torchvision's, timm's, or a user's own.

In: a name. Out: a network without its classifier, and the transform that it was made for. Weights are left to
`weights.py`; what is done with its output to `network.py`.
"""

import importlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from torch import nn
from torchvision.models import WeightsEnum

Interpolation = Literal["bilinear", "bicubic"]
# Mean and standard deviation of ImageNet's RGB values, which most trained networks expect.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Transform:
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
    """

    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    resize_px: int = 256
    crop_px: int = 224
    interpolation: Interpolation = "bilinear"
    fixed_px: bool = False

    def as_json(self) -> dict[str, Any]:
        """The plain values, as they stand in the backbone's card."""
        return asdict(self) | {"mean": list(self.mean), "std": list(self.std)}


@dataclass(frozen=True)
class Backbone:
    """A network without its classifier, and what must be known to use it.

    Attributes
    ----------
    arch
        The name that it was built by.
    network
        Its `forward_features` maps normalised `(n, 3, crop_px, crop_px)` to a map `(n, channels, h, w)` or a sequence
        `(n, tokens, channels)`.
    transform
        The input that it was made for.
    prefix_tokens
        How many class or register tokens a sequence begins with; None finds it out from the length.
    classifier_keys
        Beginnings of the keys of a file of weights that belong to the classifier and are left out.
    pretrained
        torchvision's trained weights for it, if there are any.
    own_weights
        The network comes with its weights (a user's own).
    code_digest
        SHA-256 of the file that defines a user's own network.
    """

    arch: str
    network: nn.Module
    transform: Transform
    prefix_tokens: int | None = 0
    classifier_keys: tuple[str, ...] = ()
    pretrained: type[WeightsEnum] | None = None
    own_weights: bool = False
    code_digest: str | None = None


def build(arch: str, *, weights: str = "auto") -> Backbone:
    """Build a backbone, freshly initialised (a user's own comes as its function returns it).

    Parameters
    ----------
    arch
        A torchvision classification network's name, `timm:NAME`, or `package.module:function`.
    weights
        Whose weights it will get: some of torchvision's were trained for another input than others.

    Raises
    ------
    StageError
        If there is no such network, or it does not do what a backbone must.
    """
    return _builder(arch)(arch, weights)


def _builder(arch: str) -> Callable[[str, str], Backbone]:
    """Import only the library that is asked for."""
    kind = "torchvision" if ":" not in arch else "timm" if arch.startswith("timm:") else "own"
    return importlib.import_module(f"stages.core.networks.{kind}_networks").build
