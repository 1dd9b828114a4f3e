"""Predict the labels of new image files with the trained heads, by the code path of extraction.

In: image files, `models/backbone.*`, `models/heads/`. Out: the top labels per file and target, as plain values. How
they are printed is left to `pipeline`, but for the text for a terminal.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from cache import fingerprint
from stages.core.device import choose_compute
from stages.core.errors import StageError
from stages.core.extraction.description import describe
from stages.core.extraction.resolve import resolve_transform
from stages.core.extraction.settings import FeatureSettings
from stages.core.extraction.stream import FeatureStream, ImageFile, open_stream
from stages.core.head.files import check_fingerprint, load_head
from stages.core.head.predict_logits import predict_logits
from stages.core.head.protocol import Head
from stages.core.images.decoding.pool import Decoders
from stages.core.images.files import ImageFolder, ImageLimits, UnusableImage, digest_file
from stages.core.networks.backbone_files import check_arch, read_card

TrainedHead = tuple[Head[Any], dict[str, Any]]
Errors = dict[Path, str]


def predict_images(
    *,
    images: Sequence[Path],
    targets: Sequence[str] | None,
    top: int,
    settings: FeatureSettings,
    arch: str,
    limits: ImageLimits,
    backbone: Path,
    heads: Path,
) -> list[dict[str, Any]]:
    """Predict the labels of image files.

    Parameters
    ----------
    images
        The files.
    targets
        Which heads to use; None uses all that are trained.
    top
        Labels per target.
    settings
        Those of extraction.
    arch
        `backbone.arch`: the network, which must be the one that the weights were prepared for.
    limits
        What is refused before it is decoded.
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
        If a head is missing or was trained on features of other settings, or the weights are another network's.
    """
    compute = choose_compute(settings.precision, settings.batch_size)
    card = read_card(backbone)
    check_arch(card, arch, backbone)
    loaded = load_heads(heads, targets, fingerprint(describe(settings, card, compute.precision)))
    centre = replace(resolve_transform(settings, card.native_input), views=1)
    everywhere = ImageFolder(Path(Path.cwd().anchor), limits)
    stream = open_stream(backbone, settings, centre, compute, everywhere, arch=arch)
    features, errors = compute_centre_features(stream, images)
    return [
        {"image": str(image), "error": errors[image]}
        if image in errors
        else {"image": str(image), "targets": {name: _top(head, features[image], top) for name, head in loaded.items()}}
        for image in images
    ]


def load_heads(folder: Path, targets: Sequence[str] | None, cache_fingerprint: str) -> dict[str, TrainedHead]:
    """Read the heads of the targets (None: all heads in the folder).

    Raises
    ------
    StageError
        If a head is missing or was trained on features with another fingerprint.
    """
    if targets is None:
        targets = sorted(path.parent.name for path in folder.glob("*/head.json"))
    if not targets:
        raise StageError(f"{folder} has no heads: run `pipeline train-head --target COLUMN` first")
    heads = {target: load_head(folder / target) for target in targets}
    for _, card in heads.values():
        check_fingerprint(card, cache_fingerprint)
    return heads


def compute_centre_features(stream: FeatureStream, images: Sequence[Path]) -> tuple[dict[Path, np.ndarray], Errors]:
    """Compute the centre view's features per file, `(tokens, channels)` float16, and why the other files failed."""
    keys: dict[Path, str] = {}
    errors: Errors = {}
    with Decoders() as decoders:
        digests = decoders.decode(digest_file, stream.images, [str(image.absolute()) for image in images])
    for image, digest in zip(images, digests, strict=True):
        if isinstance(digest, UnusableImage):
            errors[image] = "No such file or directory" if digest.reason == "missing" else str(digest)
        else:
            keys[image] = digest.decode("ascii")
    by_key: dict[str, np.ndarray] = {}
    files = [ImageFile(key, str(image.absolute())) for image, key in keys.items()]
    for done, values in stream.compute(files) if files else ():
        by_key |= dict(zip(done, values[:, 0], strict=True))
    reasons = {failure.image: f"{failure.reason} ({failure.detail})" for failure in stream.failures}
    errors |= {image: reasons[str(image.absolute())] for image in keys if str(image.absolute()) in reasons}
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
