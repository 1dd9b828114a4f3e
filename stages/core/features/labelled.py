"""The labels of a target joined with the cached features.

In: `data/features/` and `data/splits.csv`. Out: plain arrays, a row per image, ready for a head or a baseline.
"""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from cache import FeatureCache
from cache.layout import FEATURES_NAME
from stages.core.errors import StageError
from stages.core.features.artefact import FEATURES, open_features
from stages.core.features.placement import CachedFeatures, blocks
from stages.core.records.reading import Input, bind_inputs
from stages.core.tables.columns import MANIFEST, SPLIT_IMAGES, missing_label_columns, require_label_column
from stages.core.tables.csv_files import read_table

UNLABELLED = -1
SPLIT_COLUMNS = ("image", "sha256", "group", "split")
CHECKED_ROWS = 4096
SPLIT_AGAIN = "run `pipeline clean` and `pipeline split`, or `dvc repro`, again"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelledFeatures:
    """The images of a collection that have features, and one target's labels.

    Attributes
    ----------
    target
        The label column.
    classes
        Names of the classes that occur in the train split, sorted; a label is an index into them.
    table
        The rows of splits.csv, shape `(n, …)`, all text.
    labels
        Shape `(n,)`, int64; `UNLABELLED` where there is no label or its class does not occur in train.
    features
        Shape `(n, views, tokens, channels)`, float16; read from the cache's file when asked for.
    fingerprint
        Of the cache that the features come from.
    inputs
        Digests of the files behind it, taken before they were read: a file that changes meanwhile is found later.
    """

    target: str
    classes: list[str]
    table: pd.DataFrame
    labels: np.ndarray
    features: CachedFeatures
    fingerprint: str
    inputs: Mapping[str, str] = field(default_factory=dict)

    def rows(self, split: str) -> np.ndarray:
        """Indices of the labelled images of a split, ascending, int64."""
        return np.flatnonzero((self.table["split"] == split).to_numpy() & (self.labels != UNLABELLED))

    def digest(self, *splits: str) -> str:
        """SHA-256 of the labelled images in these splits, in order, and of their labels: what a head is fitted to."""
        rows = self.table[self.table["split"].isin(splits).to_numpy() & (self.labels != UNLABELLED)]
        lines = ("\t".join(row) for row in rows[["sha256", "split", self.target]].itertuples(index=False))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def pooled(self) -> np.ndarray:
        """Average the centre view over its tokens: `(n, channels)`, float32, which baselines and neighbours use."""
        means = np.empty((len(self.features), self.features.shape[-1]), dtype=np.float32)
        for rows in blocks(self.features):
            self.features[rows, 0].mean(axis=1, dtype=np.float32, out=means[rows[0] : rows[-1] + 1])
        self.features.release()
        return means

    def pooled_views(self) -> Iterator[np.ndarray]:
        """Average every view over its tokens, block by block: sequences of one, `(m, views, 1, channels)`, float16."""
        for rows in blocks(self.features):
            yield self.features[rows].mean(axis=2, keepdims=True, dtype=np.float32).astype(np.float16)
        self.features.release()


@dataclass(frozen=True)
class CachedCollection:
    """The images of the splits that have features; the labels of every target are a column of its table.

    Attributes
    ----------
    table, features, fingerprint
        As in `LabelledFeatures`.
    splits
        Where the table came from.
    inputs
        As in `LabelledFeatures`, by target.
    """

    table: pd.DataFrame
    features: CachedFeatures
    fingerprint: str
    splits: Path
    inputs: Mapping[str, Mapping[str, str]]


def collection_inputs(*, features: Path, splits: Path, target: str = "") -> list[Input]:
    """The files of a collection, as inputs of a stage: with all label columns, or with one target's only."""
    columns = (*SPLIT_COLUMNS, target) if target else ()
    return [Input(splits, SPLIT_IMAGES, columns=columns), Input(features / FEATURES_NAME, FEATURES)]


def load_collection(*, features: Path, splits: Path, targets: Sequence[str] = ()) -> CachedCollection:
    """Open the features of every image in the splits; `targets` are checked before any feature is read.

    Raises
    ------
    StageError
        If a file is not what its stage wrote, no column has a target's name, or no image has features.
    cache.CacheError
        If the cache is damaged.
    """
    inputs = {t: bind_inputs(collection_inputs(features=features, splits=splits, target=t)) for t in targets or [""]}
    table = read_table(splits, SPLIT_IMAGES, columns=SPLIT_COLUMNS)
    for target in targets:
        require_label_column(target, table.columns, splits)
    cache = open_features(features)
    table = _drop_without_features(table, cache, splits)
    return CachedCollection(table, CachedFeatures(cache, table["sha256"].tolist()), cache.fingerprint, splits, inputs)


