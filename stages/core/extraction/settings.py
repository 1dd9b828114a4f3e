"""Settings of the features: transform, views, tokens, and how they are computed.

In: `features` of params.yaml. Out: a frozen `FeatureSettings`, in which values may be `auto`; what those stand for is
left to `resolve.py`.
"""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from stages.core.images.transform import Colour
from stages.core.settings import Settings


class FeatureSettings(Settings):
    """What a feature tensor is made of (`features` in params.yaml)."""

    resize_px: int | Literal["auto"] = "auto"
    """The image's shorter side after resizing, before the crop; auto: as the backbone was trained (ResNet-101: 256)."""
    crop_px: int | Literal["auto"] = "auto"
    """Side of the square that the backbone sees; where the image is smaller it is padded. auto: as the backbone was
    trained (ResNet-101: 224)."""
    interpolation: Literal["auto", "bilinear", "bicubic"] = "auto"
    """How images are resized; auto: as the backbone was trained (ResNet-101: bilinear)."""
    views: int = Field(2, ge=1, le=64)
    """Crops per image: the centre one, which is evaluated on, then random ones, which training also draws from."""
    random_state: int = Field(0, ge=0, le=2**32 - 1)
    """Seed of the random crops."""
    tokens: Literal[1, 4, 9, 16, 49] = 9
    """1: the pooled vector (the class token where the backbone pools by one, else the mean of the last feature map).
    g²: the last feature map pooled to a g x g grid, row by row."""
    pooled_token: bool = False
    """Put the pooled vector before the grid, as the first token of tokens + 1."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """auto: bf16 where the processor multiplies it in hardware, else fp32."""
    decoder: Literal["fast", "exact"] = "fast"
    """fast: JPEG decoded at a reduced scale that still covers `resize_px`. exact: at full scale, up to 100
    megapixels."""
    colour: Colour = "srgb"
    """srgb: colours are converted from the embedded profile to sRGB. as_stored: profiles are ignored."""
    batch_size: int | Literal["auto"] = "auto"
    """Crops per forward pass; auto: 16 on each core of a CPU, 256 on a GPU."""
    shard_mib: int = Field(256, ge=1, le=4096)
    """Size at which a shard of the store is closed, in MiB."""
    flush_every_s: float = Field(60.0, gt=0)
    """Seconds after which a shard is closed whatever its size: the most work that a kill can lose."""
    after_publishing: Literal["link", "keep"] = "link"
    """link: the store keeps published rows as a hard link to the published file, so that the disk holds them once
    (where the file system has hard links). keep: the store keeps a separate copy."""
    check: Literal["first_touch", "opening"] = "first_touch"
    """When readers of the published cache compare rows with their checksums: each row as it is first read, or all rows
    on opening."""
    max_failed_share: float = Field(0.05, ge=0, le=1)
    """Share of images that may fail before the run stops."""

    @field_validator("resize_px", "crop_px")
    @classmethod
    def _size_is_sensible(cls, size: int | Literal["auto"]) -> int | Literal["auto"]:
        if size != "auto" and not 32 <= size <= 2048:
            raise ValueError("must be auto or a whole number from 32 to 2048")
        return size

    @model_validator(mode="after")
    def _pooled_token_has_a_grid(self) -> "FeatureSettings":
        if self.pooled_token and self.tokens == 1:
            raise ValueError("pooled_token needs a grid: with tokens 1 the pooled vector is all there is")
        return self

    @model_validator(mode="after")
    def _batch_size_is_positive(self) -> "FeatureSettings":
        if self.batch_size != "auto" and not 1 <= self.batch_size <= 65_536:
            raise ValueError("batch_size must be auto or a whole number from 1 to 65536")
        return self

    @property
    def sequence_length(self) -> int:
        """Tokens per view, the pooled one included."""
        return self.tokens + self.pooled_token
