"""What was run, and the line to cite it by.

In: the protocol, the settings, the backbone's card, the features. Out: the head of `score.json`.
"""

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.core.features.artefact import describe_backbone
from stages.core.head.recipe import Recipe
from stages.core.head.registry import HEADS
from stages.score.protocols import Protocol
from stages.score.settings import ScoreSettings

# Characters of a digest in the line to cite; `score.json` has them all.
SHORT = 12


def describe_run(
    protocol: Protocol,
    settings: ScoreSettings,
    recipe: Recipe,
    *,
    card: Mapping[str, Any],
    fingerprint: str,
    features: Path,
    splits: Path,
) -> dict[str, Any]:
    """Name everything that decides the scores.

    Parameters
    ----------
    protocol, settings, recipe
        Of the run.
    card
        Of the backbone.
    fingerprint
        Of the features.
    features, splits
        The published cache and the table of split.

    Returns
    -------
    dict
        `citation`, a line, and its parts.
    """
    decisive = hashlib.sha256(json.dumps(recipe.decisive(), sort_keys=True).encode()).hexdigest()
    splits_digest = hashlib.sha256(splits.read_bytes()).hexdigest()
    found: dict[str, Any] = {
        "protocol": protocol.name,
        "title": f"{settings.folds}-fold cross-validation by duplicate group" if settings.folds else protocol.title,
        "version": importlib.metadata.version("art-feature-pipeline"),
        "backbone": f"{describe_backbone(features)}, weights {card.get('weights')}",
        "fingerprint": fingerprint,
        "splits_sha256": splits_digest,
        "settings_sha256": decisive,
        "settings": recipe.model_dump(mode="json"),
        "folds": settings.folds,
        "resamples": settings.resamples,
    }
    first, last = recipe.train.random_state, recipe.train.random_state + settings.seeds - 1
    over = f"mean ± standard deviation over seeds {first} to {last}" if settings.seeds > 1 else f"seed {first}"
    found["citation"] = (
        f"Test scores in per cent, protocol {found['protocol']} ({found['title']}), art-feature-pipeline "
        f"{found['version']}: {HEADS[recipe.head.kind].title} (settings {decisive[:SHORT]}) on {found['backbone']} "
        f"(features {fingerprint[:SHORT]}), split {splits_digest[:SHORT]}; {over}; 95 % intervals from "
        f"{settings.resamples:,} resamples of duplicate groups."
    )
    return found
