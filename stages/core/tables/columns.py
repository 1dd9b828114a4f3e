"""Column contracts: which columns each table has, which command writes it, and what a label column is.

In: column names. Out: contracts for `read_table`, and the label columns of a table. Files are left to `csv_files`.
This module imports no table library, so that settings can use it.
"""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from stages.core.errors import StageError
from stages.core.records import producers
from stages.core.records.artefacts import Artefact

Kind = Literal["text", "integer", "number", "json"]

SPLITS = ("train", "val", "test")
# A label column can be a target, which names a folder and a DVC stage: it must be harmless as both.
LABEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
LABEL_NAME_RULE = "must start with a letter or digit and hold only letters, digits, _ and - (at most 64)"
# Columns that hold the source's split for one attribute: split_style, split_genre.
SOURCE_SPLIT_PREFIX = "split_"


@dataclass(frozen=True)
class TableContract(Artefact):
    """A CSV table that one stage writes and others read: an `Artefact` with columns.

    Attributes
    ----------
    columns
        Columns that every such file has, in order, with the kind of their values.
    optional
        Columns that may follow.
    has_labels
        Whether label columns, and the source's splits, stand among the others.
    may_be_empty
        Whether a table without rows is valid.
    values
        Columns that hold one of a few texts.
    unique
        Columns in which no text occurs twice.
    """

    columns: Mapping[str, Kind]
    optional: Mapping[str, Kind] = field(default_factory=dict)
    has_labels: bool = False
    may_be_empty: bool = True
    values: Mapping[str, Sequence[str]] = field(default_factory=dict)
    unique: Sequence[str] = ()

    @property
    def names(self) -> list[str]:
        """The columns that every such file has."""
        return list(self.columns)

    @property
    def numbers(self) -> list[str]:
        """Columns with numbers, the optional ones included.

        >>> COORDINATES.numbers
        ['x', 'y']
        """
        return [name for name, kind in {**self.columns, **self.optional}.items() if kind in ("integer", "number")]


IMAGE: dict[str, Kind] = {"image": "text"}
FILE: dict[str, Kind] = {"sha256": "text", "width": "integer", "height": "integer", "mode": "text", "group": "text"}
PREDICTED: dict[str, Kind] = {"y_true": "text", "y_pred": "text", "confidence": "number"}
SCORED: dict[str, Kind] = {"image": "text", "sha256": "text", "split": "text", **PREDICTED}
MANIFEST = TableContract(
    "data/manifest.csv", producers.INGEST, IMAGE, has_labels=True, may_be_empty=False, unique=["image"]
)
INGEST_PROBLEMS = TableContract(
    "data/ingest_problems.csv",
    producers.INGEST,
    {"file": "text", "row": "integer", "problem": "text", "detail": "text"},
)
CLEAN = TableContract(
    "data/clean.csv", producers.CLEAN, IMAGE | FILE, has_labels=True, may_be_empty=False, unique=["image"]
)
REJECTED = TableContract("data/rejected.csv", producers.CLEAN, {"image": "text", "reason": "text", "detail": "text"})
CONFLICTS = TableContract(
    "data/conflicts.csv",
    producers.CLEAN,
    {"attribute": "text", "group": "text", "image": "text", "label": "text"},
)
SPLIT_IMAGES = TableContract(
    "data/splits.csv",
    producers.SPLIT,
    IMAGE | FILE | {"split": "text"},
    has_labels=True,
    may_be_empty=False,
    values={"split": SPLITS},
    unique=["image"],
)
FAILED = TableContract(
    "data/features/failed.csv", producers.EXTRACT, {"image": "text", "reason": "text", "detail": "text"}
)
PREDICTIONS = TableContract("reports/TARGET/predictions.csv", producers.EVALUATE, SCORED)
# After y_true comes a column per class, called as the class is.
CONFUSION = TableContract("reports/TARGET/confusion.csv", producers.EVALUATE, {"y_true": "text"})
PER_CLASS = TableContract(
    "reports/TARGET/per_class.csv",
    producers.EVALUATE,
    {
        "class": "text",
        "precision": "number",
        "recall": "number",
        "f1": "number",
        "support": "integer",
        "train_n": "integer",
    },
)
RELIABILITY = TableContract(
    "reports/TARGET/reliability.csv",
    producers.EVALUATE,
    {
        "split": "text",
        "scaling": "text",
        "low": "number",
        "high": "number",
        "n": "integer",
        "confidence": "number",
        "accuracy": "number",
    },
)
OUTLIERS = TableContract(
    "reports/TARGET/outliers.csv",
    producers.OUTLIERS,
    {
        "image": "text",
        "kind": "text",
        "rank": "integer",
        "score": "number",
        **PREDICTED,
        "suggested": "text",
        "reason": "text",
        "neighbours": "json",
    },
    optional={"margin": "number", "entropy": "number"},
)
OUTLIER_KINDS = TableContract(
    "reports/TARGET/outlier_kinds.csv", producers.OUTLIERS, {"kind": "text", "title": "text", "explanation": "text"}
)
OUT_OF_SAMPLE = TableContract(
    "reports/TARGET/out_of_sample.csv", producers.OUTLIERS, SCORED | {"p_true": "number", "cluster": "text"}
)
TRAITS = TableContract(
    "reports/TARGET/traits.csv",
    producers.OUTLIERS,
    {
        "property": "text",
        "level": "text",
        "n": "integer",
        "misclassified_share": "number",
        "odds_ratio": "number",
        "ci_low": "number",
        "ci_high": "number",
        "p_value": "number",
        "q_value": "number",
        "sentence": "text",
    },
)
CLUSTERS = TableContract(
    "reports/TARGET/clusters.csv",
    producers.OUTLIERS,
    {"cluster": "text", "size": "integer", "examples": "json", "sentence": "text"},
)
CHANGES = TableContract(
    "reports/comparison/changes.csv",
    producers.COMPARE,
    {
        "target": "text",
        "image": "text",
        "sha256": "text",
        "change": "text",
        "y_true": "text",
        "a_pred": "text",
        "a_confidence": "number",
        "b_pred": "text",
        "b_confidence": "number",
    },
    values={"change": ("gained", "lost", "both_wrong")},
)
COORDINATES = TableContract(
    "reports/coordinates.csv", producers.COORDINATES, {"sha256": "text", "x": "number", "y": "number"}
)
SELFCHECK = TableContract(
    "reports/selfcheck.csv",
    producers.REPORT_INDEX,
    {"stage": "text", "fault": "text", "planted": "integer", "found": "integer", "detail": "text"},
)
REVIEW = TableContract(
    "data/review.csv",
    producers.REVIEW,
    {"image": "text", "sha256": "text", "target": "text", "decision": "text", "label": "text", "when": "text"},
)
ANSWER_KEY = TableContract(
    "data/demo/answer_key.csv",
    producers.DEMO,
    {"image": "text", "fault": "text", "attribute": "text", "truth": "text", "detail": "text"},
    may_lack_record=True,
)
TABLES = (
    MANIFEST,
    INGEST_PROBLEMS,
    CLEAN,
    REJECTED,
    CONFLICTS,
    SPLIT_IMAGES,
    FAILED,
    PREDICTIONS,
    CONFUSION,
    PER_CLASS,
    RELIABILITY,
    OUTLIERS,
    OUTLIER_KINDS,
    OUT_OF_SAMPLE,
    TRAITS,
    CLUSTERS,
    CHANGES,
    COORDINATES,
    SELFCHECK,
    REVIEW,
    ANSWER_KEY,
)

