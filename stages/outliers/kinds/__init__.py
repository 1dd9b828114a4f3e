"""The registry of outlier kinds: one module per kind, one entry each.

In: nothing. Out: `KINDS`, in the order in which outliers.csv lists them. To add a kind, write a module with a `KIND`
and list it here; the pages learn its texts from `reports/TARGET/outlier_kinds.csv`.
"""

from stages.outliers.kinds import conflicting_labels, low_confidence, out_of_distribution, suspect_label
from stages.outliers.outlier_kind import OutlierKind

KINDS: tuple[OutlierKind, ...] = (
    low_confidence.KIND,
    suspect_label.KIND,
    out_of_distribution.KIND,
    conflicting_labels.KIND,
)
