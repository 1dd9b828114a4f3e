"""A user's own network as the backbone: a function, named in params.yaml, that returns it.

In: `package.module:function`. Out: a `Backbone`. The module is imported, so it runs: name only code that you trust.
`docs/own_backbone.py` is an example.

The function takes no arguments and returns an `nn.Module` with a method `forward_features`, from normalised
`(n, 3, crop_px, crop_px)` to `(n, channels, h, w)` or `(n, prefix_tokens + patches, channels)` (a square grid of
patches, row by row, after any class or register tokens). These attributes of the module are optional:

    mean, std          of its RGB input on the scale from 0 to 1; ImageNet's unless given
    crop_px, resize_px side of its input (224), and the image's shorter side before the crop (8/7 of it)
    interpolation      how images are resized: "bilinear" (default) or "bicubic"
    fixed_px           True where it takes no other size than crop_px
    prefix_tokens      class and register tokens at the start of a sequence; derived from its length unless given
    pool_features      a method from what forward_features gave to the pooled vectors, (n, channels); the mean of the
                       patches unless given
"""

import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import nn

from stages.core.errors import StageError
from stages.core.networks.backbone import IMAGENET_MEAN, IMAGENET_STD, WEIGHT_FILES, Backbone, NativeInput


def build(arch: str, weights: str) -> Backbone:
    """Call the function; `weights` changes nothing here. See `registry.LibraryModule`."""
    module_name, _, function_name = arch.partition(":")
    with _current_folder_importable():
        try:
            module = importlib.import_module(module_name)
        except ImportError as error:
            raise StageError(
                f"backbone.arch is {arch!r}, but {module_name} cannot be imported ({error}): it must be an installed "
                "package, or be in the folder that `pipeline` runs in"
            ) from None
    function = getattr(module, function_name, None)
    if not callable(function):
        raise StageError(f"backbone.arch is {arch!r}, but {module_name} has no function {function_name}")
    network = function()
    if not isinstance(network, nn.Module) or not callable(getattr(network, "forward_features", None)):
        raise StageError(
            f"{arch} returned a {type(network).__name__}; it must return an nn.Module with a method forward_features"
        )
    return Backbone(
        arch=arch,
        network=network,
        native_input=_native_input(arch, network),
        prefix_tokens=getattr(network, "prefix_tokens", None),
        pooled="own" if hasattr(network, "pool_features") else "mean",
        has_weights=True,
        may_skip_layers=True,
        code_digest=_digest_of_code(function),
    )


def explain_weights(backbone: Backbone) -> str:
    """The weights that the function's network has, or a file."""
    return f"auto (those it comes with), or {WEIGHT_FILES}"


def _native_input(arch: str, network: nn.Module) -> NativeInput:
    crop_px = int(getattr(network, "crop_px", 224))
    native_input = NativeInput(
        mean=tuple(float(value) for value in getattr(network, "mean", IMAGENET_MEAN)),
        std=tuple(float(value) for value in getattr(network, "std", IMAGENET_STD)),
        resize_px=int(getattr(network, "resize_px", round(crop_px * 8 / 7))),
        crop_px=crop_px,
        interpolation=getattr(network, "interpolation", "bilinear"),
        fixed_px=bool(getattr(network, "fixed_px", False)),
    )
    if len(native_input.mean) != 3 or len(native_input.std) != 3 or min(native_input.std) <= 0:
        raise StageError(f"{arch}: mean and std must be three numbers each (red, green, blue), std above 0")
    if native_input.interpolation not in ("bilinear", "bicubic"):
        raise StageError(f"{arch}: interpolation is {native_input.interpolation!r}; allowed: bilinear, bicubic")
    return native_input


def _digest_of_code(function: Callable[..., object]) -> str | None:
    """The function can change while the weights stay the same: its file is part of the fingerprint."""
    try:
        path = inspect.getsourcefile(inspect.unwrap(function))
        return hashlib.sha256(Path(path or "").read_bytes()).hexdigest()
    except (TypeError, OSError):  # built in, or typed at a prompt
        return None


@contextmanager
def _current_folder_importable() -> Iterator[None]:
    """An installed `pipeline` command does not look for modules where it runs; `python -m pipeline` does."""
    here = str(Path.cwd())
    sys.path.append(here)
    try:
        yield
    finally:
        sys.path.remove(here)
