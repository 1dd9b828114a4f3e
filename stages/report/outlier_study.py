"""Read what the outlier study knows beyond its list: what the misclassified have in common, and where they cluster.

In: `traits.csv`, `clusters.csv`, `out_of_sample.csv` and `reliability.csv` of one target. Out: a `Study`, in which a
table is None where its file is not there: these files came later than the others, and a page does without them.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from stages.core.errors import StageError
from stages.core.tables.columns import CLUSTERS, OUT_OF_SAMPLE, RELIABILITY, TRAITS, TableContract
from stages.core.tables.csv_files import read_table, with_numbers

# False discovery rate up to which a trait is called one.
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Cluster:
    """Misclassified images that lie together: how many, some of them, and what marks them."""

    name: str
    size: int
    examples: list[str]
    sentence: str


@dataclass(frozen=True)
class Study:
    """What is known of one target beyond its outliers.

    Attributes
    ----------
    traits
        Properties that go with being misclassified, ranked; None without `traits.csv`.
    clusters
        Clusters of the misclassified, as listed.
    out_of_sample
        A row per image with the prediction of a head that had not seen it; None without its file.
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
        """Share of all labelled images that are predicted right by a head that had not seen them, and their number."""
        if self.out_of_sample is None:
            return None
        labelled = self.out_of_sample[self.out_of_sample["y_true"] != ""]
        return (labelled["y_true"] == labelled["y_pred"]).mean(), len(labelled)


def read_study(target: str, results: Path) -> Study:
    """Read one target's study from `results/TARGET`.

    Raises
    ------
    StageError
        If a file that is there is unreadable.
    """
    folder = results / target
    return Study(
        traits=_optional(folder / "traits.csv", TRAITS, target),
        clusters=_clusters(folder / "clusters.csv", target),
        out_of_sample=read_out_of_sample(target, results),
        reliability=_optional(folder / "reliability.csv", RELIABILITY, target),
    )


def read_out_of_sample(target: str, results: Path) -> pd.DataFrame | None:
    """Read every image's prediction by a head that had not seen it, or None where there is no such file."""
    return _optional(results / target / "out_of_sample.csv", OUT_OF_SAMPLE, target)


def _optional(path: Path, contract: TableContract, target: str) -> pd.DataFrame | None:
    return with_numbers(read_table(path, contract, target=target), contract.numbers) if path.is_file() else None


def _clusters(path: Path, target: str) -> list[Cluster]:
    table = _optional(path, CLUSTERS, target)
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
