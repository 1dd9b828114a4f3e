"""The libraries of networks that can be a backbone, and how a name in `backbone.arch` finds its library.

In: a name. Out: the library, or a `Backbone` that it built. A library is one entry of `LIBRARIES` and one module; the
module is imported when one of its networks is asked for, so that settings can be checked without torch.
"""

import importlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from stages.core.errors import StageError
from stages.core.networks.presets import PRESETS

if TYPE_CHECKING:
    from stages.core.networks.backbone import Backbone


class LibraryModule(Protocol):
    """What the module of a library defines."""

    def build(self, arch: str, weights: str) -> "Backbone":
        """Build the network, with its initial values; `weights` is `backbone.weights`."""

    def explain_weights(self, backbone: "Backbone") -> str:
        """The values of `backbone.weights` that this network can have, as a list in words for a message."""


@dataclass(frozen=True)
class NetworkLibrary:
    """Where networks of some kind of name come from.

    Attributes
    ----------
    title
        What a person writes in `backbone.arch`, as help and errors put it.
    names
        A regular expression that such a name matches in full.
    module
        A `LibraryModule`, by its import path.
    builds_without_values
        Whether networks can be built on torch's meta device, which has shapes and no values. That is faster where a
        file gives all values, and wrong for code that computes something from initial values.
    """

    title: str
    names: str
    module: str
    builds_without_values: bool = False

    def load(self) -> LibraryModule:
        """Import the module."""
        return cast(LibraryModule, importlib.import_module(self.module))


# The first library whose pattern matches a name builds it.
LIBRARIES = {
    "preset": NetworkLibrary(
        title=f"a preset ({', '.join(PRESETS)})", names="|".join(PRESETS), module="stages.core.networks.timm_networks"
    ),
    "torchvision": NetworkLibrary(
        title="the name of a torchvision network",
        names=r"\w+",
        module="stages.core.networks.torchvision_networks",
        builds_without_values=True,
    ),
    "timm": NetworkLibrary(title="timm:NAME", names=r"timm:[\w.-]+", module="stages.core.networks.timm_networks"),
    "own": NetworkLibrary(
        title="package.module:function", names=r"\w+(\.\w+)*:\w+", module="stages.core.networks.own_networks"
    ),
}


def find_library(arch: str) -> NetworkLibrary:
    """The library that builds the network of this name.

    Raises
    ------
    StageError
        If no library has names of this form.

    Examples
    --------
    >>> find_library("timm:vit_tiny_patch16_224").title
    'timm:NAME'
    >>> find_library("dinov2_b14") is LIBRARIES["preset"]
    True
    >>> find_library("my_models.small:network").title
    'package.module:function'
    """
    for library in LIBRARIES.values():
        if re.fullmatch(library.names, arch, re.ASCII):
            return library
    raise StageError(f"backbone.arch is {arch!r}; it must be {arch_forms()}")


def arch_forms() -> str:
    """The allowed forms of a name, as a list in words for a message."""
    *first, last = (library.title for library in LIBRARIES.values())
    return f"{', '.join(first)}, or {last}"


def build_backbone(arch: str, *, weights: str = "auto") -> "Backbone":
    """Build a backbone with its initial values (a user's own as its function returns it).

    Parameters
    ----------
    arch
        A preset, a torchvision classification network's name, `timm:NAME`, or `package.module:function`.
    weights
        Which weights it will get: some were trained for another input than others.

    Raises
    ------
    StageError
        If there is no such network, or it does not do what a backbone must.
    """
    return find_library(arch).load().build(arch, weights)
