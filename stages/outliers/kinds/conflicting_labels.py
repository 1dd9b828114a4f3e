"""Conflicting labels: copies of one picture that carry different labels.

In: labels and groups of duplicates. Out: the images of every such group, those with the most labels first.
"""

import pandas as pd

from stages.outliers.outlier_kind import Evidence, OutlierKind, ranked_table


def find_conflicting_labels(evidence: Evidence) -> pd.DataFrame:
    """Rank duplicates whose labels disagree by the number of labels that their picture has."""
    data = evidence.data
    labelled = data.table[data.table[data.target] != ""]
    labels = labelled.groupby("group")[data.target].agg(lambda column: sorted(set(column)))
    conflicts = labels[labels.map(len) > 1]
    members = labelled[labelled["group"].isin(conflicts.index)]
    found = members["group"].map(conflicts)
    return ranked_table(
        members.index.to_numpy(),
        found.map(len).to_numpy(dtype=float),
        [f"copies of this picture are labelled {', '.join(names)}" for names in found],
    )


KIND = OutlierKind(
    name="conflicting_labels",
    title="Conflicting labels",
    explanation="Copies of one picture that carry different labels: at most one of them is right.",
    page_order=4,
    find=find_conflicting_labels,
    counts=True,
)
