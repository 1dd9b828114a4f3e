"""Read what the other stages wrote into typed objects, and say which command is missing where a file is.

In: the files under data/, models/ and reports/. Out: a `Collection`, and per target its `Results`.
Nothing is computed here beyond turning text into numbers.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.core.errors import StageError
from stages.core.tables.columns import (
    CONFUSION,
    MANIFEST,
    PER_CLASS,
    PREDICTIONS,
    REJECTED,
    SPLIT_IMAGES,
    label_columns,
)
from stages.core.tables.csv_files import read_cells, read_table, with_numbers
from stages.core.tables.outliers import read_outliers

CURVES = ("loss", "accuracy", "f1_macro")
FILES = (
    "metrics.json",
    "predictions.csv",
    "confusion.csv",
    "per_class.csv",
    "reliability.csv",
    "outliers.csv",
    "out_of_sample.csv",
    "traits.csv",
    "clusters.csv",
)


@dataclass(frozen=True)
class Collection:
    """The images and what was done to all of them.

    Attributes
    ----------
    manifest, rejected, splits
        Tables of text, as their stages wrote them.
    backbone, features
        `backbone.json` and `fingerprint.json`.
    """

    manifest: pd.DataFrame
    rejected: pd.DataFrame
    splits: pd.DataFrame
    backbone: dict[str, Any]
    features: dict[str, Any]

    @property
    def attributes(self) -> list[str]:
        """The label columns."""
        return label_columns(self.manifest.columns)


@dataclass(frozen=True)
class Confusion:
    """Test images by true class (rows) and predicted class (columns), shape `(classes, classes)`."""

    classes: list[str]
    counts: np.ndarray


@dataclass(frozen=True)
class Results:
    """Everything that is known of one target's head.

    Attributes
    ----------
    metrics
        `metrics.json`.
    head
        `head.json`.
    curves
        Per metric a table with `epoch` (from 1) and a column for each of train and val that was logged.
    predictions, per_class, outliers
        Tables with their numbers as floats; `outliers["neighbours"]` holds lists of image paths.
    confusion
        The test split's confusion matrix.
    digests
        SHA-256 of every file read, by its name relative to the project: two pages with equal digests are equal.
    training_s
        Seconds that all epochs took together, by the training log; None where it does not say.
    """

    target: str
    metrics: dict[str, Any]
    head: dict[str, Any]
    curves: dict[str, pd.DataFrame]
    predictions: pd.DataFrame
    per_class: pd.DataFrame
    confusion: Confusion
    outliers: pd.DataFrame
    digests: dict[str, str]
    training_s: float | None


def read_collection(*, manifest: Path, rejected: Path, splits: Path, backbone: Path, features: Path) -> Collection:
    """Read the tables and cards that concern all images.

    Raises
    ------
    StageError
        If one is missing or unreadable.
    """
    return Collection(
        manifest=read_table(manifest, MANIFEST),
        rejected=read_table(rejected, REJECTED),
        splits=read_table(splits, SPLIT_IMAGES, columns=["image", "sha256", "group", "split"]),
        backbone=read_backbone(backbone),
        features=read_fingerprint(features),
    )


def read_backbone(path: Path) -> dict[str, Any]:
    """Read the card of the backbone."""
    return _json(path, "pipeline prepare-backbone")


def read_fingerprint(features: Path) -> dict[str, Any]:
    """Read what the published features are."""
    return _json(features / "fingerprint.json", "pipeline extract-features")


def read_metrics(target: str, results: Path) -> dict[str, Any]:
    """Read one target's scores."""
    return _json(results / target / "metrics.json", f"pipeline evaluate --target {target}")


def read_results(target: str, *, heads: Path, results: Path) -> Results:
    """Read everything about one target's head.

    Parameters
    ----------
    target
        The label column.
    heads, results
        The folders `models/heads` and `reports`.

    Raises
    ------
    StageError
        If a file is missing or unreadable; learning curves may be missing.
    """
    folder, head = results / target, heads / target
    predictions = read_table(folder / "predictions.csv", PREDICTIONS, target=target)
    per_class = read_table(folder / "per_class.csv", PER_CLASS, target=target)
    logs = head / "log" / "plots" / "metrics"
    files = [folder / name for name in FILES]
    files += [head / "head.json", *sorted(logs.glob("*/*.tsv"))]
    return Results(
        target=target,
        metrics=read_metrics(target, results),
        head=_json(head / "head.json", f"pipeline train-head --target {target}"),
        curves={metric: _curve(logs, metric) for metric in CURVES},
        predictions=with_numbers(predictions, PREDICTIONS.numbers),
        per_class=with_numbers(per_class, PER_CLASS.numbers),
        confusion=_confusion(folder / "confusion.csv", target),
        outliers=read_outliers(target, results),
        digests={_short_name(path): _sha256(path) for path in files if path.is_file()},
        training_s=_training_seconds(logs / "seconds.tsv"),
    )


def _training_seconds(path: Path) -> float | None:
    if not path.is_file():
        return None
    return float(pd.read_csv(path, sep="\t")["seconds"].sum())


def _curve(logs: Path, metric: str) -> pd.DataFrame:
    """Join DVCLive's files of one metric: `epoch`, and `train` and `val` where they were logged.

    DVCLive's steps count from 0, the epochs of `head.json` from 1.
    """
    columns = []
    for split in ("train", "val"):
        path = logs / split / f"{metric}.tsv"
        if path.is_file():
            table = pd.read_csv(path, sep="\t")
            columns.append(pd.Series(table[metric].to_numpy(), index=table["step"] + 1, name=split))
    return pd.concat(columns, axis=1).rename_axis("epoch").reset_index() if columns else pd.DataFrame(columns=["epoch"])


def _confusion(path: Path, target: str) -> Confusion:
    """Read by position, because a class may be called anything, `y_true` too."""
    cells = read_cells(path, CONFUSION, target=target)
    classes = cells.iloc[1:, 0].tolist()
    if classes != cells.iloc[0, 1:].tolist():
        command = CONFUSION.command_for(target)
        raise StageError(f"{path}: rows and columns name different classes: run `{command}` again")
    return Confusion(classes, cells.iloc[1:, 1:].to_numpy().astype(float).astype(int))


def _json(path: Path, command: str) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StageError(f"{path} does not exist: run `{command}` first") from None
    except ValueError as error:
        raise StageError(f"{path} is not readable JSON ({error}): run `{command}` again") from None


def _short_name(path: Path) -> str:
    """The last parts of a path, which say what a file is wherever the project lies."""
    return "/".join(path.parts[-3:] if path.suffix == ".tsv" else path.parts[-2:])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
