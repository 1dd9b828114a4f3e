"""A person's decisions about suspects: read from `data/review.csv`, checked row by row, applied to the manifest.

In: the file that `pipeline review` writes, and the manifest as the source gives it. Out: the manifest with labels
mended and bad images left out. A row that cannot be applied is noted; writing the file is left to `stages/review`.
"""

import csv
import hashlib
import io
import re
from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import pandas as pd

from stages.errors import StageError
from stages.images import UnusableImage, read_image_bytes
from stages.ingest.cells import clean_label, normalise
from stages.ingest.problems import Problems
from stages.ingest.text import read_text
from stages.tables import is_own_split

Verdict = Literal["label_wrong", "image_bad", "fine"]
VERDICTS = get_args(Verdict)
COLUMNS = ["image", "sha256", "target", "decision", "label", "when"]
DIGEST = re.compile(r"[0-9a-f]{64}")
LEFT_OUT = "image is left out: marked bad in review"


@dataclass(frozen=True)
class Decision:
    """What a person said of one image as an example of one label column.

    Attributes
    ----------
    image
        Path relative to the image root, NFC.
    sha256
        Digest of the file that the person saw.
    target
        The label column.
    decision
        One of `VERDICTS`.
    label
        With label_wrong: the right label, or empty where the image has none.
    when
        UTC, ISO 8601; for people only.
    """

    image: str
    sha256: str
    target: str
    decision: str
    label: str = ""
    when: str = ""

    @property
    def cells(self) -> list[str]:
        """The row as it is written, in the order of `COLUMNS`."""
        return [getattr(self, column) for column in COLUMNS]


def apply_decisions(
    table: pd.DataFrame, attributes: Sequence[str], *, review: Path, images: Path, problems: Problems
) -> tuple[pd.DataFrame, str]:
    """Mend labels and leave out images as a person decided.

    Parameters
    ----------
    table
        The manifest as the source gives it; it is not changed.
    attributes
        Its columns but the image's.
    review
        The file of decisions; without one there are none.
    images
        The image root: a decision holds only for the file that was looked at.
    problems
        Where rows that cannot be applied are noted, and every image that is left out.

    Returns
    -------
    table : DataFrame
        The mended manifest.
    summary : str
        How many decisions did what; empty without any.

    Raises
    ------
    StageError
        If no image is left.
    """
    targets = {attribute for attribute in attributes if not is_own_split(attribute)}
    done: Counter[str] = Counter()
    labels: dict[str, dict[str, str]] = defaultdict(dict)
    bad: set[str] = set()
    listed = read_decisions(review, problems)
    for row, decision in _valid(listed, set(table["image"]), targets, images, review, problems):
        done[decision.decision] += 1
        if decision.decision == "image_bad":
            bad.add(decision.image)
            problems.add(review, row, LEFT_OUT, decision.image)
        elif decision.decision == "label_wrong":
            labels[decision.target][decision.image] = decision.label
    mended = {target: table["image"].map(new).fillna(table[target]) for target, new in labels.items()}
    kept = table.assign(**mended)[~table["image"].isin(bad)].reset_index(drop=True)
    if kept.empty and not table.empty:
        raise StageError(f"{review} marks every image as bad: remove rows of it, or check dataset in params.yaml")
    return kept, _summary(review, len(listed), done)


def read_decisions(path: Path, problems: Problems) -> list[tuple[int, Decision]]:
    """Read every decision with its row (from 1, the header included); rows of another shape are noted."""
    if not path.exists():
        return []
    try:
        rows = list(csv.reader(io.StringIO(read_text(path, problems), newline="")))
    except csv.Error as error:
        problems.add(path, 0, "file is not a CSV table: no decision is applied", error)
        return []
    header = rows[0] if rows else []
    if missing := [column for column in COLUMNS if header.count(column) != 1]:
        problems.add(path, 1, "columns are missing or named twice: no decision is applied", ", ".join(missing))
        return []
    for column in header:
        if column not in COLUMNS:
            problems.add(path, 1, "unknown column", column)
    found = []
    for number, row in enumerate(rows[1:], start=2):
        if len(row) == len(header):
            cells = {column: normalise(cell) for column, cell in zip(header, row, strict=True) if column in COLUMNS}
            found.append((number, Decision(**cells)))
        elif any(row):
            problems.add(path, number, "row has another number of cells than the header", ", ".join(row))
    return found


def decision_problem(decision: Decision, images: Container[str], targets: Container[str]) -> str:
    """What keeps a decision from being applied, its file aside; empty if nothing does."""
    if decision.decision not in VERDICTS:
        return f"decision must be one of {', '.join(VERDICTS)}"
    if decision.target not in targets:
        return "there is no such label column"
    if decision.image not in images:
        return "there is no such image"
    if not DIGEST.fullmatch(decision.sha256):
        return "sha256 is no digest"
    if decision.label and decision.decision != "label_wrong":
        return "only label_wrong has a label"
    return label_problem(decision.label)


def label_problem(label: str) -> str:
    """What keeps a text from being a class name; empty if nothing does."""
    return "" if clean_label(label) == label else "label is no plain name"


def _file_problem(decision: Decision, images: Path) -> str:
    try:
        content = read_image_bytes(images, decision.image)
    except UnusableImage as error:
        return f"the file cannot be read ({error.reason})"
    changed = hashlib.sha256(content).hexdigest() != decision.sha256
    return "the file has changed since; look at it again with pipeline review" if changed else ""


def _valid(
    listed: Sequence[tuple[int, Decision]],
    known: set[str],
    targets: set[str],
    images: Path,
    path: Path,
    problems: Problems,
) -> Iterator[tuple[int, Decision]]:
    """The decisions that hold: of several on one image and target the last. All others are noted."""
    last: dict[tuple[str, str], tuple[int, Decision]] = {}
    for row, decision in listed:
        if problem := decision_problem(decision, known, targets):
            _refuse(problems, path, row, problem, decision)
            continue
        key = decision.image, decision.target
        if key in last:
            _refuse(problems, path, last[key][0], "a later row decides on the same image and target", last[key][1])
        last[key] = row, decision
    for row, decision in last.values():
        if problem := _file_problem(decision, images):
            _refuse(problems, path, row, problem, decision)
        else:
            yield row, decision


def _refuse(problems: Problems, path: Path, row: int, problem: str, decision: Decision) -> None:
    label = f" {decision.label!r}" if decision.label else ""
    detail = f"{decision.image}: {decision.target} {decision.decision}{label}"
    problems.add(path, row, f"decision is not applied: {problem}", detail)


def _summary(path: Path, listed: int, done: Counter[str]) -> str:
    if not listed:
        return ""
    return (
        f"{path}: {done['label_wrong']} labels mended, {done['image_bad']} times image bad, {done['fine']} times fine, "
        f"{listed - done.total()} decisions not applied"
    )
