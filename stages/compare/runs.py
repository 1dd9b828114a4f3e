"""Read one run's results of a target, verified: predictions, duplicate groups, and the settings behind them.

In: a `Side`. Out: a `Run`. Files behind the results are used where they are those of the same run, by their digests.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from stages.compare.sources import Side
from stages.core.errors import StageError
from stages.core.records import producers
from stages.core.records.artefacts import METRICS
from stages.core.records.contents import digest_bytes_of, digest_columns_of
from stages.core.records.producers import TARGET, Producer
from stages.core.records.reading import read_json
from stages.core.records.record import Record, read_record
from stages.core.tables.columns import PREDICTIONS, SPLIT_IMAGES
from stages.core.tables.csv_files import read_table, with_numbers

SPLITS = "data/splits.csv"
# A file, the stage that writes it, the stage that reads it, and the section of params.yaml that the first is made with;
# train records its two sections by their names.
CHAIN: tuple[tuple[str, Producer, Producer, str], ...] = (
    ("models/heads/TARGET/head.json", producers.TRAIN, producers.EVALUATE, ""),
    ("data/features/features.h5", producers.EXTRACT, producers.EVALUATE, "features"),
    (SPLITS, producers.SPLIT, producers.EVALUATE, "split"),
    ("models/backbone.safetensors", producers.BACKBONE, producers.EXTRACT, "backbone"),
    ("data/clean.csv", producers.CLEAN, producers.SPLIT, "clean"),
    ("data/manifest.csv", producers.INGEST, producers.CLEAN, "dataset"),
)


@dataclass(frozen=True)
class Run:
    """One run's results of one target.

    Attributes
    ----------
    table
        A row per image: image, sha256, split, y_true, y_pred, confidence, and group where it is known.
    classes
        Those that the head knows: the labels of its train images.
    settings
        Every setting behind the results that is known, by its dotted key.
    inputs
        Digests of what evaluate read, by the file's path in a project.
    digests
        Digests of the files that were read here.
    notes
        What a reader of the comparison must know, in sentences.
    """

    table: pd.DataFrame
    classes: frozenset[str]
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    digests: Mapping[str, str]
    notes: list[str]


def read_run(side: Side, target: str) -> Run:
    """Read a target's results.

    Raises
    ------
    StageError
        If a file is damaged or is not the one that evaluate wrote, or predictions and scores are of different runs.
    """
    folder, notes = side.results[target], []
    with side.errors_named():
        record = read_record(
            producers.EVALUATE.record_in(folder), producers.EVALUATE.stage, producers.EVALUATE.command_for(target)
        )
        table = _read_predictions(folder / "predictions.csv", target, verified=record is not None)
        _check_scores(table, folder / "metrics.json", target, verified=record is not None)
        if record is None:
            notes.append(f"The files of {side.letter} have no record of `pipeline evaluate`: they were not verified.")
        groups = _read_groups(side.project / SPLITS, record)
    if groups is None:
        notes.append(
            f"The duplicate groups of {side.letter} are not known (no {SPLITS} of the same run): copies that only it "
            "would find count as separate images."
        )
    else:
        table = table.assign(group=table["image"].map(groups))
    return Run(
        table=table,
        classes=_known_classes(table),
        settings=_settings_behind(side.project, target, record),
        inputs=dict(record.inputs) if record else {},
        digests={
            f"reports/{target}/{name}": digest_bytes_of(folder / name).digest
            for name in ("predictions.csv", "metrics.json")
        },
        notes=notes,
    )


def _read_predictions(path: Path, target: str, *, verified: bool) -> pd.DataFrame:
    """Read predictions; without a record they are taken as they are."""
    contract = PREDICTIONS if verified else replace(PREDICTIONS, may_lack_record=True)
    table = with_numbers(read_table(path, contract, target=target), PREDICTIONS.numbers)
    if (wrong := table["confidence"].isna()).any():
        raise StageError(
            f"{path}, row {int(wrong.idxmax()) + 2}: the confidence is no number: "
            f"run `{contract.command_for(target)}` again"
        )
    return table


def _known_classes(table: pd.DataFrame) -> frozenset[str]:
    return frozenset(table.loc[table["split"] == "train", "y_true"]) - {""}


def _check_scores(table: pd.DataFrame, path: Path, target: str, *, verified: bool) -> None:
    """Refuse predictions that do not give the accuracy of `metrics.json`: the two are of different runs."""
    contract = METRICS if verified else replace(METRICS, may_lack_record=True)
    found = read_json(path, contract, target).get("test", {})
    test = table[(table["split"] == "test") & table["y_true"].isin(_known_classes(table))]
    right = int((test["y_true"] == test["y_pred"]).sum())
    stated = (found.get("n"), round(float(found.get("accuracy") or 0.0) * len(test)))
    if stated != (len(test), right):
        raise StageError(
            f"{path} is not of the same run as predictions.csv (right test images: {stated[1]} of {stated[0]} "
            f"against {right} of {len(test)}): run `{contract.command_for(target)}` again"
        )


def _read_groups(path: Path, record: Record | None) -> dict[str, str] | None:
    """Each image's duplicate group; None if the table is not the one that the predictions were made from."""
    name = next((name for name in (record.inputs if record else ()) if name.startswith(f"{SPLITS}[")), "")
    columns = name.partition("[")[2].rstrip("]").split(",")
    if record is None or not name or _digest_columns(path, columns) != record.inputs[name]:
        return None
    table = read_table(path, replace(SPLIT_IMAGES, may_lack_record=True), columns=("image", "group"))
    return dict(zip(table["image"], table["group"], strict=True))


def _digest_columns(path: Path, columns: list[str]) -> str | None:
    try:
        return digest_columns_of(path, columns)
    except (OSError, KeyError, UnicodeDecodeError, csv.Error):
        return None


def _settings_behind(project: Path, target: str, record: Record | None) -> dict[str, Any]:
    """Settings of the stages behind the results, each as long as its files are those that were read."""
    records = {producers.EVALUATE.stage: record}
    settings = dict(_flatten({"evaluate": dict(record.settings)})) if record else {}
    for path, writer, reader, section in CHAIN:
        found = _record_of(project, writer, target)
        if found and _was_read(records.get(reader.stage), found, path, writer, project, target):
            records[writer.stage] = found
            settings |= _flatten({section: dict(found.settings)} if section else dict(found.settings))
    return settings


def _record_of(project: Path, writer: Producer, target: str) -> Record | None:
    home = project / writer.home.replace(TARGET, target)
    try:
        return read_record(writer.record_in(home), writer.stage, writer.command_for(target))
    except (StageError, OSError):
        return None


def _was_read(reader: Record | None, written: Record, path: str, writer: Producer, project: Path, target: str) -> bool:
    """Whether a stage read the very file that the record of another stage lists."""
    output = written.outputs.get(path.removeprefix(f"{writer.home}/"))
    file = path.replace(TARGET, target)
    for name, digest in (reader.inputs if reader and output else {}).items():
        if name == file:
            return digest == output.digest if output else False
        if name.startswith(f"{file}["):
            present = digest_bytes_of(project / file) if (project / file).is_file() else None
            columns = name.partition("[")[2].rstrip("]").split(",")
            return present == output and _digest_columns(project / file, columns) == digest
    return False


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Name every value by its dotted key.

    >>> _flatten({"train": {"lr": 0.1}, "seed": 0})
    {'train.lr': 0.1, 'seed': 0}
    """
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found
