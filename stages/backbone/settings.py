"""Settings of the backbone: which network and whose weights."""

from pydantic import Field

from stages.settings import Settings

# A name, timm:NAME, or package.module:function.
ARCH = r"^(\w+|timm:[\w.-]+|\w+(\.\w+)*:\w+)$"


class BackboneSettings(Settings):
    """The feature extractor (`backbone` in params.yaml)."""

    arch: str = Field("resnet101", pattern=ARCH, max_length=200)
    """The network: a torchvision classification network's name, timm:NAME, or package.module:function (your own code,
    which is run)."""
    weights: str = Field("auto", min_length=1)
    """auto (the best of torchvision's, or those that a network of your own comes with), random, a torchvision weights
    name (IMAGENET1K_V2, IMAGENET1K_V1), or a local .pth or .safetensors file."""
    download_timeout_s: float = Field(20.0, gt=0, le=3600)
    """auto: how long fetching the pretrained weights may take before random ones are used instead."""
    random_state: int = Field(0, ge=0, le=2**32 - 1)
    """random: seed of the weights."""
    calibration_images: int = Field(32, ge=2, le=4096)
    """random: number of train images whose activations set the batch-norm statistics."""
