"""Settle what the settings leave `auto`: the transform, from the input that the backbone was made for.

In: `FeatureSettings` and the backbone's `NativeInput`. Out: a frozen `Transform`. Device, precision and batch size are
left to `stages.core.device`.
"""

from stages.core.errors import StageError
from stages.core.extraction.settings import FeatureSettings
from stages.core.images.transform import Transform
from stages.core.networks.backbone import NativeInput


def resolve_transform(settings: FeatureSettings, native_input: NativeInput) -> Transform:
    """Replace `auto` by what the backbone was trained with.

    Raises
    ------
    StageError
        If the backbone does not take the size that the settings ask for.

    Examples
    --------
    A crop of another size keeps its share of the image:

    >>> resolve_transform(FeatureSettings(crop_px=112), NativeInput(resize_px=256, crop_px=224)).resize_px
    128
    """
    crop_px = native_input.crop_px if settings.crop_px == "auto" else settings.crop_px
    if native_input.fixed_px and crop_px != native_input.crop_px:
        raise StageError(
            f"features.crop_px is {crop_px}, but this backbone takes {native_input.crop_px} and nothing else: "
            "set it to auto"
        )
    if crop_px % native_input.multiple_px:
        raise StageError(
            f"features.crop_px is {crop_px}, but this backbone takes multiples of {native_input.multiple_px} only: "
            f"set it to one, or to auto ({native_input.crop_px})"
        )
    native_resize_px = round(native_input.resize_px * crop_px / native_input.crop_px)
    return Transform(
        resize_px=native_resize_px if settings.resize_px == "auto" else settings.resize_px,
        crop_px=crop_px,
        interpolation=native_input.interpolation if settings.interpolation == "auto" else settings.interpolation,
        decoder=settings.decoder,
        views=settings.views,
        random_state=settings.random_state,
        colour=settings.colour,
    )
