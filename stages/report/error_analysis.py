"""Read the error analysis of one target: traits and clusters of the misclassified (error slices), and calibration.

In: `traits.csv`, `clusters.csv`, `out_of_sample.csv` and `reliability.csv` of one target. Out: an `ErrorAnalysis`, in
which a table is None where its file is missing; a page leaves its section out.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from stages.core.errors import StageError
from stages.core.tables.csv_files import read_text_table, with_numbers

TRAIT_COLUMNS = [
    "property",
    "level",
    "n",
    "misclassified_share",
    "odds_ratio",
    "ci_low",
    "ci_high",
    "p_value",
    "q_value",
    "sentence",
]
CLUSTER_COLUMNS = ["cluster", "size", "examples", "sentence"]
OUT_OF_SAMPLE_COLUMNS = ["image", "y_true", "y_pred", "confidence", "p_true"]
RELIABILITY_COLUMNS = ["split", "scaling", "n", "confidence", "accuracy"]
# Largest false discovery rate at which a trait is reported as significant.
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Cluster:
    """Misclassified images that are close in feature space: their number, examples, and what they have in common."""

    name: str
    size: int
    examples: list[str]
    sentence: str


@dataclass(frozen=True)
class ErrorAnalysis:
    """Where and how one target's head fails.

    Attributes
    ----------
    traits
        Properties that go with being misclassified, ranked; None without `traits.csv`.
    clusters
        Clusters of the misclassified, as listed.
    out_of_sample
        A row per image with the prediction of a head that has not seen it; None without `out_of_sample.csv`.
    reliability
        Bins of confidence; None without `reliability.csv`.
    """

    traits: pd.DataFrame | None
    clusters: list[Cluster]
    out_of_sample: pd.DataFrame | None
    reliability: pd.DataFrame | None

    @property
    def significant(self) -> pd.DataFrame | None:
        """Traits whose false discovery rate is 5 % or less."""
        return None if self.traits is None else self.traits[self.traits["q_value"] <= SIGNIFICANT]

    @property
    def out_of_sample_accuracy(self) -> tuple[float, int] | None:
        """Accuracy on all labelled images by heads that have not seen them, and the number of these images."""
        if self.out_of_sample is None:
            return None
        labelled = self.out_of_sample[self.out_of_sample["y_true"] != ""]
        return float((labelled["y_true"] == labelled["y_pred"]).mean()), len(labelled)


def read_error_analysis(target: str, results: Path) -> ErrorAnalysis:
    """Read one target's error analysis from `results/TARGET`.

    Raises
    ------
    StageError
        If a file exists and is unreadable.
    """
    folder, command = results / target, f"pipeline find-outliers --target {target}"
    numbers = ["n", "misclassified_share", "odds_ratio", "ci_low", "ci_high", "p_value", "q_value"]
    return ErrorAnalysis(
        traits=_read_optional(folder / "traits.csv", TRAIT_COLUMNS, numbers, command),
        clusters=_read_clusters(folder / "clusters.csv", command),
        out_of_sample=read_out_of_sample(target, results),
        reliability=_read_optional(
            folder / "reliability.csv",
            RELIABILITY_COLUMNS,
            ["n", "confidence", "accuracy"],
            f"pipeline evaluate --target {target}",
        ),
    )


def read_out_of_sample(target: str, results: Path) -> pd.DataFrame | None:
    """Read every image's prediction by a head that has not seen it; None without `out_of_sample.csv`."""
    path = results / target / "out_of_sample.csv"
    command = f"pipeline find-outliers --target {target}"
    return _read_optional(path, OUT_OF_SAMPLE_COLUMNS, ["confidence", "p_true"], command)


def _read_optional(path: Path, required: Sequence[str], numbers: Sequence[str], command: str) -> pd.DataFrame | None:
    return with_numbers(read_text_table(path, required, command), numbers) if path.is_file() else None


def _read_clusters(path: Path, command: str) -> list[Cluster]:
    table = _read_optional(path, CLUSTER_COLUMNS, ["size"], command)
    if table is None:
        return []
    try:
        examples = [[str(image) for image in json.loads(text or "[]")] for text in table["examples"]]
    except (ValueError, TypeError):
        raise StageError(f"{path}: a cell of `examples` is not a JSON array: run `{command}` again") from None
    sizes = table["size"].fillna(0).astype(np.int64)
    return [
        Cluster(name, int(size), images, sentence)
        for name, size, images, sentence in zip(table["cluster"], sizes, examples, table["sentence"], strict=True)
    ]
