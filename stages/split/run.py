"""The split stage: one division into train, val and test for all attributes, whole duplicate groups on one side.

In: `data/clean.csv`. Out: `data/splits.csv`, the same rows with `split`.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from iterstrat.ml_stratifiers import MultilabelStratifiedShuffleSplit

from stages.errors import StageError
from stages.split.settings import SplitSettings
from stages.tables import read_table, write_table

SPLITS = ("train", "val", "test")
CLEAN_COLUMNS = ("image", "sha256", "width", "height", "mode", "group")


def split_images(*, settings: SplitSettings, clean: Path, splits: Path) -> str:
    """Assign every good image to train, val or test.

    Duplicate groups are the units that are divided. They are stratified over every label column together by iterative
    stratification (Sechidis, Tsoumakas and Vlahavas, 2011).

    Parameters
    ----------
    settings
        Shares, seed, and the label columns to stratify over.
    clean
        The table of clean.
    splits
        The table to write.

    Returns
    -------
    str
        Images per split.

    Raises
    ------
    StageError
        If a column to stratify over is missing, or there are fewer groups than splits.
    """
    table = read_table(clean, required=CLEAN_COLUMNS, made_by="pipeline clean")
    labels = _labels_per_group(table, _columns_to_stratify(table, settings, clean), settings.min_class_size)
    if len(labels) < len(SPLITS):
        raise StageError(
            f"{clean} has {len(labels)} distinct pictures; at least {len(SPLITS)} are needed to split them"
        )
    table["split"] = table["group"].map(_divide(labels, settings))
    write_table(table, splits)
    return _summary(table)


def _columns_to_stratify(table: pd.DataFrame, settings: SplitSettings, clean: Path) -> list[str]:
    attributes = [column for column in table.columns if column not in CLEAN_COLUMNS]
    if settings.stratify_by is None:
        return attributes
    for column in settings.stratify_by:
        if column not in attributes:
            raise StageError(
                f"split.stratify_by: {clean} has no label column {column!r} (it has {', '.join(attributes)})"
            )
    return settings.stratify_by


def _labels_per_group(table: pd.DataFrame, columns: list[str], min_class_size: int) -> pd.DataFrame:
    """Which classes occur in each group: a row per group in order of name, a column per class, 0 or 1."""
    indicators = []
    for column in columns:
        counts = table.loc[table[column] != "", column].value_counts()
        for name in sorted(counts.index[counts >= min_class_size]):
            indicators.append((table[column] == name).rename(f"{column}={name}"))
    indicators = pd.concat(indicators, axis=1) if indicators else pd.DataFrame(index=table.index)
    return indicators.groupby(table["group"], sort=True).any().astype(np.int8)


def _divide(labels: pd.DataFrame, settings: SplitSettings) -> dict[str, str]:
    """Map each group to a split: test is taken out of all, then val out of what is left."""
    train_share, val_share, test_share = settings.ratios
    everything = np.arange(len(labels))
    rest, test = _take_out(labels.to_numpy(), everything, test_share, settings.random_state)
    train, val = _take_out(labels.to_numpy(), rest, val_share / (train_share + val_share), settings.random_state + 1)
    return {labels.index[row]: name for name, rows in zip(SPLITS, (train, val, test), strict=True) for row in rows}


def _take_out(labels: np.ndarray, rows: np.ndarray, share: float, random_state: int) -> tuple[np.ndarray, np.ndarray]:
    """Divide `rows` into those that stay and a stratified `share` of at least one."""
    count = min(max(1, round(share * len(rows))), len(rows) - 1)
    if not labels.size:
        taken = np.random.default_rng(random_state).permutation(len(rows))[:count]
    else:
        # The stratifier counts the images without any label too, as members of an empty class.
        splitter = MultilabelStratifiedShuffleSplit(n_splits=1, test_size=count, random_state=random_state)
        indicators = np.column_stack([labels[rows], ~labels[rows].any(axis=1)])
        _, taken = next(splitter.split(np.zeros(len(rows)), indicators))
    stays = np.setdiff1d(np.arange(len(rows)), taken)
    return rows[stays], rows[np.sort(taken)]


def _summary(table: pd.DataFrame) -> str:
    counts = table["split"].value_counts()
    shares = (f"{name} {counts.get(name, 0)} ({counts.get(name, 0) / len(table):.1%})" for name in SPLITS)
    return f"{len(table)} images: " + ", ".join(shares)
