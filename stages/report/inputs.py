"""What the report reads: the paths of its files, and their content as typed objects.

In: the files under data/, models/ and reports/. Out: `CollectionTables`, and `TargetResults` per target; a missing file
is an error that names the command to run. Nothing is computed here beyond turning text into numbers.
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
from stages.core.tables.outliers import KindTexts, read_outlier_kinds, read_outliers

CURVES = ("loss", "accuracy", "f1_macro")
FILES = (
    "metrics.json",
    "predictions.csv",
    "confusion.csv",
    "per_class.csv",
    "reliability.csv",
    "outliers.csv",
    "outlier_kinds.csv",
    "out_of_sample.csv",
    "traits.csv",
    "clusters.csv",
)


@dataclass(frozen=True)
class ReportInputs:
    """Paths of everything that the report reads.

    Attributes
    ----------
    images
        The image root.
    manifest, ingest_problems
        The tables of ingest.
    rejected, conflicts
        The tables of clean.
    splits, split_report
        The table of split and its report.
    backbone
        The backbone's card, `backbone.json`.
    features
        The published cache, for its `fingerprint.json`.
    heads
        Folder of the trained heads, a folder per target.
    results
        Folder with the results of evaluate and find-outliers, a folder per target.
    coordinates
        Each image's place on the map, written by `write_coordinates`.
    answer_key
        The list of planted faults, or None for a collection without one.

    The data page leaves out `conflicts`, `ingest_problems` and `split_report` where they are missing.
    """

    images: Path
    manifest: Path
    ingest_problems: Path
    rejected: Path
    conflicts: Path
    splits: Path
    split_report: Path
    backbone: Path
    features: Path
    heads: Path
    results: Path
    coordinates: Path
    answer_key: Path | None


@dataclass(frozen=True)
class CollectionTables:
    """Tables and cards that concern all images.

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
class TargetResults:
    """Results of one target's head.

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
    kinds
        Title and explanation of each kind in `outliers`, in the order of the page.
    confusion
        The test split's confusion matrix.
    digests
        SHA-256 of every file read, by its name relative to the project: equal digests give equal pages.
    training_s
        Duration of all epochs together, in seconds; None without a training log.
    """

    target: str
    metrics: dict[str, Any]
    head: dict[str, Any]
    curves: dict[str, pd.DataFrame]
    predictions: pd.DataFrame
    per_class: pd.DataFrame
    confusion: Confusion
    outliers: pd.DataFrame
    kinds: dict[str, KindTexts]
    digests: dict[str, str]
    training_s: float | None


def read_collection(inputs: ReportInputs) -> CollectionTables:
    """Read the tables and cards that concern all images.

    Raises
    ------
    StageError
        If one is missing or unreadable.
    """
    return CollectionTables(
        manifest=read_table(inputs.manifest, MANIFEST),
        rejected=read_table(inputs.rejected, REJECTED),
        splits=read_table(inputs.splits, SPLIT_IMAGES, columns=["image", "sha256", "group", "split"]),
        backbone=read_backbone(inputs.backbone),
        features=read_fingerprint(inputs.features),
    )


def read_backbone(path: Path) -> dict[str, Any]:
    """Read the card of the backbone."""
    return _read_json(path, "pipeline prepare-backbone")


def read_fingerprint(features: Path) -> dict[str, Any]:
    """Read the description of the published features."""
    return _read_json(features / "fingerprint.json", "pipeline extract-features")


def read_metrics(target: str, results: Path) -> dict[str, Any]:
    """Read one target's scores."""
    return _read_json(results / target / "metrics.json", f"pipeline evaluate --target {target}")


def read_results(target: str, inputs: ReportInputs) -> TargetResults:
    """Read the results of one target's head.

    Parameters
    ----------
    target
        The label column.
    inputs
        Its folders `heads` and `results` are read.

    Raises
    ------
    StageError
        If a file is missing or unreadable; learning curves may be missing.
    """
    folder, head = inputs.results / target, inputs.heads / target
    outliers = read_outliers(target, inputs.results)
    predictions = read_table(folder / "predictions.csv", PREDICTIONS, target=target)
    per_class = read_table(folder / "per_class.csv", PER_CLASS, target=target)
    logs = head / "log" / "plots" / "metrics"
    files = [folder / name for name in FILES]
    files += [head / "head.json", *sorted(logs.glob("*/*.tsv"))]
    return TargetResults(
        target=target,
        metrics=read_metrics(target, inputs.results),
        head=_read_json(head / "head.json", f"pipeline train-head --target {target}"),
        curves={metric: _read_curve(logs, metric) for metric in CURVES},
        predictions=with_numbers(predictions, PREDICTIONS.numbers),
        per_class=with_numbers(per_class, PER_CLASS.numbers),
        confusion=_read_confusion(folder / "confusion.csv", target),
        outliers=outliers,
        kinds=read_outlier_kinds(target, inputs.results, outliers["kind"]),
        digests={_short_name(path): _sha256(path) for path in files if path.is_file()},
        training_s=_sum_seconds(logs / "seconds.tsv"),
    )


def _sum_seconds(path: Path) -> float | None:
    if not path.is_file():
        return None
    return float(pd.read_csv(path, sep="\t")["seconds"].sum())


def _read_curve(logs: Path, metric: str) -> pd.DataFrame:
    """Join DVCLive's files of one metric into columns `epoch`, and `train` and `val` where they were logged.

    DVCLive's steps count from 0, the epochs of `head.json` from 1.
    """
    columns = []
    for split in ("train", "val"):
        path = logs / split / f"{metric}.tsv"
        if path.is_file():
            table = pd.read_csv(path, sep="\t")
            columns.append(pd.Series(table[metric].to_numpy(), index=table["step"] + 1, name=split))
    return pd.concat(columns, axis=1).rename_axis("epoch").reset_index() if columns else pd.DataFrame(columns=["epoch"])


def _read_confusion(path: Path, target: str) -> Confusion:
    """Read by position: a class may have any name, also `y_true`."""
    cells = read_cells(path, CONFUSION, target=target)
    classes = cells.iloc[1:, 0].tolist()
    if classes != cells.iloc[0, 1:].tolist():
        command = CONFUSION.command_for(target)
        raise StageError(f"{path}: rows and columns name different classes: run `{command}` again")
    return Confusion(classes, cells.iloc[1:, 1:].to_numpy().astype(float).astype(int))


def _read_json(path: Path, command: str) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return content
    except FileNotFoundError:
        raise StageError(f"{path} does not exist: run `{command}` first") from None
    except ValueError as error:
        raise StageError(f"{path} is not readable JSON ({error}): run `{command}` again") from None


def _short_name(path: Path) -> str:
    """The last parts of a path: the file's name relative to the project."""
    return "/".join(path.parts[-3:] if path.suffix == ".tsv" else path.parts[-2:])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
