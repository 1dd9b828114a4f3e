"""Get a backbone's weights: torchvision's pretrained ones, timm's from the hub, a local file's, or seeded random ones.

In: the settings. Out: a backbone that has them, and a record of where they came from. Nothing is unpickled:
files are read with `weights_only=True` or as safetensors, and from the hub safetensors only.
"""

import contextlib
import hashlib
import logging
import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors.torch import load_file
from torch import nn
from torchvision.models import WeightsEnum
from torchvision.models.resnet import BasicBlock, Bottleneck

from stages.backbone.download import DownloadError, download
from stages.backbone.hub import fetch_from_hub
from stages.core.errors import StageError
from stages.core.networks.backbone import Backbone, HubWeights, State
from stages.core.networks.registry import build_backbone, find_library

# Wrappers under which training scripts keep the state dict, and prefixes that they leave on its keys.
WRAPPERS = ("state_dict", "model_state_dict", "model", "state_dict_ema")
PREFIXES = ("module.", "model.", "backbone.", "resnet.")

RANDOM_BRANCH_SCALE = 0.1
# Types that every weight may be stored in; each is converted to the network's.
FLOATS = {torch.float64, torch.float32, torch.float16, torch.bfloat16}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Provenance:
    """Where the weights came from: their name, their address or path, the file's SHA-256, what the user must know."""

    weights: str
    source: str
    digest: str | None = None
    warning: str | None = None


def get_backbone(arch: str, weights: str, *, random_state: int, timeout_s: float) -> tuple[Backbone, Provenance]:
    """Build a network and give it the weights that `backbone.weights` asks for.

    Parameters
    ----------
    arch
        As for `registry.build_backbone`.
    weights
        auto, random, a member of the network's weights enum in torchvision, a tag of timm, or a path.
    random_state
        Seed of random weights.
    timeout_s
        How long `auto` may take to fetch the pretrained weights.

    Raises
    ------
    StageError
        If they cannot be had; only `auto` falls back to random ones.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(random_state)
        backbone = build_backbone(arch, weights=weights)
    pretrained, hub = backbone.pretrained, backbone.hub
    if Path(weights).suffix in (".pth", ".pt", ".safetensors"):
        state = read_weights(Path(weights), backbone)
        return _load(backbone, state), Provenance(Path(weights).name, weights, _digest(Path(weights)))
    if weights == "auto" and backbone.has_weights:
        check_finite(backbone.network.state_dict(), arch)
        return backbone, Provenance("its own", arch)
    if weights == "random" and not backbone.has_weights:
        return _random(backbone), Provenance("random", f"seed {random_state}")
    if weights == "auto" and (pretrained is not None or hub is not None):
        return _pretrained_or_random(backbone, random_state, timeout_s)
    if pretrained is not None and weights in pretrained.__members__:
        return _pretrained(backbone, pretrained[weights])
    if hub is not None and weights == hub.name:
        return _named_from_hub(backbone, hub)
    _refuse_name(backbone, weights)


def _refuse_name(backbone: Backbone, weights: str) -> NoReturn:
    allowed = find_library(backbone.arch).load().explain_weights(backbone)
    raise StageError(f"backbone.weights is {weights!r}; allowed for {backbone.arch}: {allowed}")


def _pretrained_or_random(backbone: Backbone, random_state: int, timeout_s: float) -> tuple[Backbone, Provenance]:
    """Fetch the best pretrained weights within the limit. What a longer wait would not change is still an error."""
    try:
        if backbone.hub is not None:
            return _from_hub(backbone, backbone.hub, timeout_s)
        assert backbone.pretrained is not None
        return _pretrained_within(backbone, backbone.pretrained.DEFAULT, timeout_s)
    except DownloadError as error:
        warning = (
            "The backbone has random weights, because the pretrained ones could not be fetched "
            f"({error}). Random features know colours and textures but no objects: expect scores far below those of "
            "pretrained weights, and compare them with nothing published."
        )
        log.warning("%s", warning)
        return _random(backbone), Provenance("random", f"seed {random_state}", warning=warning)


def _random(backbone: Backbone) -> Backbone:
    """The library's initialisation, except for the last scale of every residual branch of a ResNet.

    A hundred random layers at full scale keep little of the image and amplify rounding errors. Scaled to a tenth (a
    relative of SkipInit, De and Smith 2020), the same network's features tell 900 paintings' styles apart at 0.30
    instead of 0.19, and the cosine between float32 and bfloat16 is 0.9999 instead of 0.99.
    """
    for block in backbone.network.modules():
        if isinstance(block, Bottleneck | BasicBlock):
            nn.init.constant_((block.bn3 if isinstance(block, Bottleneck) else block.bn2).weight, RANDOM_BRANCH_SCALE)
    return backbone


def _named_from_hub(backbone: Backbone, hub: HubWeights) -> tuple[Backbone, Provenance]:
    try:
        return _from_hub(backbone, hub, timeout_s=None)
    except DownloadError as error:
        raise StageError(
            f"{hub.name} of {backbone.arch} could not be fetched: {error}; "
            "download it elsewhere and set backbone.weights to the file"
        ) from None


def _from_hub(backbone: Backbone, hub: HubWeights, timeout_s: float | None) -> tuple[Backbone, Provenance]:
    file = fetch_from_hub(hub.repository, hub.filename, revision=hub.revision, timeout_s=timeout_s)
    source = f"{hub.repository}@{file.commit}/{hub.filename}"
    state = _fitted(_read_state(file.path), backbone, source)
    return _load(backbone, state), Provenance(hub.name, source, file.digest)


def _pretrained_within(backbone: Backbone, weights: WeightsEnum, timeout_s: float) -> tuple[Backbone, Provenance]:
    _fetch_within(weights, timeout_s)
    try:
        return _pretrained(backbone, weights)
    except StageError as error:
        raise DownloadError(str(error)) from None


def _pretrained(backbone: Backbone, weights: WeightsEnum) -> tuple[Backbone, Provenance]:
    path = _cached_path(weights)
    if path.exists() and not _is_whole(path):
        raise StageError(f"{path} is damaged, its digest is not the one in its name: remove it and run again")
    try:
        state = weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
    except Exception as error:  # the network's errors, and torch's for a file that it cannot read
        raise StageError(
            f"{weights.name} could not be fetched from {weights.url}: {_one_line(error)}; "
            f"download it elsewhere and set backbone.weights to the file"
        ) from None
    fitted = _fitted(state, backbone, weights.url)
    return _load(backbone, fitted), Provenance(weights.name, weights.url, _digest(path))


def _load(backbone: Backbone, state: State) -> Backbone:
    backbone.network.load_state_dict(state)
    return backbone


def _fetch_within(weights: WeightsEnum, timeout_s: float) -> None:
    """Download into torch's own cache, where torchvision looks first; a damaged file there is replaced."""
    target = _cached_path(weights)
    if not _is_whole(target):
        download(weights.url, target, digest_prefix=_digest_prefix(target), timeout_s=timeout_s)