def load_labelled_features(target: str, *, features: Path, splits: Path) -> LabelledFeatures:
    """Read the features of every image in the splits and the labels of one target.

    Raises
    ------
    StageError
        As `load_collection` and `attach_labels`.
    cache.CacheError
        If the cache is missing or damaged.
    """
    return attach_labels(target, load_collection(features=features, splits=splits, targets=[target]))


def attach_labels(target: str, collection: CachedCollection) -> LabelledFeatures:
    """Attach the labels of one target to a collection.

    Raises
    ------
    StageError
        If fewer than two classes occur in train, or val or test have no label.
    """
    table, splits = collection.table, collection.splits
    require_label_column(target, table.columns, splits)
    classes = _find_classes(target, table, splits)
    code = {name: index for index, name in enumerate(classes)}
    labels = table[target].map(lambda name: code.get(name, UNLABELLED)).to_numpy(dtype=np.int64)
    features, inputs = collection.features, collection.inputs.get(target, {})
    return LabelledFeatures(target, classes, table, labels, features, collection.fingerprint, inputs)


def describe_not_finite(data: LabelledFeatures, row: int, features: Path) -> str:
    """Name the image whose features are unusable, and what to do."""
    return (
        f"{features}: the features of image {data.table['image'][row]!r} are NaN or infinite: "
        "set features.precision to fp32, then run `pipeline extract-features` again"
    )


def check_finite(data: LabelledFeatures, pooled: np.ndarray, features: Path) -> None:
    """Refuse features, a row per image, if any is NaN or infinite."""
    for row in range(0, len(pooled), CHECKED_ROWS):
        block = pooled[row : row + CHECKED_ROWS]
        finite = np.isfinite(block).reshape(len(block), -1).all(axis=1)
        if not finite.all():
            raise StageError(describe_not_finite(data, row + int(finite.argmin()), features))


def check_labels_unchanged(data: LabelledFeatures, *, splits: Path, manifest: Path) -> None:
    """Refuse labels that were changed after the split; without a manifest there is nothing to compare.

    Raises
    ------
    StageError
        If an image of the splits has another label in the manifest, or is no longer in it.
    """
    if not manifest.exists():
        return
    table = read_table(manifest, MANIFEST)
    if problem := missing_label_columns([data.target], table.columns, manifest):
        raise StageError(f"{problem}: {SPLIT_AGAIN}")
    now = dict(zip(table["image"], table[data.target], strict=True))
    then = zip(data.table["image"], data.table[data.target], strict=True)
    changed = [(image, label) for image, label in then if now.get(image) != label]
    if changed:
        image, label = changed[0]
        found = repr(now[image]) if image in now else "not there"
        raise StageError(
            f"{data.target}: the labels of {len(changed)} images changed since the split, the first is {image!r} "
            f"({label!r} in {splits}, {found} in {manifest}): {SPLIT_AGAIN}"
        )


def _drop_without_features(table: pd.DataFrame, cache: FeatureCache, splits: Path) -> pd.DataFrame:
    """Keep the images that have features: extraction could not read the others."""
    cached = table["sha256"].map(lambda key: key in cache)
    if not cached.any():
        raise StageError(f"the feature cache has none of the images of {splits}: run `pipeline extract-features` again")
    if not cached.all():
        log.warning("%d of %d images have no features and are left out", (~cached).sum(), len(table))
    return table[cached].reset_index(drop=True)


def _find_classes(target: str, table: pd.DataFrame, splits: Path) -> list[str]:
    """Find the classes of the train split, sorted; refuse or report those that cannot be learned or scored."""
    labelled = table[table[target] != ""]
    counts = (
        labelled.groupby([target, "split"])
        .size()
        .unstack(fill_value=0)
        .reindex(columns=["train", "val", "test"], fill_value=0)
    )
    classes = sorted(counts.index[counts["train"] > 0])
    if len(classes) < 2:
        found = f"only {classes[0]!r}" if classes else "none"
        raise StageError(f"{target}: two or more classes are needed in the train split of {splits}, there is {found}")
    for split in ("val", "test"):
        if counts.loc[classes, split].sum() == 0:
            raise StageError(f"{target}: no image of the {split} split of {splits} has a label: more labels are needed")
    for name, row in counts.iterrows():
        if row["train"] == 0:
            log.warning("%s: class %r has no train image; its %d images are left out", target, name, row.sum())
        elif row["val"] == 0 or row["test"] == 0:
            message = "%s: class %r has %d images, none in val or test: it is learned but not fully scored"
            log.warning(message, target, name, row.sum())
    return classes
