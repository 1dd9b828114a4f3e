"""The fingerprint's plain text: what is in it, and that features cached earlier keep their fingerprint."""

from dataclasses import replace

import pytest

from cache import fingerprint
from stages.core.extraction.description import describe
from stages.core.extraction.resolve import resolve_transform
from stages.core.extraction.settings import FeatureSettings
from stages.core.images.transform import Transform
from stages.core.networks.backbone import NativeInput
from stages.core.networks.backbone_files import BackboneCard

CARD = BackboneCard.from_json(
    {
        "arch": "resnet101", "weights": "random", "digest": "ab" * 32, "code_digest": None, "channels": 2048,
        "prefix_tokens": 0, "finetuned_on": None, "transform": NativeInput().as_json(),
    }
)  # fmt: skip
OTHER = FeatureSettings(
    crop_px=160, views=1, decoder="exact", interpolation="bicubic", tokens=4, pooled_token=True
)  # fmt: skip
AS_STORED = FeatureSettings(colour="as_stored")


@pytest.mark.parametrize(
    ("settings", "known"),
    [
        (FeatureSettings(), "038aa812df15f3d7d83537805139cdc9f52674dd574fdd4ae4fe802568a75480"),
        (OTHER, "3c66d3cdb1e3497fcbd85aca731e823e7bebfed12815e2266a76eaf1cca53a64"),
        # Those of the time before colours were converted.
        (AS_STORED, "40bebdbde599c43cd05ecb7504649123edf624fa904fb68ffbf0186d738e44f6"),
        (
            OTHER.model_copy(update={"colour": "as_stored"}),
            "6312e50e26f547f7f9382439a323963ddfab2fe04e153b015bdae42e09f236ac",
        ),
    ],
    ids=["default", "other", "default, as stored", "other, as stored"],
)
def test_the_fingerprint_of_the_same_settings_and_weights_stays(settings: FeatureSettings, known: str) -> None:
    """If this fails, every cached feature is computed again: change it only with a version in the description."""
    assert fingerprint(describe(settings, CARD, "bf16")) == known


@pytest.mark.parametrize(("tokens", "pooled_token", "differs"), [(1, False, True), (4, True, True), (9, False, False)])
def test_the_fingerprint_names_the_pooling_where_the_feature_holds_another_pooled_vector_than_the_mean(
    tokens: int, pooled_token: bool, differs: bool
) -> None:
    settings = FeatureSettings(tokens=tokens, pooled_token=pooled_token)
    of_class_token = describe(settings, replace(CARD, pooled="class_token"), "bf16")
    assert (of_class_token != describe(settings, CARD, "bf16")) == differs


def test_auto_is_the_backbones_own_input_and_what_is_set_stays() -> None:
    native = NativeInput(resize_px=248, crop_px=240, interpolation="bicubic")
    assert resolve_transform(FeatureSettings(), native) == Transform(248, 240, "bicubic", "fast", 2, 0)
    chosen = FeatureSettings(resize_px=64, crop_px=32, interpolation="bilinear", decoder="exact", random_state=3)
    assert resolve_transform(chosen, native) == Transform(64, 32, "bilinear", "exact", 2, 3)


def test_auto_and_the_same_values_written_out_share_their_features() -> None:
    written = FeatureSettings(resize_px=256, crop_px=224, interpolation="bilinear")
    assert describe(written, CARD, "bf16") == describe(FeatureSettings(), CARD, "bf16")
    larger = replace(CARD, native_input=NativeInput(crop_px=288))
    assert describe(FeatureSettings(), larger, "bf16") != describe(FeatureSettings(), CARD, "bf16")
