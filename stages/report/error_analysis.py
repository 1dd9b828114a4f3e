"""Read the error analysis of one target: traits and clusters of the misclassified (error slices), and calibration.

In: `traits.csv`, `clusters.csv`, `out_of_sample.csv` and `reliability.csv` of one target. Out: an `ErrorAnalysis`, in
which a table is None where its file is missing; a page leaves its section out.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from stages.core.errors import StageError
from stages.core.tables.columns import CLUSTERS, OUT_OF_SAMPLE, RELIABILITY, TRAITS, TableContract
from stages.core.tables.csv_files import read_table, with_numbers

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
        A row per image with the prediction of a model that has not seen it; None without `out_of_sample.csv`.
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
        """Accuracy on all labelled images by models that have not seen them, and the number of these images."""
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
    folder = results / target
    return ErrorAnalysis(
        traits=_read_optional(folder / "traits.csv", TRAITS, target),
        clusters=_read_clusters(folder / "clusters.csv", target),
        out_of_sample=read_out_of_sample(target, results),
        reliability=_read_optional(folder / "reliability.csv", RELIABILITY, target),
    )


def read_out_of_sample(target: str, results: Path) -> pd.DataFrame | None:
    """Read every image's prediction by a model that has not seen it; None without `out_of_sample.csv`."""
    return _read_optional(results / target / "out_of_sample.csv", OUT_OF_SAMPLE, target)


def _read_optional(path: Path, contract: TableContract, target: str) -> pd.DataFrame | None:
    return with_numbers(read_table(path, contract, target=target), contract.numbers) if path.is_file() else None


def _read_clusters(path: Path, target: str) -> list[Cluster]:
    table = _read_optional(path, CLUSTERS, target)
    if table is None:
        return []
    try:
        examples = [[str(image) for image in json.loads(text or "[]")] for text in table["examples"]]
    except (ValueError, TypeError):
        command = CLUSTERS.command_for(target)
        raise StageError(f"{path}: a cell of `examples` is not a JSON array: run `{command}` again") from None
    sizes = table["size"].fillna(0).astype(np.int64)
    return [
        Cluster(name, int(size), images, sentence)
        for name, size, images, sentence in zip(table["cluster"], sizes, examples, table["sentence"], strict=True)
    ]