def _cached_path(weights: WeightsEnum) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / str(weights.url).rsplit("/", 1)[-1]


def _is_whole(path: Path) -> bool:
    """Whether a file of torch's cache is there and has the digest in its name."""
    try:
        return _digest(path).startswith(_digest_prefix(path))
    except OSError:
        return False


def _digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_prefix(path: Path) -> str:
    """torch names its weights files NAME-DIGEST.pth."""
    return path.stem.rsplit("-", 1)[-1]


def read_weights(path: Path, backbone: Backbone) -> State:
    """Read a local file of weights for a network: its library's key names, with or without the classifier.

    Raises
    ------
    StageError
        If the file is missing, cannot be read safely, or is another network's.
    """
    state = _read_state(path)
    for wrapper in WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not all(map(_is_plain_entry, state.items())):
        raise StageError(f"{path} holds no table of tensors")
    return _fitted(state, backbone, str(path))


def _read_state(path: Path) -> Any:
    if not path.exists():
        raise StageError(f"backbone.weights names {path}, which does not exist")
    if not path.is_file():  # a FIFO would be waited for
        raise StageError(f"backbone.weights names {path}, which is no regular file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        _check_archive(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise StageError(f"{path} is refused, it is damaged or holds more than tensors: {_one_line(error)}") from None
    except Exception as error:  # torch and safetensors raise anything at a hostile file
        raise StageError(f"{path} cannot be read as weights: {_one_line(error)}") from None


def _check_archive(path: Path) -> None:
    """Refuse an archive that unpacks to more than its size: torch compresses nothing."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > path.stat().st_size:
        raise ValueError(f"it would unpack to {unpacked / 2**20:,.1f} MiB, more than its size")


def _is_plain_entry(entry: tuple[object, object]) -> bool:
    """Whether an entry of a state dict is a name and a dense tensor that holds values."""
    name, value = entry
    return (
        isinstance(name, str)
        and isinstance(value, torch.Tensor)
        and value.layout == torch.strided
        and not value.is_quantized
        and value.device.type == "cpu"
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _fitted(state: State, backbone: Backbone, source: str) -> State:
    """Strip prefixes and the classifier, and check that the rest is exactly this network's."""
    expected = backbone.network.state_dict()
    for prefix in PREFIXES:
        if not any(key.startswith(prefix) for key in expected) and all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    state = _without_classifier(state, backbone)
    if backbone.convert is not None and set(state) != set(expected):
        # Another layout of keys than any that it knows makes timm's conversion raise anything.
        with contextlib.suppress(Exception):
            state = _without_classifier(backbone.convert(dict(state)), backbone)
    # torchvision's DenseNet files are older than its rule that a module's name has no dot in it.
    state = {re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d)", r"\1\2", key): value for key, value in state.items()}
    # Files older than torch 0.4.1 have no count of batches, which evaluation does not use.
    state = {key: value for key, value in expected.items() if key.endswith("num_batches_tracked")} | state
    if wrong := sorted(set(expected) ^ set(state)):
        raise StageError(f"{source} is no {backbone.arch} by its keys: {len(wrong)} differ, the first is {wrong[0]}")
    for key, value in expected.items():
        if state[key].shape != value.shape:
            raise StageError(
                f"{source}: {key} has shape {tuple(state[key].shape)}, {backbone.arch} has {tuple(value.shape)}"
            )
        if state[key].dtype not in FLOATS | ({value.dtype} if not value.is_floating_point() else set()):
            raise StageError(f"{source}: {key} has dtype {state[key].dtype}, {backbone.arch} has {value.dtype}")
    fitted = {key: state[key].to(value.dtype).contiguous() for key, value in expected.items()}
    check_finite(fitted, source)
    return fitted


def _without_classifier(state: State, backbone: Backbone) -> State:
    return {key: value for key, value in state.items() if not key.startswith(backbone.classifier_keys)}


def check_finite(state: Mapping[str, torch.Tensor], source: str) -> None:
    """Refuse weights that are NaN or infinite: every image would get the same features.

    Raises
    ------
    StageError
        With the name of the first such tensor, and how many of its values.
    """
    for key, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            count = int((~torch.isfinite(value)).sum())
            raise StageError(
                f"{source}: {key} holds {count:,} values that are NaN or infinite: set backbone.weights to other "
                "weights; after fine-tuning, set backbone.finetune.lr and backbone_lr to less"
            )
