"""The outliers stage: an out-of-sample prediction for every image, and from it the images that do not fit.

In: the feature cache, the splits, the target's head (for a setting of its training), the images. Out, in
`reports/TARGET/`: `outliers.csv` and `outlier_kinds.csv` (images listed, by kind), `out_of_sample.csv` (all images),
and what the misclassified have in common: `traits.csv` and `clusters.csv`.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from stages.core.features.labelled import UNLABELLED, LabelledFeatures, collection_inputs, load_labelled_features
from stages.core.head.files import check_same_data, head_inputs, load_head
from stages.core.head.recipe import Recipe, read_recipe
from stages.core.images.files import ImageFolder
from stages.core.records import producers
from stages.core.records.outputs import write_outputs
from stages.core.records.reading import check_links, digest_inputs
from stages.core.tables.columns import OUTLIER_KINDS, OUTLIERS
from stages.core.tables.csv_files import write_table
from stages.outliers.clusters import find_clusters
from stages.outliers.confidence import measure_confidence
from stages.outliers.folds import out_of_sample_probabilities
from stages.outliers.image_measures import measure_images
from stages.outliers.kinds import KINDS
from stages.outliers.levels import divide
from stages.outliers.neighbours import nearest_neighbours, standardised
from stages.outliers.outlier_kind import Evidence, OutlierKind
from stages.outliers.settings import OutlierSettings
from stages.outliers.traits import SIGNIFICANT, find_traits

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImagesToMeasure:
    """Where to measure how pictures look.

    Attributes
    ----------
    folder
        The image root.
    database
        Measures kept from earlier runs; None keeps nothing.
    """

    folder: ImageFolder
    database: Path | None = None


def find_outliers(
    *,
    target: str,
    settings: OutlierSettings,
    features: Path,
    splits: Path,
    head: Path,
    destination: Path,
    images: ImagesToMeasure | None = None,
    n_jobs: int = 1,
) -> str:
    """List the artworks that do not fit their label or the collection.

    Parameters
    ----------
    target
        The label column.
    settings
        Folds, neighbours and how many to list.
    features, splits
        The published cache and the table of split.
    head
        The folder of the trained head: its training's `imbalance` is used for the folds.
    destination
        The folder to write: `reports/TARGET`.
    images
        The images; without them, traits and clusters leave out how pictures look.
    n_jobs
        Folds trained in parallel, sharing the cores; -1: one per core.

    Returns
    -------
    str
        Images listed per kind, and the strongest trait.

    Raises
    ------
    StageError
        If the head is missing or was trained on other data, or there are fewer pictures than folds.
    """
    inputs = [*collection_inputs(features=features, splits=splits), *head_inputs(head)]
    digests = digest_inputs(inputs)  # before anything is read: a file that changes meanwhile is found later
    data = load_labelled_features(target, features=features, splits=splits)
    _, card = load_head(head)
    check_same_data(card, data)
    check_links(inputs, digests)
    made_from = {source.name: digests[source.name] for source in inputs}
    recorded = settings.model_dump(mode="json")
    with write_outputs(producers.OUTLIERS, destination, settings=recorded, inputs=made_from, target=target) as outputs:
        return _find(data, read_recipe(card), settings, features, outputs.path(destination), images, n_jobs)


def _find(
    data: LabelledFeatures,
    recipe: Recipe,
    settings: OutlierSettings,
    features: Path,
    destination: Path,
    images: ImagesToMeasure | None,
    n_jobs: int,
) -> str:
    probabilities = out_of_sample_probabilities(data, recipe, settings, features=features, n_jobs=n_jobs)
    pooled = standardised(data)
    distances, neighbours = nearest_neighbours(pooled, data.table["group"].to_numpy(), settings.neighbours)
    listed = list_outliers(KINDS, Evidence(data, probabilities, distances), settings)
    predicted = probabilities.argmax(axis=1)
    properties = divide(data, _measures(data, images))
    clusters, cluster = find_clusters(
        data, predicted, pooled, properties, most=settings.clusters, random_state=settings.random_state
    )
    traits = find_traits(data, predicted, properties, min_images=settings.trait_min_images)
    confidence = measure_confidence(probabilities)
    predictions = _out_of_sample_table(data, probabilities, confidence, cluster)
    write_table(_outlier_table(listed, predictions, confidence, neighbours), destination / "outliers.csv")
    write_table(kind_table(KINDS), destination / "outlier_kinds.csv")
    write_table(predictions, destination / "out_of_sample.csv")
    write_table(traits, destination / "traits.csv")
    write_table(clusters, destination / "clusters.csv")
    return _summary(data.target, listed, traits)


def list_outliers(kinds: Sequence[OutlierKind], evidence: Evidence, settings: OutlierSettings) -> pd.DataFrame:
    """List the first images of every kind, ranked from 1: `list_share` of all, or `issue_share` of what it counts.

    Returns
    -------
    DataFrame
        Columns row, score, suggested, reason, kind, rank, in the order of the kinds.
    """
    images = len(evidence.data.table)
    shares = [settings.issue_share if kind.counts else settings.list_share for kind in kinds]
    tables = [
        kind.find(evidence).head(max(1, round(share * images))).assign(kind=kind.name)
        for kind, share in zip(kinds, shares, strict=True)
    ]
    return pd.concat([table.assign(rank=np.arange(1, len(table) + 1)) for table in tables], ignore_index=True)


def kind_table(kinds: Sequence[OutlierKind]) -> pd.DataFrame:
    """Make the table of titles and explanations, in the order in which pages show the kinds."""
    in_order = sorted(kinds, key=lambda kind: kind.page_order)
    return pd.DataFrame([(kind.name, kind.title, kind.explanation) for kind in in_order], columns=OUTLIER_KINDS.names)


def _measures(data: LabelledFeatures, images: ImagesToMeasure | None) -> pd.DataFrame | None:
    if images is None:
        return None
    if not images.folder.root.is_dir():
        log.warning("%s is not a folder: traits and clusters leave out how pictures look", images.folder.root)
        return None
    return measure_images(data.table, images.folder, kept=images.database)


def _summary(target: str, listed: pd.DataFrame, traits: pd.DataFrame) -> str:
    """Images per kind, and the strongest trait of the misclassified."""
    counts = listed["kind"].value_counts(sort=False)
    lines = [f"{target}: " + (", ".join(f"{count} {kind}" for kind, count in counts.items()) or "no outliers")]
    raising = traits[(traits["q_value"] <= SIGNIFICANT) & (traits["odds_ratio"] > 1)]
    if len(raising):
        lines.append(f"{len(raising)} traits go with being misclassified, first: {raising['sentence'].iloc[0]}")
    return "\n".join(lines)


def _out_of_sample_table(
    data: LabelledFeatures, probabilities: np.ndarray, confidence: pd.DataFrame, cluster: np.ndarray
) -> pd.DataFrame:
    """Every image's prediction by a model that has not seen it; `p_true` is the probability of its label."""
    names = np.array(data.classes, dtype=object)
    labelled = data.labels != UNLABELLED
    of_label = probabilities[np.arange(len(data.labels)), np.where(labelled, data.labels, 0)]
    return data.table[["image", "sha256", "split"]].assign(
        y_true=data.table[data.target],
        y_pred=names[probabilities.argmax(axis=1)],
        confidence=confidence["confidence"],
        p_true=np.where(labelled, of_label, np.nan),
        cluster=np.where(cluster < 0, "", cluster.astype(str)),
    )


def _outlier_table(
    listed: pd.DataFrame, predictions: pd.DataFrame, confidence: pd.DataFrame, neighbours: np.ndarray
) -> pd.DataFrame:
    """Add labels, predictions, confidence and neighbours to the listed images."""
    rows = listed["row"].to_numpy(dtype=np.int64)
    labels = predictions.iloc[rows][["image", "y_true", "y_pred"]].reset_index(drop=True)
    table = pd.concat([listed, labels, confidence.iloc[rows].reset_index(drop=True)], axis=1)
    images = predictions["image"].tolist()
    near = [json.dumps([images[i] for i in neighbours[row] if i >= 0], ensure_ascii=False) for row in rows]
    return table.assign(neighbours=near)[[*OUTLIERS.names, *OUTLIERS.optional]]
