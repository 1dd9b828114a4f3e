"""Predict the labels of new image files with every trained head, by the very code path of extraction.

In: image files, `models/backbone.*`, `models/heads/`. Out: the top labels per file and target, as plain values.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import softmax

from cache import fingerprint
from stages.core.device import DTYPES, choose_batch_size, choose_device, choose_precision
from stages.core.errors import StageError
from stages.core.extraction.description import describe
from stages.core.extraction.settings import FeatureSettings
from stages.core.extraction.stream import FeatureStream, ImageFile
from stages.core.head.files import check_fingerprint, load_head
from stages.core.head.predict_logits import predict_logits
from stages.core.head.protocol import Head
from stages.core.networks.extractor import load_extractor, read_card

TrainedHead = tuple[Head[Any], dict[str, Any]]


def predict_images(
    images: Sequence[Path],
    *,
    targets: Sequence[str] | None,
    top: int,
    settings: FeatureSettings,
    max_pixels: int,
    backbone: Path,
    heads: Path,
) -> list[dict[str, Any]]:
    """Predict the labels of image files.

    Parameters
    ----------
    images
        The files.
    targets
        Which heads to ask; None asks all that are trained.
    top
        Labels per target.
    settings
        The transform of extraction.
    max_pixels
        Larger images are not decoded.
    backbone, heads
        The prepared weights and the folder of the heads.

    Returns
    -------
    list of dict
        One per file, in order: `{"image", "targets": {target: [{"label", "probability"}, …]}}`, or
        `{"image", "error"}` for a file that cannot be read.

    Raises
    ------
    StageError
        If a head is missing or was trained on features of other settings.
    """
    device = choose_device()
    precision = choose_precision(settings.precision, device)
    card = read_card(backbone)
    settings = settings.for_backbone(card["transform"])
    loaded = _load_heads(heads, targets, fingerprint(describe(settings, card, precision)))
    features, errors = _features(images, settings, max_pixels, backbone, device, precision)
    return [
        {"image": str(image), "error": errors[image]}
        if image in errors
        else {"image": str(image), "targets": {name: _top(head, features[image], top) for name, head in loaded.items()}}
        for image in images
    ]


def _load_heads(folder: Path, targets: Sequence[str] | None, cache_fingerprint: str) -> dict[str, TrainedHead]:
    if targets is None:
        targets = sorted(path.parent.name for path in folder.glob("*/head.json"))
    if not targets:
        raise StageError(f"{folder} has no heads: run `pipeline train-head --target COLUMN` first")
    heads = {target: load_head(folder / target) for target in targets}
    for _, card in heads.values():
        check_fingerprint(card, cache_fingerprint)
    return heads


def _features(
    images: Sequence[Path],
    settings: FeatureSettings,
    max_pixels: int,
    backbone: Path,
    device: torch.device,
    precision: str,
) -> tuple[dict[Path, np.ndarray], dict[Path, str]]:
    """Compute the centre view's features per file, `(tokens, channels)` float16, and say which files failed."""
    keys, errors = {}, {}
    for image in images:
        try:
            keys[image] = hashlib.sha256(image.read_bytes()).hexdigest()
        except OSError as error:
            errors[image] = error.strerror or str(error)
    stream = FeatureStream(
        extractor=load_extractor(
            backbone,
            tokens=settings.tokens,
            pooled_token=settings.pooled_token,
            dtype=DTYPES[precision],
            device=device,
        ),
        settings=settings.model_copy(update={"views": 1}),
        batch_size=choose_batch_size(settings.batch_size, device),
        images=Path(Path.cwd().anchor),
        max_pixels=max_pixels,
    )
    by_key: dict[str, np.ndarray] = {}
    for done, values in stream.compute([ImageFile(key, str(image.resolve())) for image, key in keys.items()]):
        by_key |= dict(zip(done, values[:, 0], strict=True))
    reasons = {failure.image: f"{failure.reason} ({failure.detail})" for failure in stream.failures}
    errors |= {image: reasons[str(image.resolve())] for image in keys if str(image.resolve()) in reasons}
    return {image: by_key[key] for image, key in keys.items() if image not in errors}, errors


def _top(head: TrainedHead, features: np.ndarray, count: int) -> list[dict[str, Any]]:
    model, card = head
    probabilities = softmax(predict_logits(model, features[None])[0] / card["temperature"])
    best = np.argsort(-probabilities, kind="stable")[:count]
    return [{"label": card["classes"][index], "probability": round(float(probabilities[index]), 4)} for index in best]


def predictions_as_text(predictions: Sequence[dict[str, Any]]) -> str:
    """Write predictions as lines for a terminal."""
    lines = []
    for prediction in predictions:
        lines.append(prediction["image"])
        if "error" in prediction:
            lines.append(f"  could not be read: {prediction['error']}")
        for target, labels in prediction.get("targets", {}).items():
            ranked = ", ".join(f"{label['label']} {label['probability']:.2f}" for label in labels)
            lines.append(f"  {target}: {ranked}")
    return "\n".join(lines)
