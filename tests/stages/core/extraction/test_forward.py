"""The forward pass gives the same values in whatever pieces, places and numbers the work is done."""

import copy
import hashlib
import os
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
import torchvision
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from stages.core.extraction.forward import ForwardPass
from stages.core.extraction.stream import FeatureStream, ImageBatches, ImageFile, compute_on_cores, compute_on_gpu
from stages.core.images.files import ImageFolder
from stages.core.images.transform import Transform
from stages.core.networks.backbone import Backbone, NativeInput
from stages.core.networks.feature_extractor import FeatureExtractor, fold_batch_norm
from stages.core.networks.fused import MaxPoolAfterReLU, can_fuse, fuse_residual_blocks
from stages.core.networks.torchvision_networks import trunk

TRANSFORM = Transform(resize_px=40, crop_px=32, views=2)
# 20,000 take half a minute; benchmarks/memory.py watches the whole stage over 100,000.
MANY = int(os.environ.get("EXTRACT_IMAGES", "20000"))


def calibrated(make=torchvision.models.resnet18) -> nn.Module:
    """A ResNet with random weights and batch-norm statistics of its own activations."""
    torch.manual_seed(0)
    network = make(weights=None).train()
    with torch.no_grad():
        for _ in range(8):
            network(torch.randn(8, 3, 32, 32))
    return trunk(network).eval().requires_grad_(False)


def extractor_of(dtype: torch.dtype = torch.float32) -> FeatureExtractor:
    return FeatureExtractor(Backbone("resnet18", calibrated(), NativeInput()), tokens=1, dtype=dtype)


class ColourMeans(nn.Module):
    """A stand-in as quick as can be: a crop's mean colours."""

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        return crops.float().mean(dim=(2, 3))[:, None]


@pytest.mark.parametrize(
    "make", [torchvision.models.resnet18, torchvision.models.resnet50], ids=["basic", "bottleneck"]
)
def test_fusing_changes_nothing_but_rounding(make):
    network, inputs = fold_batch_norm(calibrated(make)), torch.randn(4, 3, 64, 64)
    with torch.inference_mode():
        exact = network(inputs)
        fused = fuse_residual_blocks(copy.deepcopy(network), (4, 3, 64, 64))(inputs)
    assert (fused - exact).norm() <= 1e-5 * exact.norm()


@pytest.mark.parametrize(
    "make", [torchvision.models.resnet18, torchvision.models.resnet50], ids=["basic", "bottleneck"]
)
def test_in_bf16_the_fused_network_is_as_near_to_fp32_as_the_plain_one(make):
    network, inputs = fold_batch_norm(calibrated(make)), torch.randn(4, 3, 64, 64)
    low = copy.deepcopy(network).to(torch.bfloat16, memory_format=torch.channels_last)
    low_inputs = inputs.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        exact, plain = network(inputs), low(low_inputs).float()
        assert can_fuse(low, torch.bfloat16)
        fused = fuse_residual_blocks(low, (4, 3, 64, 64))(low_inputs).float()
    assert not can_fuse(low, torch.bfloat16)  # once is enough
    assert (fused - exact).norm() <= 1.1 * (plain - exact).norm()
    assert nn.functional.cosine_similarity(fused, exact).min() > 0.999


@pytest.mark.parametrize("size", [(8, 12), (7, 12), (2, 2)])
def test_max_pooling_by_bits_is_max_pooling_bit_for_bit(size):
    torch.manual_seed(0)
    x = torch.randn(3, 5, *size).relu().to(torch.bfloat16)
    x[0, 0, 1, 1], x[0, 1, 1, 1] = float("inf"), float("nan")
    x = x.contiguous(memory_format=torch.channels_last)
    pooled, expected = MaxPoolAfterReLU()(x), nn.functional.max_pool2d(x, 3, 2, 1)
    assert pooled.isnan().equal(expected.isnan())
    assert pooled.nan_to_num().equal(expected.nan_to_num())


def test_max_pooling_by_bits_stands_behind_a_relu_in_bf16_alone():
    for dtype in (torch.bfloat16, torch.float32):
        network = fold_batch_norm(calibrated()).to(dtype, memory_format=torch.channels_last)
        fused = fuse_residual_blocks(network, (4, 3, 64, 64))
        assert any(isinstance(module, MaxPoolAfterReLU) for module in fused.modules()) == (dtype == torch.bfloat16)


def test_other_networks_and_precisions_are_left_alone():
    assert not can_fuse(torchvision.models.mobilenet_v3_small(weights=None), torch.float32)
    assert not can_fuse(calibrated(), torch.float16)
    extractor = extractor_of(torch.float16)
    extractor.prepare_for((2, 3, 32, 32))
    assert type(extractor.network.conv1) is nn.Conv2d


def test_a_pass_makes_no_tensor_on_the_host():
    """A CUDA graph cannot record a copy from the host to the device: all that a pass needs must be there before."""
    made = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, operation, types, arguments=(), options=None):
            made.append(operation.name())
            return operation(*arguments, **(options or {}))

    extractor = FeatureExtractor(Backbone("resnet18", calibrated(), NativeInput()), tokens=4, pooled_token=True)
    with Watch():
        extractor(torch.zeros((2, 3, 64, 64), dtype=torch.uint8))
    assert "aten::conv2d" in made
    assert "aten::lift_fresh" not in made  # what torch.tensor, and nothing else, calls