# Stages write these columns; a label column of the same name would be overwritten.
RESERVED_NAMES = frozenset(IMAGE | FILE)


def is_source_split(column: str) -> bool:
    """Whether a column holds a split: the source's (`split` in the manifest, `split_style`) or that of `split`.

    >>> [is_source_split(name) for name in ("split", "split_style", "style")]
    [True, True, False]
    """
    return column == "split" or column.startswith(SOURCE_SPLIT_PREFIX)


def label_columns(columns: Iterable[str]) -> list[str]:
    """The label columns of a table, given the table or its column names, in order.

    >>> label_columns(["image", "style", "split_style", "sha256", "period", "split"])
    ['style', 'period']
    """
    return [column for column in columns if column not in RESERVED_NAMES and not is_source_split(column)]


def label_name_problem(name: str) -> str:
    """What keeps a text from naming a label column; empty if nothing does.

    >>> label_name_problem("style")
    ''
    >>> label_name_problem("Art Style")
    'must start with a letter or digit and hold only letters, digits, _ and - (at most 64)'
    """
    return "" if LABEL_NAME.fullmatch(name) else LABEL_NAME_RULE


def missing_label_columns(targets: Sequence[str], columns: Iterable[str], where: object) -> str:
    """What is wrong if targets are no label columns, with the columns that are, and the nearest; empty if all are.

    >>> missing_label_columns(["styel"], ["image", "style", "period"], "data/splits.csv")
    "data/splits.csv has no label column 'styel'; it has: style, period (nearest: style)"
    >>> missing_label_columns(["style"], ["image", "style", "period"], "data/splits.csv")
    ''
    """
    present = label_columns(columns)
    missing = [target for target in targets if target not in present]
    if not missing:
        return ""
    by_lower_case = {name.lower(): name for name in present}
    near = [difflib.get_close_matches(target.lower(), by_lower_case, n=1) for target in missing]
    nearest = ", ".join(dict.fromkeys(by_lower_case[names[0]] for names in near if names))
    return f"{where} has no label column {', '.join(map(repr, missing))}; it has: {', '.join(present) or 'none'}" + (
        f" (nearest: {nearest})" if nearest else ""
    )


def require_label_column(target: str, columns: Iterable[str], where: object) -> None:
    """Refuse a target that is no label column of a table.

    Raises
    ------
    StageError
        With the label columns that exist, and the nearest name.
    """
    if problem := missing_label_columns([target], columns, where):
        raise StageError(problem)
