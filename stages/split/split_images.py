"""The split stage: one division into train, val and test for all attributes, whole duplicate groups on one side.

In: `data/clean.csv`. Out: `data/splits.csv`, the same rows with `split`, and `data/split_report.json`.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cache.atomic import write_text
from stages.core.errors import StageError
from stages.core.records import producers
from stages.core.records.outputs import write_outputs
from stages.core.records.reading import Input, bind_inputs
from stages.core.tables.columns import CLEAN, SPLIT_IMAGES, SPLITS, label_columns, missing_label_columns
from stages.core.tables.csv_files import read_table, write_table
from stages.split.by_hash import divide_by_hash, keep_previous
from stages.split.classes import GroupClasses, count_classes
from stages.split.official import check_official, find_leaks, follow, leaking_rows
from stages.split.settings import SplitSettings
from stages.split.split_report import class_table, deviation_lines, first_names, leak_lines, report_json
from stages.split.stratify import divide

# Pinning more than this share of train to it for the sake of small classes would leave nothing to choose there.
MOST_PINNED = 0.5
# A copy that a person has kept need not have a record.
PREVIOUS = replace(SPLIT_IMAGES, may_lack_record=True)


def split_images(*, settings: SplitSettings, clean: Path, splits: Path, report: Path) -> str:
    """Assign every good image to train, val or test.

    Parameters
    ----------
    settings
        Shares, seed, method, and whose split it is.
    clean
        The table of clean.
    splits, report
        The table and the report to write.

    Returns
    -------
    str
        Images per split, deviations of the classes, and leaks.

    Raises
    ------
    StageError
        If a column to stratify over is missing, the source's split cannot be followed, or there are fewer groups than
        splits.
    """
    inputs = bind_inputs([Input(clean, CLEAN)])
    with write_outputs(
        producers.SPLIT, splits.parent, settings=settings.model_dump(mode="json"), inputs=inputs
    ) as outputs:
        return _split(settings, clean, splits=outputs.path(splits), report=outputs.path(report))


def _split(settings: SplitSettings, clean: Path, *, splits: Path, report: Path) -> str:
    table = read_table(clean, CLEAN)
    attributes = label_columns(table.columns)
    columns = _columns_to_stratify(attributes, settings, clean)
    classes = count_classes(table, columns, settings.min_class_size)
    if len(classes.groups) < len(SPLITS):
        raise StageError(
            f"{clean} has {len(classes.groups)} distinct pictures; at least {len(SPLITS)} are needed to split them"
        )
    found: dict[str, Any] = {"images": len(table), "groups": len(classes.groups), "settings": settings.model_dump()}
    parts = _parts(table, classes, settings, clean, found)
    leaks = find_leaks(table)
    if settings.source == "official":
        table, parts = _with_leaks_counted(table, parts, settings, found)
    if "split" in table:
        table = table.rename(columns={"split": "split_source"})
    table = _without_small_labels(table.assign(split=np.array(SPLITS)[parts]), classes, settings)
    # Classes are compared with the shares of the lists, not with those of the settings.
    ratios = [(table["split"] == name).mean() for name in SPLITS] if settings.source == "official" else settings.ratios
    shares = class_table(table, attributes, ratios)
    found |= {
        "splits": {name: int((table["split"] == name).sum()) for name in SPLITS},
        "small_classes": [f"{column}={name}" for column, name in classes.small],
        "columns_without_classes": classes.unclassed,
    }
    write_text(report, report_json(found, shares, leaks))
    write_table(table, splits)
    return "\n".join([*_summary(table, classes, settings, found), *deviation_lines(shares), *leak_lines(leaks)])


def _columns_to_stratify(attributes: list[str], settings: SplitSettings, clean: Path) -> list[str]:
    if settings.stratify_by is None:
        return attributes
    for column in settings.stratify_by:
        if problem := missing_label_columns([column], attributes, clean):
            raise StageError(f"split.stratify_by: {problem}")
    return settings.stratify_by


def _parts(
    table: pd.DataFrame, classes: GroupClasses, settings: SplitSettings, clean: Path, found: dict[str, Any]
) -> np.ndarray:
    """The part of every image, shape `(n,)`, int8."""
    if settings.source == "official":
        found["official_attribute"] = check_official(table, settings.official_attribute, clean)
        return follow(table, found["official_attribute"], classes, settings.ratios, settings.random_state)
    if settings.method == "hash":
        parts = divide_by_hash(classes.groups.tolist(), settings.ratios, settings.random_state)
        if settings.previous is not None:
            previous = read_table(Path(settings.previous), PREVIOUS, columns=["image", "sha256", "split"])
            parts, found["moved_by_merging"] = keep_previous(parts, classes.groups, table, previous, SPLITS)
    else:
        pinned = classes.has_small
        found["small_classes_kept_in_train"] = bool(pinned.mean() <= MOST_PINNED * settings.ratios[0])
        pinned = pinned & found["small_classes_kept_in_train"] & (settings.small_classes == "keep")
        parts = divide(classes, settings.ratios, settings.random_state, pinned=pinned)
    of_image: np.ndarray = parts[np.searchsorted(classes.groups, table["group"].to_numpy(dtype=str))]
    return of_image


def _with_leaks_counted(
    table: pd.DataFrame, parts: np.ndarray, settings: SplitSettings, found: dict[str, Any]
) -> tuple[pd.DataFrame, np.ndarray]:
    """Name the rows of train and val that leak; without them if the settings say so."""
    leaking = leaking_rows(table, parts, found["official_attribute"])
    found["leaking_into_train_or_val"] = table.loc[leaking, "image"].tolist()
    found["dropped"] = int(leaking.sum()) if settings.drop_leaks else 0
    if not settings.drop_leaks:
        return table, parts
    return table[~leaking].reset_index(drop=True), parts[~leaking]


def _without_small_labels(table: pd.DataFrame, classes: GroupClasses, settings: SplitSettings) -> pd.DataFrame:
    if settings.small_classes == "keep":
        return table
    for column in {column for column, _ in classes.small}:
        names = [name for attribute, name in classes.small if attribute == column]
        table[column] = table[column].mask(table[column].isin(names), "")
    return table


def _summary(table: pd.DataFrame, classes: GroupClasses, settings: SplitSettings, found: dict[str, Any]) -> list[str]:
    counts = found["splits"]
    shares = (f"{name} {count} ({count / len(table):.1%})" for name, count in counts.items())
    lines = [f"{len(table)} images: " + ", ".join(shares)]
    if settings.source == "official":
        leaking = len(found["leaking_into_train_or_val"])
        dropped = "were dropped" if settings.drop_leaks else "leak (split.drop_leaks: true drops them)"
        lines.append(
            f"test is what the source holds out for {found['official_attribute']}; {leaking} images of train "
            f"and val {dropped}"
        )
    if found.get("moved_by_merging"):
        lines.append(f"{found['moved_by_merging']} old images moved: a new picture made theirs and another's one group")
    if classes.small:
        fate = "lose their labels" if settings.small_classes == "drop" else "are not divided, but kept in train"
        if settings.small_classes == "keep" and not found.get("small_classes_kept_in_train"):
            fate = "fall where they fall"
        names = first_names([f"{column}={name}" for column, name in classes.small])
        lines.append(f"{len(classes.small)} classes of fewer than {settings.min_class_size} pictures {fate}: {names}")
    if few := _mostly_unlabelled(table):
        lines.append(f"labelled less than half, the other images are no part of its training or scores: {few}")
    if classes.unclassed:
        lines.append(
            f"not stratified over, since nearly every image has its own class: {first_names(classes.unclassed)}"
        )
    return lines


def _mostly_unlabelled(table: pd.DataFrame) -> str:
    """Name the attributes that fewer than half of the images have a label of, and how many have."""
    labelled = {column: int((table[column] != "").sum()) for column in label_columns(table.columns)}
    few = [f"{column} ({count} of {len(table)})" for column, count in labelled.items() if 2 * count < len(table)]
    return first_names(few)
