"""Everything that decides a feature's value, as plain text: what the cache's fingerprint is computed from.

In: the settings and the backbone's card. Out: a mapping of JSON values, and its fingerprint.
"""

from pathlib import Path
from typing import Any

from cache import fingerprint
from stages.core.device import choose_device, choose_precision
from stages.core.extraction.resolve import resolve_transform
from stages.core.extraction.settings import FeatureSettings
from stages.core.images.views import PADDING_RGB, TRANSFORM_VERSION
from stages.core.networks.backbone_files import BackboneCard, read_card
from stages.core.networks.feature_extractor import FORWARD_VERSION


def current_fingerprint(settings: FeatureSettings, backbone: Path) -> str:
    """The fingerprint under which these settings and weights keep their features on this machine."""
    precision = choose_precision(settings.precision, choose_device())
    return fingerprint(describe(settings, read_card(backbone), precision))


def describe(settings: FeatureSettings, card: BackboneCard, precision: str) -> dict[str, Any]:
    """Name everything that decides a feature's value: the plain text that the fingerprint is a digest of."""
    transform = resolve_transform(settings, card.native_input)
    # Features cached before there was a choice are of pixels as stored: their description named no colour.
    colour = {"colour": transform.colour} if transform.colour != "as_stored" else {}
    # Means of the last map, which all pooled vectors were before, have no name in the description either.
    uses_pooled = settings.tokens == 1 or settings.pooled_token
    pooled = {"pooled": card.pooled} if uses_pooled and card.pooled != "mean" else {}
    return {
        "arch": card.arch,
        "backbone": card.digest,
        "forward_version": FORWARD_VERSION,
        "code": card.code_digest,
        "channels": card.channels,
        "prefix_tokens": card.prefix_tokens,
        **pooled,
        "finetuned_on": card.finetuned_on and card.finetuned_on["target"],
        "transform": {
            "version": TRANSFORM_VERSION,
            "resize_px": transform.resize_px,
            "crop_px": transform.crop_px,
            "padding_rgb": list(PADDING_RGB),
            "interpolation": transform.interpolation,
            "mean": list(card.native_input.mean),
            "std": list(card.native_input.std),
            "decoder": transform.decoder,
            **colour,
        },
        "views": transform.views,
        # With the centre crop alone the seed decides nothing.
        "views_random_state": transform.random_state if transform.views > 1 else None,
        "tokens": settings.tokens,
        "pooled_token": settings.pooled_token,
        "precision": precision,
    }
