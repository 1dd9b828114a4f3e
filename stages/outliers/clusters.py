"""Groups of misclassified images that look alike to the network, and what marks each of them.

In: features, out-of-sample predictions and `levels`. Out: the rows of clusters.csv and every image's cluster.
"""

import json

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from stages.core.features.labelled import UNLABELLED, LabelledFeatures
from stages.core.tables.columns import CLUSTERS
from stages.outliers.levels import UNKNOWN, Property
from stages.outliers.traits import SIGNIFICANT, odds_ratios

COLUMNS = CLUSTERS.names
DIMENSIONS = 50
EXAMPLES = 12
MARKS = 3
# There are no more clusters than would hold so many misclassified images on average …
AVERAGE = 10
# … and fewer images than this are no group: they lie apart from all others.
SMALLEST = 5


def find_clusters(
    data: LabelledFeatures,
    predicted: np.ndarray,
    features: np.ndarray,
    properties: list[Property],
    *,
    most: int,
    random_state: int,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Group the misclassified by k-means of their leading principal components.

    Parameters
    ----------
    data
        The labels; unlabelled images are left out.
    predicted
        Shape `(n,)`: the class that a head which has not seen the image gives it.
    features
        Shape `(n, channels)`, float32, standardised.
    properties
        Of `levels.divide`.
    most
        Clusters at most; there are fewer if they would hold fewer than ten images on average, and a cluster of fewer
        than five is left out.
    random_state
        Seed of the starting points.

    Returns
    -------
    table : DataFrame
        The columns of clusters.csv, largest cluster first; `examples` are the images nearest to the middle, one of
        each group of duplicates, as a JSON array.
    cluster : ndarray
        Shape `(n,)`: every image's cluster as in the table, from 0; -1 where the image is in none.
    """
    labelled = data.labels != UNLABELLED
    wrong = np.flatnonzero(labelled & (predicted != data.labels))
    cluster = np.full(len(data.labels), UNKNOWN)
    count = min(most, len(wrong) // AVERAGE)
    if count < 1:
        return pd.DataFrame(columns=COLUMNS), cluster
    dimensions = min(DIMENSIONS, len(wrong), features.shape[1])
    points = PCA(dimensions, svd_solver="randomized", random_state=random_state).fit_transform(features[wrong])
    found = KMeans(count, n_init=10, random_state=random_state).fit(points)
    sizes = np.bincount(found.labels_, minlength=count)
    order = np.argsort(-sizes, kind="stable")
    order = order[sizes[order] >= SMALLEST]
    names = np.full(count, UNKNOWN)
    names[order] = np.arange(len(order))
    cluster[wrong] = names[found.labels_]
    ways = [*properties, _as_predicted(data, predicted)]
    from_middle = np.linalg.norm(points - found.cluster_centers_[found.labels_], axis=1)
    rows = []
    for number in range(len(order)):
        inside = cluster[wrong] == number
        nearest = wrong[inside][np.argsort(from_middle[inside], kind="stable")]
        members = cluster == number
        sentence = _marks(ways, members, labelled & ~members)
        rows.append((number, len(nearest), _examples(data, nearest), sentence))
    return pd.DataFrame(rows, columns=COLUMNS), cluster


def _as_predicted(data: LabelledFeatures, predicted: np.ndarray) -> Property:
    phrases = [f"Images taken for {name}" for name in data.classes]
    return Property("taken for", data.classes, phrases, predicted, list(range(len(data.classes))))


def _examples(data: LabelledFeatures, nearest: np.ndarray) -> str:
    rows = data.table.iloc[nearest].drop_duplicates("group").head(EXAMPLES)
    return json.dumps(rows["image"].tolist(), ensure_ascii=False)


def _marks(ways: list[Property], members: np.ndarray, others: np.ndarray) -> str:
    """The levels that are over-represented in a cluster beside all other images, strongest first, one per property."""
    tables = []
    for way in ways:
        known = way.codes != UNKNOWN
        inside = np.bincount(way.codes[members & known], minlength=len(way.levels))
        outside = np.bincount(way.codes[others & known], minlength=len(way.levels))
        counts = pd.DataFrame({"with": inside, "without": inside.sum() - inside, "others": outside})
        counts["others_without"] = outside.sum() - outside
        tables.append(counts.assign(property=way.name, phrase=way.phrases).iloc[way.shown])
    table = pd.concat(tables, ignore_index=True)
    effects = odds_ratios(table["with"], table["without"], table["others"], table["others_without"])
    table = table.join(effects).assign(q_value=false_discovery_control(effects["p_value"]))
    marks = table[(table["q_value"] <= SIGNIFICANT) & (table["odds_ratio"] > 1)]
    marks = marks.sort_values("ci_low", ascending=False, kind="stable").drop_duplicates("property").head(MARKS)
    if marks.empty:
        return "Nothing marks these images"
    return "; ".join(
        f"{_share(row.with_, row.without)} are {row.phrase[0].lower()}{row.phrase[1:]}, "
        f"of all others {_share(row.others, row.others_without)}"
        for row in marks.rename(columns={"with": "with_"}).itertuples()
    )


def _share(count: int, rest: int) -> str:
    return f"{100 * count / max(count + rest, 1):.0f} %"
