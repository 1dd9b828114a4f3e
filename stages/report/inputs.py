"""What the report reads: the paths of its files, and their content as typed objects.

In: the files under data/, models/ and reports/. Out: `CollectionTables`, and `TargetResults` per target; a missing file
is an error that names the command to run. Nothing is computed here beyond turning text into numbers.
"""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.core.errors import StageError
from stages.core.images.files import ImageFolder
from stages.core.records import producers
from stages.core.records.artefacts import (
    BACKBONE_CARD,
    FEATURE_FILE,
    FINGERPRINT,
    HEAD_CARD,
    HEAD_WEIGHTS,
    METRICS,
    SPLIT_REPORT,
    Artefact,
)
from stages.core.records.reading import Input, bind_inputs, read_json, read_verified
from stages.core.tables.columns import (
    CLEAN,
    CLUSTERS,
    CONFLICTS,
    CONFUSION,
    COORDINATES,
    INGEST_PROBLEMS,
    MANIFEST,
    OUT_OF_SAMPLE,
    OUTLIER_KINDS,
    OUTLIERS,
    PER_CLASS,
    PREDICTIONS,
    REJECTED,
    RELIABILITY,
    SPLIT_IMAGES,
    TRAITS,
    label_columns,
)
from stages.core.tables.csv_files import read_cells, read_table, with_numbers
from stages.core.tables.outliers import KindTexts, read_outlier_kinds, read_outliers

EVALUATED = (PREDICTIONS, CONFUSION, PER_CLASS, RELIABILITY)
LISTED = (OUTLIERS, OUTLIER_KINDS, OUT_OF_SAMPLE, TRAITS, CLUSTERS)
# Where DVCLive puts its tables of one metric.
CURVE = Artefact("models/heads/TARGET/log/plots/metrics/train/loss.tsv", producers.TRAIN)
SECONDS = Artefact("models/heads/TARGET/log/plots/metrics/seconds.tsv", producers.TRAIN)
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

    images: ImageFolder
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


def bind_collection(inputs: ReportInputs) -> None:
    """Verify the files that concern all images: each is what its stage wrote, and none is of an older run.

    Raises
    ------
    StageError
        Naming the file and the command to run.
    """
    optional = [Input(inputs.conflicts, CONFLICTS), Input(inputs.ingest_problems, INGEST_PROBLEMS)]
    optional.append(Input(inputs.split_report, SPLIT_REPORT))
    bind_inputs(
        [
            Input(inputs.manifest, MANIFEST),
            Input(inputs.rejected, REJECTED),
            *_shared_inputs(inputs),
            *(source for source in optional if source.path.is_file()),
        ],
        through=[Input(inputs.rejected.with_name("clean.csv"), CLEAN)],
    )


def bind_target(target: str, inputs: ReportInputs) -> None:
    """Verify the files of one target, with those that its head was made from.

    Raises
    ------
    StageError
        Naming the file and the command to run.
    """
    folder = inputs.results / target
    tables = {table.path_for(target): table for table in (*EVALUATED, *LISTED)}
    files = [Input(inputs.results / Path(path).relative_to("reports"), table, target) for path, table in tables.items()]
    bind_inputs(
        [
            *_shared_inputs(inputs),
            Input(folder / "metrics.json", METRICS, target),
            Input(inputs.heads / target / "head.json", HEAD_CARD, target),
            *(source for source in files if source.path.is_file()),
        ],
        through=[
            Input(inputs.features / "features.h5", FEATURE_FILE),
            Input(inputs.heads / target / "head.safetensors", HEAD_WEIGHTS, target),
        ],
    )


def bind_map(inputs: ReportInputs) -> None:
    """Verify that the places on the map are those of the present features and splits.

    Raises
    ------
    StageError
        Naming the file and the command to run.
    """
    files = [Input(inputs.coordinates, COORDINATES), Input(inputs.splits, SPLIT_IMAGES)]
    bind_inputs(files, through=[Input(inputs.features / "features.h5", FEATURE_FILE)])


def _shared_inputs(inputs: ReportInputs) -> list[Input]:
    return [
        Input(inputs.splits, SPLIT_IMAGES),
        Input(inputs.backbone, BACKBONE_CARD),
        Input(inputs.features / "fingerprint.json", FINGERPRINT),
    ]


