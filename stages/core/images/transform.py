"""How an image becomes the square views that a network sees: sizes, resampling, number of crops and their seed.

In: nothing. Out: a frozen `Transform`, every value of it settled. Which values `auto` stands for is left to
`stages.core.extraction.resolve`, cutting to `views`.
"""

from dataclasses import dataclass
from typing import Literal

Interpolation = Literal["bilinear", "bicubic"]
Decoder = Literal["fast", "exact"]
Colour = Literal["srgb", "as_stored"]


@dataclass(frozen=True)
class Transform:
    """All that cutting views needs to know.

    Attributes
    ----------
    resize_px
        The image's shorter side after resizing.
    crop_px
        Side of the square views; where the resized image is smaller it is padded.
    interpolation
        How images are resized.
    decoder
        fast: JPEG decoded at a reduced scale that still covers `resize_px`. exact: at full scale, up to 100
        megapixels (`reduced.WHOLE_PIXELS`).
    views
        Crops per image: the centre one, then random ones.
    random_state
        Seed of the random crops.
    colour
        srgb: colours are converted from the embedded profile to sRGB. as_stored: profiles are ignored.
    """

    resize_px: int
    crop_px: int
    interpolation: Interpolation = "bilinear"
    decoder: Decoder = "fast"
    views: int = 1
    random_state: int = 0
    colour: Colour = "srgb"
