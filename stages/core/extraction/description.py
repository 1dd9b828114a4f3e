"""Everything that decides a feature's value, in plain text: what the fingerprint of the cache is made from.

In: the settings and the backbone's card. Out: a mapping of JSON values, and its fingerprint.
"""

from pathlib import Path
from typing import Any

from cache import fingerprint
from stages.core.device import choose_device, choose_precision
from stages.core.extraction.settings import FeatureSettings
from stages.core.images.views import PADDING_RGB, TRANSFORM_VERSION
from stages.core.networks.extractor import FORWARD_VERSION, read_card


def current_fingerprint(settings: FeatureSettings, backbone: Path) -> str:
    """The fingerprint under which these settings and weights keep their features on this machine."""
    precision = choose_precision(settings.precision, choose_device())
    return fingerprint(describe(settings, read_card(backbone), precision))


def describe(settings: FeatureSettings, card: dict[str, Any], precision: str) -> dict[str, Any]:
    """Name everything that decides a feature's value: the plain text behind the fingerprint."""
    settings = settings.for_backbone(card["transform"])
    return {
        "arch": card["arch"],
        "backbone": card["digest"],
        "forward_version": FORWARD_VERSION,
        "code": card["code_digest"],
        "channels": card["channels"],
        "prefix_tokens": card["prefix_tokens"],
        "finetuned_on": card["finetuned_on"] and card["finetuned_on"]["target"],
        "transform": {
            "version": TRANSFORM_VERSION,
            "resize_px": settings.resize_px,
            "crop_px": settings.crop_px,
            "padding_rgb": list(PADDING_RGB),
            "interpolation": settings.interpolation,
            "mean": card["transform"]["mean"],
            "std": card["transform"]["std"],
            "decoder": settings.decoder,
        },
        "views": settings.views,
        # With the centre crop alone no seed decides anything.
        "views_random_state": settings.random_state if settings.views > 1 else None,
        "tokens": settings.tokens,
        "pooled_token": settings.pooled_token,
        "precision": precision,
    }