def test_every_pass_has_one_shape_and_the_padding_is_cut_off():
    shapes = []

    class Spy(ColourMeans):
        def forward(self, crops):
            shapes.append(tuple(crops.shape))
            return super().forward(crops)

    crops = torch.randint(0, 256, (7, 3, 8, 8), dtype=torch.uint8)
    features = ForwardPass(Spy(), 3)(crops)
    assert shapes == [(3, 3, 8, 8)] * 3
    assert features.dtype == torch.float16
    assert torch.equal(features, ColourMeans()(crops).half())


class Cramped(ColourMeans):
    """A device with room for two crops."""

    def forward(self, crops):
        if len(crops) > 2:
            torch.empty(2**60)  # what the allocator says is its own
        return super().forward(crops)


def test_out_of_memory_halves_the_pass_and_goes_on(caplog):
    crops = torch.randint(0, 256, (9, 3, 8, 8), dtype=torch.uint8)
    forward = ForwardPass(Cramped(), 8)
    assert torch.equal(forward(crops), ColourMeans()(crops).half())
    assert forward.crops_per_pass == 2
    assert "continuing with 4" in caplog.text


def test_out_of_memory_with_a_single_crop_is_an_error_as_are_all_others():
    class TooSmall(nn.Module):
        def forward(self, crops):
            return torch.empty(2**60)

    class Broken(nn.Module):
        def forward(self, crops):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    for module, message in ((TooSmall(), "allocate memory"), (Broken(), "cannot be multiplied")):
        with pytest.raises(RuntimeError, match=message):
            ForwardPass(module, 4)(torch.zeros((4, 3, 8, 8), dtype=torch.uint8))


@pytest.fixture
def files(image_root: Path, save_picture) -> list[ImageFile]:
    """Thirteen images, of which two can no longer be read."""
    paths = [save_picture(f"{seed:02d}.png", seed, (60, 44)) for seed in range(13)]
    listed = [ImageFile(hashlib.sha256(path.read_bytes()).hexdigest(), path.name) for path in paths]
    paths[4].unlink()
    paths[9].write_bytes(b"changed since")
    return listed


def stream_of(image_root: Path, extractor: nn.Module, batch_size: int = 6, n_jobs: int = 1) -> FeatureStream:
    return FeatureStream(extractor, TRANSFORM, batch_size, ImageFolder(image_root), n_jobs)


def collected(stream: FeatureStream, files: list[ImageFile]) -> dict[str, np.ndarray]:
    return {key: row for keys, rows in stream.compute(files) for key, row in zip(keys, rows, strict=True)}


def test_images_that_fail_are_recorded_and_skipped(files, image_root):
    stream = stream_of(image_root, ColourMeans())
    assert list(collected(stream, files)) == [file.key for index, file in enumerate(files) if index not in (4, 9)]
    assert [(failure.image, failure.reason) for failure in stream.failures] == [
        ("04.png", "missing"),
        ("09.png", "changed"),
    ]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-2)], ids=["fp32", "bf16"])
def test_batch_size_changes_a_feature_by_rounding_at_most(files, image_root, dtype, tolerance):
    """The tolerance is a share of the largest feature, beside the rounding to float16 in the cache."""

    def features(batch_size: int) -> np.ndarray:
        stream = stream_of(image_root, extractor_of(dtype), batch_size)
        return np.stack(list(collected(stream, files).values())).astype(np.float64)

    one = features(1)
    for batch_size in (2, 6, 16, 40):
        assert np.abs(one - features(batch_size)).max() <= (tolerance + 2**-11) * np.abs(one).max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_threads_change_no_bit(files, image_root, dtype):
    extractor = extractor_of(dtype)
    one = collected(stream_of(image_root, extractor, n_jobs=1), files)
    for n_jobs in (2, 3, -1):
        other = collected(stream_of(image_root, extractor, n_jobs=n_jobs), files)
        assert list(one) == list(other)
        assert all(np.array_equal(one[key], other[key]) for key in one)


def test_decoding_in_processes_as_for_a_gpu_gives_the_same(files, image_root):
    """The GPU's path, on CPU tensors as far as it goes."""
    batches = ImageBatches(files, 3, TRANSFORM, ImageFolder(image_root))
    forward = ForwardPass(ColourMeans(), 6)
    for here, there in zip(compute_on_cores(batches, forward, 1), compute_on_gpu(batches, forward, 2), strict=True):
        assert (here[0], here[2]) == (there[0], there[2])
        assert torch.equal(here[1], there[1])


def test_memory_stays_flat_over_many_images(image_root, save_picture):
    paths = [save_picture(f"{seed}.png", seed, (40, 40)) for seed in range(20)]
    few = [ImageFile(hashlib.sha256(path.read_bytes()).hexdigest(), path.name) for path in paths]
    process, taken = psutil.Process(), []
    stream = stream_of(image_root, ColourMeans(), batch_size=64, n_jobs=2)
    for number, _ in enumerate(stream.compute(few * (MANY // len(few)))):
        if number % 50 == 0:
            taken.append(process.memory_info().rss)
    assert len(taken) > 10
    assert max(taken[len(taken) // 2 :]) - taken[len(taken) // 4] < 16 * 2**20