def read_collection(inputs: ReportInputs) -> CollectionTables:
    """Read the tables and cards that concern all images.

    Raises
    ------
    StageError
        If one is missing, unreadable, or not of the same run as the others.
    """
    bind_collection(inputs)
    return CollectionTables(
        manifest=read_table(inputs.manifest, MANIFEST),
        rejected=read_table(inputs.rejected, REJECTED),
        splits=read_table(inputs.splits, SPLIT_IMAGES, columns=["image", "sha256", "group", "split"]),
        backbone=read_backbone(inputs.backbone),
        features=read_fingerprint(inputs.features),
    )


def read_digests(inputs: ReportInputs) -> dict[str, str]:
    """Read the SHA-256 of every image, as clean found it."""
    table = read_table(inputs.splits, SPLIT_IMAGES, columns=["image", "sha256"])
    return dict(zip(table["image"], table["sha256"], strict=True))


def read_backbone(path: Path) -> dict[str, Any]:
    """Read the card of the backbone."""
    return read_json(path, BACKBONE_CARD)


def read_fingerprint(features: Path) -> dict[str, Any]:
    """Read the description of the published features."""
    return read_json(features / "fingerprint.json", FINGERPRINT)


def read_metrics(target: str, results: Path) -> dict[str, Any]:
    """Read one target's scores."""
    return read_json(results / target / "metrics.json", METRICS, target)


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
        If a file is missing, unreadable, or not of the same run as the others; learning curves may be missing.
    """
    bind_target(target, inputs)
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
        head=read_json(head / "head.json", HEAD_CARD, target),
        curves={metric: _read_curve(logs, metric, target) for metric in CURVES},
        predictions=with_numbers(predictions, PREDICTIONS.numbers),
        per_class=with_numbers(per_class, PER_CLASS.numbers),
        confusion=_read_confusion(folder / "confusion.csv", target),
        outliers=outliers,
        kinds=read_outlier_kinds(target, inputs.results, outliers["kind"]),
        digests={_short_name(path): _sha256(path) for path in files if path.is_file()},
        training_s=_sum_seconds(logs / "seconds.tsv", target),
    )


def _sum_seconds(path: Path, target: str) -> float | None:
    return float(_read_log(path, SECONDS, target)["seconds"].sum()) if path.is_file() else None


def _read_log(path: Path, artefact: Artefact, target: str) -> pd.DataFrame:
    """Read one of DVCLive's tables, verified."""
    return pd.read_csv(io.BytesIO(read_verified(path, artefact, target)), sep="\t")


def _read_curve(logs: Path, metric: str, target: str) -> pd.DataFrame:
    """Join DVCLive's files of one metric into columns `epoch`, and `train` and `val` where they were logged.

    DVCLive's steps count from 0, the epochs of `head.json` from 1.
    """
    columns = []
    for split in ("train", "val"):
        path = logs / split / f"{metric}.tsv"
        if path.is_file():
            table = _read_log(path, CURVE, target)
            columns.append(pd.Series(table[metric].to_numpy(), index=table["step"] + 1, name=split))
    return pd.concat(columns, axis=1).rename_axis("epoch").reset_index() if columns else pd.DataFrame(columns=["epoch"])


def _read_confusion(path: Path, target: str) -> Confusion:
    """Read by position: a class may have any name, also `y_true`."""
    cells = read_cells(path, CONFUSION, target=target)
    classes = cells.iloc[1:, 0].tolist()
    if classes != cells.iloc[0, 1:].tolist():
        command = CONFUSION.command_for(target)
        raise StageError(f"{path}: rows and columns name different classes: run `{command}` again")
    try:
        counts = cells.iloc[1:, 1:].to_numpy().astype(float)
    except ValueError as error:
        raise StageError(f"{path}: {error}: run `{CONFUSION.command_for(target)}` again") from None
    if not np.isfinite(counts).all():
        raise StageError(f"{path}: a count is no number: run `{CONFUSION.command_for(target)}` again")
    return Confusion(classes, counts.astype(int))


def _short_name(path: Path) -> str:
    """The last parts of a path: the file's name relative to the project."""
    return "/".join(path.parts[-3:] if path.suffix == ".tsv" else path.parts[-2:])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
