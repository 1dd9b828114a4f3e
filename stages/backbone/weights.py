"""Get the weights of ResNet-101: torchvision's pretrained ones, a local file's, or seeded random ones.

In: the settings. Out: a state dict without `fc`, and a record of where it came from. Nothing is unpickled:
files are read with `weights_only=True` or as safetensors.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torchvision.models.resnet import Bottleneck

from stages.backbone.download import DownloadError, download
from stages.backbone.network import build_resnet
from stages.errors import StageError

PRETRAINED = torchvision.models.ResNet101_Weights
# Wrappers under which training scripts keep the state dict, and prefixes that they leave on its keys.
WRAPPERS = ("state_dict", "model_state_dict", "model", "state_dict_ema")
PREFIXES = ("module.", "model.", "backbone.", "resnet.")

RANDOM_BRANCH_SCALE = 0.1

log = logging.getLogger(__name__)
State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Provenance:
    """Where the weights came from: a name for it, its address or path, and what the user must know."""

    weights: str
    source: str
    warning: str | None = None


def get_weights(name: str, *, random_state: int, timeout_s: float) -> tuple[State, Provenance]:
    """Find the weights that `backbone.weights` asks for.

    Parameters
    ----------
    name
        auto, random, a member of torchvision's `ResNet101_Weights`, or a path.
    random_state
        Seed of random weights.
    timeout_s
        How long `auto` may take to fetch the pretrained weights.

    Raises
    ------
    StageError
        If they cannot be had; only `auto` falls back to random ones.
    """
    if name == "auto":
        return _pretrained_or_random(random_state, timeout_s)
    if name == "random":
        return _random(random_state), Provenance("random", f"seed {random_state}")
    if name in PRETRAINED.__members__:
        return _pretrained(PRETRAINED[name])
    if Path(name).suffix in (".pth", ".pt", ".safetensors"):
        return read_weights(Path(name)), Provenance(Path(name).name, name)
    allowed = ", ".join(["auto", "random", *PRETRAINED.__members__, "or a .pth, .pt or .safetensors file"])
    raise StageError(f"backbone.weights is {name!r}; allowed: {allowed}")


def _pretrained_or_random(random_state: int, timeout_s: float) -> tuple[State, Provenance]:
    weights = PRETRAINED.IMAGENET1K_V2
    try:
        _fetch_within(weights, timeout_s)
        return _pretrained(weights)
    except (DownloadError, StageError) as error:
        warning = (
            "The backbone has random weights, because the pretrained ones could not be fetched "
            f"({error}). Random features know colours and textures but no objects: expect scores far below those of "
            "pretrained weights, and compare them with nothing published."
        )
        log.warning("%s", warning)
        return _random(random_state), Provenance("random", f"seed {random_state}", warning)


def _random(random_state: int) -> State:
    """torchvision's initialisation, but for the last scale of every residual branch.

    At full strength a hundred random layers leave little of the image and amplify rounding errors: scaled to a tenth
    (in the spirit of SkipInit, De and Smith 2020), the same network's features tell 900 paintings' styles apart at 0.30
    instead of 0.19 and keep a cosine of 0.9999 instead of 0.99 from float32 to bfloat16.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_state)
        resnet = build_resnet()
    for block in resnet.modules():
        if isinstance(block, Bottleneck):
            nn.init.constant_(block.bn3.weight, RANDOM_BRANCH_SCALE)
    return resnet.state_dict()


def _pretrained(weights: torchvision.models.WeightsEnum) -> tuple[State, Provenance]:
    try:
        state = weights.get_state_dict(progress=True, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise StageError(
            f"{weights.name} could not be fetched from {weights.url}: {error}; "
            f"download it elsewhere and set backbone.weights to the file"
        ) from None
    return _without_fc(state, weights.url), Provenance(weights.name, weights.url)


def _fetch_within(weights: torchvision.models.WeightsEnum, timeout_s: float) -> None:
    """Download into torch's own cache, where torchvision looks first."""
    target = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rsplit("/", 1)[-1]
    if not target.exists():
        # torch names its weights files NAME-DIGEST.pth.
        digest_prefix = target.stem.rsplit("-", 1)[-1]
        download(weights.url, target, digest_prefix=digest_prefix, timeout_s=timeout_s)


def read_weights(path: Path) -> State:
    """Read a local file of ResNet-101 weights with torchvision's or timm's key names (they agree).

    Raises
    ------
    StageError
        If the file is missing, cannot be read safely, or is no ResNet-101.
    """
    try:
        state = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except FileNotFoundError:
        raise StageError(f"backbone.weights names {path}, which does not exist") from None
    except (OSError, RuntimeError, SafetensorError, EOFError, ValueError, KeyError, ImportError) as error:
        raise StageError(f"{path} cannot be read as weights: {error}") from None
    except Exception as error:  # torch raises pickle's own errors for files that hold more than tensors
        raise StageError(f"{path} is refused, it holds more than tensors: {error}") from None
    for wrapper in WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise StageError(f"{path} holds no table of tensors")
    return _without_fc(state, str(path))


def _without_fc(state: State, source: str) -> State:
    """Strip prefixes and the classifier, and check that what is left is exactly a ResNet-101."""
    expected = build_resnet().state_dict()
    for prefix in PREFIXES:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    state = {key: value for key, value in state.items() if not key.startswith("fc.")}
    # Files older than torch 0.4.1 have no count of batches, which evaluation does not use.
    state = {key: value for key, value in expected.items() if key.endswith("num_batches_tracked")} | state
    if wrong := sorted(set(expected) ^ set(state)):
        raise StageError(f"{source} is no ResNet-101 by its keys: {len(wrong)} differ, the first is {wrong[0]}")
    for key, value in expected.items():
        if state[key].shape != value.shape:
            raise StageError(
                f"{source}: {key} has shape {tuple(state[key].shape)}, ResNet-101 has {tuple(value.shape)}"
            )
    return {key: state[key].to(value.dtype).contiguous() for key, value in expected.items()}
