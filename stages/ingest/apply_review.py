"""A person's decisions about suspects: read from `data/review.csv`, checked row by row, applied to the manifest.

In: the file that `pipeline review` writes, and the manifest as the source gives it. Out: the manifest with labels
corrected and bad images left out. A row that cannot be applied is noted; writing the file is left to `stages/review`.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from stages.core.errors import StageError
from stages.core.images.files import ImageFolder, UnusableImage
from stages.core.tables.columns import label_columns
from stages.core.tables.decisions import DIGEST, VERDICTS, Decision, read_decisions
from stages.core.tables.labels import label_problem, normalise
from stages.core.tables.problems import Problems

LEFT_OUT = "image is left out: marked bad in review"


def apply_decisions(
    table: pd.DataFrame, *, review: Path, images: ImageFolder, problems: Problems
) -> tuple[pd.DataFrame, str]:
    """Correct labels and leave out images as a person decided.

    Parameters
    ----------
    table
        The manifest as the source gives it; it is not changed.
    review
        The file of decisions; without one there are none.
    images
        The image root: a decision holds only for the file that was looked at.
    problems
        Where rows that cannot be applied are noted, and every image that is left out.

    Returns
    -------
    table : DataFrame
        The corrected manifest.
    summary : str
        How many decisions did what; empty without any.

    Raises
    ------
    StageError
        If no image is left.
    """
    targets = {target: set(table[target]) for target in label_columns(table.columns)}
    done: Counter[str] = Counter()
    labels: dict[str, dict[str, str]] = defaultdict(dict)
    bad: set[str] = set()
    known = dict.fromkeys(table["image"])
    listed = [(row, _with_listed_name(decision, known)) for row, decision in read_decisions(review, problems)]
    for row, decision in _valid(listed, set(known), targets, images, review, problems):
        done[decision.decision] += 1
        if decision.decision == "image_bad":
            bad.add(decision.image)
            problems.add(review, row, LEFT_OUT, decision.image)
        elif decision.decision == "label_wrong":
            labels[decision.target][decision.image] = decision.label
    corrected = {target: table["image"].map(new).fillna(table[target]) for target, new in labels.items()}
    kept = table.assign(**corrected)[~table["image"].isin(bad)].reset_index(drop=True)
    if kept.empty and not table.empty:
        raise StageError(f"{review} marks every image as bad: remove rows of it, or check dataset in params.yaml")
    return kept, _summary(review, len(listed), done)


def _with_listed_name(decision: Decision, known: Container[str]) -> Decision:
    """Name the image as the manifest does, where an editor has changed the Unicode form or the spaces around it."""
    composed = normalise(decision.image)
    return decision if decision.image in known else replace(decision, image=composed)


def decision_problem(decision: Decision, images: Container[str], targets: Mapping[str, Container[str]]) -> str:
    """What keeps a decision from being applied, its file aside; empty if nothing does.

    `targets` holds the labels of each column: a label of the source is one, however it is written.
    """
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
    return "" if decision.label in targets[decision.target] else label_problem(decision.label)


def _file_problem(decision: Decision, images: ImageFolder) -> str:
    try:
        images.read(decision.image, sha256=decision.sha256)
    except UnusableImage as error:
        if error.reason == "changed":
            return "the file has changed since; look at it again with pipeline review"
        return f"the file cannot be read ({error.reason})"
    return ""


def _valid(
    listed: Sequence[tuple[int, Decision]],
    known: set[str],
    targets: Mapping[str, Container[str]],
    images: ImageFolder,
    path: Path,
    problems: Problems,
) -> Iterator[tuple[int, Decision]]:
    """Give the decisions to apply: of several on one image and target the last. All others are noted."""
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
        f"{path}: {done['label_wrong']} labels corrected, {done['image_bad']} times image bad, "
        f"{done['fine']} times fine, {listed - done.total()} decisions not applied"
    )
