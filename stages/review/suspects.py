"""The suspects of a target: its outliers, each image once with all findings about it.

In: `outliers.csv` and `outlier_kinds.csv` of `reports/TARGET`, and `data/splits.csv`. Out: a frozen `SuspectList`.
Images are numbered, and a browser may ask for numbers only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

from stages.core.records.reading import Input, bind_inputs
from stages.core.tables.columns import OUTLIER_KINDS, OUTLIERS, SPLIT_IMAGES, require_label_column
from stages.core.tables.csv_files import read_table
from stages.core.tables.decisions import Decision
from stages.core.tables.outliers import read_outlier_kinds, read_outliers


@dataclass(frozen=True)
class Finding:
    """Why an image is listed: a kind of outlier, and the image's rank among that kind."""

    kind: str
    title: str
    rank: int
    reason: str


@dataclass(frozen=True)
class Suspect:
    """One image to decide about, with its number; `neighbours` are the numbers of its nearest images."""

    number: int
    image: str
    y_true: str
    y_pred: str
    confidence: float
    suggested: str
    findings: list[Finding]
    neighbours: list[int]

    def has_class(self, name: str) -> bool:
        """Whether the class is its label, its prediction or its suggestion; true for the empty text."""
        return not name or name in (self.y_true, self.y_pred, self.suggested)


@dataclass(frozen=True)
class SuspectList:
    """All suspects of a target.

    Attributes
    ----------
    target
        The label column.
    suspects
        By number, from 0: images of the first kind by rank, then those listed by later kinds only.
    images
        Image paths by number: suspects, then images that are neighbours only.
    classes
        The names of the classes, ascending.
    kinds
        Title by kind, for the kinds that the suspects have.
    labels
        Label by image; empty for none.
    digests
        SHA-256 by image, as clean found it: of the files behind the heads and the outliers.
    """

    target: str
    suspects: list[Suspect]
    images: list[str]
    classes: list[str]
    kinds: dict[str, str]
    labels: dict[str, str]
    digests: dict[str, str]

    def of_kind(self, kind: str) -> list[Suspect]:
        """List the suspects of one kind by rank; all suspects for the empty text."""
        if not kind:
            return self.suspects
        ranked = [(f.rank, s.number, s) for s in self.suspects for f in s.findings if f.kind == kind]
        return [suspect for _, _, suspect in sorted(ranked, key=lambda entry: entry[:2])]

    def decided(self, decisions: Mapping[str, Decision]) -> dict[str, Decision]:
        """Select the decisions on suspects, by image, without those on files that have changed since."""
        suspects = {suspect.image for suspect in self.suspects}
        return {
            image: made
            for image, made in decisions.items()
            if image in suspects and self.digests.get(image, made.sha256) == made.sha256
        }


def read_suspects(target: str, *, results: Path, splits: Path) -> SuspectList:
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
    listed = {"outliers.csv": OUTLIERS, "outlier_kinds.csv": OUTLIER_KINDS}
    files = [Input(results / target / name, table, target) for name, table in listed.items()]
    bind_inputs([Input(splits, SPLIT_IMAGES), *(source for source in files if source.path.is_file())])
    outliers = read_outliers(target, results)
    table = read_table(splits, SPLIT_IMAGES, columns=["image", "sha256"])
    require_label_column(target, table.columns, splits)
    texts = read_outlier_kinds(target, results, outliers["kind"])
    kinds = {kind: title for kind, (title, _) in texts.items()}
    order = {kind: place for place, kind in enumerate(kinds)}
    outliers = outliers.assign(order=outliers["kind"].map(order)).sort_values(["order", "rank"], kind="stable")
    rows: dict[str, list[Any]] = {}
    for row in outliers.itertuples():
        rows.setdefault(row.image, []).append(row)
    images = list(dict.fromkeys([*rows, *(image for row in outliers["neighbours"] for image in row)]))
    numbers = {image: number for number, image in enumerate(images)}
    return SuspectList(
        target=target,
        suspects=[_join_findings(of_image, kinds, numbers) for of_image in rows.values()],
        images=images,
        classes=sorted(set(table[target]) - {""}),
        kinds=kinds,
        labels=dict(zip(table["image"], table[target], strict=True)),
        digests=dict(zip(table["image"], table["sha256"], strict=True)),
    )


def _join_findings(rows: Sequence[Any], kinds: dict[str, str], numbers: dict[str, int]) -> Suspect:
    """Join the rows of one image, those of the first kind first."""
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
