"""What there is to decide about: the outliers of a target, each image once with all that was found about it.

In: `reports/TARGET/outliers.csv` and `data/splits.csv`. Out: a frozen `Collection`. Images have numbers, and a number
is all that a browser may ask for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

import pandas as pd

from stages.core.tables.columns import SPLIT_IMAGES, require_label_column
from stages.core.tables.csv_files import read_table
from stages.core.tables.decisions import Decision
from stages.core.tables.outliers import KINDS, read_outliers


@dataclass(frozen=True)
class Finding:
    """Why an image is listed: a kind of outlier, and the image's rank among that kind."""

    kind: str
    title: str
    rank: int
    reason: str


@dataclass(frozen=True)
class Suspect:
    """One image to look at; `number` is its own, `neighbours` are the numbers of the images nearest to it."""

    number: int
    image: str
    y_true: str
    y_pred: str
    confidence: float
    suggested: str
    findings: list[Finding]
    neighbours: list[int]

    def has_class(self, name: str) -> bool:
        """Whether it has, or may belong to, that class; any for the empty text."""
        return not name or name in (self.y_true, self.y_pred, self.suggested)


@dataclass(frozen=True)
class Collection:
    """All suspects of a target.

    Attributes
    ----------
    target
        The label column.
    suspects
        By number, from 0: the first kind's by rank, then those that only later kinds list.
    images
        Image paths by number: the suspects', then those that are neighbours only.
    classes
        The names that labels have, ascending.
    kinds
        Title by kind, for the kinds that there are.
    labels
        Label by image; empty for none.
    digests
        SHA-256 by image, as `clean` found it: of the files that the heads and the outliers were made from.
    """

    target: str
    suspects: list[Suspect]
    images: list[str]
    classes: list[str]
    kinds: dict[str, str]
    labels: dict[str, str]
    digests: dict[str, str]

    def of_kind(self, kind: str) -> list[Suspect]:
        """The suspects that are outliers of that kind, by its ranks; all for the empty text."""
        if not kind:
            return self.suspects
        ranked = [(f.rank, s.number, s) for s in self.suspects for f in s.findings if f.kind == kind]
        return [suspect for _, _, suspect in sorted(ranked, key=lambda entry: entry[:2])]

    def decided(self, decisions: Mapping[str, Decision]) -> dict[str, Decision]:
        """The decisions on suspects, by image, without those on files that have changed since."""
        suspects = {suspect.image for suspect in self.suspects}
        return {
            image: made
            for image, made in decisions.items()
            if image in suspects and self.digests.get(image, made.sha256) == made.sha256
        }


def read_suspects(target: str, *, results: Path, splits: Path) -> Collection:
    """Read a target's outliers.

    Parameters
    ----------
    target
        The label column.
    results
        The folder `reports`.
    splits
        The table of split.

    Raises
    ------
    StageError
        If a table is missing or unreadable, or has no such label column.
    """
    outliers = read_outliers(target, results)
    table = read_table(splits, SPLIT_IMAGES, columns=["image", "sha256"])
    require_label_column(target, table.columns, splits)
    kinds = _kinds(outliers)
    order = {kind: place for place, kind in enumerate(kinds)}
    outliers = outliers.assign(order=outliers["kind"].map(order)).sort_values(["order", "rank"], kind="stable")
    rows: dict[str, list[Any]] = {}
    for row in outliers.itertuples():
        rows.setdefault(row.image, []).append(row)
    images = list(dict.fromkeys([*rows, *(image for row in outliers["neighbours"] for image in row)]))
    numbers = {image: number for number, image in enumerate(images)}
    return Collection(
        target=target,
        suspects=[_suspect(of_image, kinds, numbers) for of_image in rows.values()],
        images=images,
        classes=sorted(set(table[target]) - {""}),
        kinds=kinds,
        labels=dict(zip(table["image"], table[target], strict=True)),
        digests=dict(zip(table["image"], table["sha256"], strict=True)),
    )


def _kinds(outliers: pd.DataFrame) -> dict[str, str]:
    """Titles of the kinds that the table has, in the report's order; kinds that it does not know come last."""
    found = dict.fromkeys(outliers["kind"])
    known = {kind: KINDS[kind][0] for kind in KINDS if kind in found}
    return known | {kind: kind.replace("_", " ").capitalize() for kind in found if kind not in KINDS}


def _suspect(rows: Sequence[Any], kinds: dict[str, str], numbers: dict[str, int]) -> Suspect:
    """One image of all its rows of the table, those of the first kind first."""
    first = rows[0]
    return Suspect(
        number=numbers[first.image],
        image=first.image,
        y_true=first.y_true,
        y_pred=first.y_pred,
        confidence=first.confidence,
        suggested=next((row.suggested for row in rows if row.suggested), ""),
        findings=[Finding(r.kind, kinds[r.kind], 0 if isnan(r.rank) else int(r.rank), r.reason) for r in rows],
        neighbours=[numbers[image] for image in first.neighbours],
    )
