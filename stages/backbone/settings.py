"""Settings of the backbone: which network, which weights, and how they are fine-tuned.

In: `backbone` of params.yaml. Out: a frozen `BackboneSettings`. Whether such a network exists is left to the registry.
"""

from typing import Literal

from pydantic import Field, field_validator

from stages.core.errors import StageError
from stages.core.networks.registry import arch_forms, find_library
from stages.core.settings import Settings


class FinetuneSettings(Settings):
    """Training the backbone on one label column before extraction (`backbone.finetune` in params.yaml)."""

    target: str | None = None
    """The label column to train on; null leaves the backbone as it is."""
    unfreeze: Literal["fc", "layer4", "layer3", "all"] = "layer4"
    """What learns: the linear head alone (features do not change), a ResNet's last block, its last two, or everything.
    Other networks: fc or all."""
    epochs: int = Field(20, ge=1, le=10_000)
    """Passes over the train split at most; the learning rates fall to zero over them, along a cosine."""
    patience: int = Field(5, ge=1, le=10_000)
    """Epochs without a better validation macro F1 after which training stops."""
    batch_size: int = Field(64, ge=1, le=65_536)
    """Images per step, over all GPUs together."""
    lr: float = Field(1e-3, gt=0, le=10)
    """AdamW's learning rate of the linear head at its peak."""
    backbone_lr: float = Field(1e-4, gt=0, le=10)
    """That of the backbone's last block."""
    layer_decay: float = Field(0.7, gt=0, le=1)
    """Layer-wise decay: factor from each block's learning rate to that of the block before it, since early layers are
    general and need little change."""
    warmup_epochs: float = Field(1.0, ge=0, le=1000)
    """Epochs over which the learning rates rise from zero, while the new head is still untrained."""
    weight_decay: float = Field(1e-2, ge=0, le=10)
    """AdamW's decoupled weight decay (none on biases and normalisation)."""
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    """Share of the target probability that is spread over all classes."""
    batch_norm: Literal["fixed", "update"] = "fixed"
    """Statistics of batch normalisation. fixed: those of the initial weights everywhere, so that no image's gradient
    depends on its batch or on the number of GPUs. update: measured again in the layers that learn."""
    random_crops: bool = True
    """Train on random crops (padded where the image is smaller) instead of the centre one."""
    max_zoom: float = Field(1.25, ge=1, le=4)
    """random_crops: the image is enlarged by a random factor from 1 to this before the crop."""
    flips: bool = True
    """Mirror every other image, left to right."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of the arithmetic; weights are fp32. auto: bf16 where the processor multiplies it in hardware."""
    random_state: int = Field(0, ge=0, le=2**32 - 1)
    """Seed of the head, of the order of images, and of crops, zooms, flips and dropout."""


class BackboneSettings(Settings):
    """The feature extractor (`backbone` in params.yaml)."""

    arch: str = Field("resnet101", max_length=200)
    """The network: a preset (dinov2_b14, clip_l14, siglip2, convnext_l), a torchvision classification network's name,
    timm:NAME or timm:NAME.TAG, or package.module:function (your own code, which is run)."""
    weights: str = Field("auto", min_length=1)
    """auto (the best of torchvision's, timm's default, or those that your own network has), random, a torchvision
    weights name (IMAGENET1K_V2, IMAGENET1K_V1), a tag of timm, or a local .pth or .safetensors file."""
    download_timeout_s: float = Field(20.0, gt=0, le=3600)
    """auto: seconds that downloading the pretrained weights may take before random ones are used instead. A named
    weight set is waited for."""
    random_state: int = Field(0, ge=0, le=2**32 - 1)
    """random: seed of the weights."""
    calibration_images: int = Field(32, ge=2, le=4096)
    """random: number of train images whose activations set the batch-norm statistics."""
    finetune: FinetuneSettings = FinetuneSettings()

    @field_validator("arch")
    @classmethod
    def _arch_is_a_name(cls, arch: str) -> str:
        try:
            find_library(arch)
        except StageError:
            raise ValueError(f"must be {arch_forms()}") from None
        return arch
