"""The protocols that scores are published under, and which settings each needs.

In: the reports of ingest and split. Out: a `Protocol`, or a `StageError` that names the settings to change. This module
imports no library, so that the command line can list the names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stages.core.errors import StageError


@dataclass(frozen=True)
class Protocol:
    """Which images are trained on and which are scored.

    Attributes
    ----------
    name
        As on the command line.
    title
        For tables and the line to cite.
    attribute
        The label column whose official lists are followed; empty: whatever split the project has.
    """

    name: str
    title: str
    attribute: str = ""


PROTOCOLS = {
    found.name: found
    for found in (
        Protocol("artgan-style", "ArtGAN's WikiArt lists of style", "style"),
        Protocol("artgan-genre", "ArtGAN's WikiArt lists of genre", "genre"),
        Protocol("artgan-artist", "ArtGAN's WikiArt lists of artist", "artist"),
        Protocol("own", "the project's own split"),
    )
}


def check_lists_followed(protocol: Protocol, ingested: Mapping[str, Any], split_report: Mapping[str, Any]) -> None:
    """Refuse a project whose split is not that of the protocol's lists.

    Parameters
    ----------
    protocol
        Which lists.
    ingested
        The settings in the record of ingest.
    split_report
        `data/split_report.json`.

    Raises
    ------
    StageError
        With each setting to change, and the command to run then.
    """
    if not protocol.attribute:
        return
    found = split_report["settings"] | {"official_attribute": split_report.get("official_attribute")}
    wanted = {"source": "official", "official_attribute": protocol.attribute}
    wrong = [f"split.{key}={value}" for key, value in wanted.items() if found.get(key) != value]
    command = "`pipeline split`"
    if ingested.get("source") != "artgan":
        wrong.insert(0, "dataset.source=artgan (dataset.labels: the folder of the lists)")
        command = "`dvc repro extract`"
    if wrong:
        raise StageError(
            f"protocol {protocol.name} is on {protocol.title}, and data/splits.csv has another split: "
            f"set {', '.join(wrong)} and run {command} again"
        )


def check_folds_allowed(protocol: Protocol, folds: int, finetuned_on: str | None) -> None:
    """Refuse cross-validation where lists fix the split, or where the network has seen what would be test images.

    Raises
    ------
    StageError
        With the setting to change.
    """
    if folds and protocol.attribute:
        raise StageError(f"protocol {protocol.name} has one fixed split: set score.folds=0, or take --protocol own")
    if folds and finetuned_on:
        raise StageError(
            f"the backbone was fine-tuned on {finetuned_on}, and has learned from images that a fold would test: "
            "set score.folds=0, or backbone.finetune.target=null and run `dvc repro extract` again"
        )
