"""Two runs of one collection, trained and evaluated for real; the first head has learned from shuffled labels."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages.compare.compare_runs import compare_runs
from stages.compare.settings import CompareSettings
from stages.core.head.recipe import Recipe
from stages.core.head.settings import TrainSettings
from stages.core.records import producers
from stages.core.records.outputs import write_outputs
from stages.evaluate.evaluate_head import evaluate_head
from stages.evaluate.settings import EvaluateSettings
from stages.train.train_head import train_head
from tests.stages.conftest import Project, plain_lstm

IMAGES = 200
TRUTH = ["dabs", "dots", "=glaze|<b>", "ink line"] * (IMAGES // 4)
SPLITS = ["train", "train", "train", "val", "test"] * (IMAGES // 5)


def make_table(labels: list[str]) -> pd.DataFrame:
    """Images of which the last two of test are copies of one picture."""
    groups = [f"g{i:03d}" for i in range(IMAGES)]
    groups[199] = groups[194]
    return pd.DataFrame(
        {
            "image": [f"{i:03d}.jpg" for i in range(IMAGES)],
            "style": labels,
            "sha256": [hashlib.sha256(f"{i}".encode()).hexdigest() for i in range(IMAGES)],
            "width": 9, "height": 9, "mode": "RGB",
            "group": groups,
            "split": SPLITS,
        }
    )  # fmt: skip


def make_run(root: Path, labels: list[str], seed: int, **head: object) -> None:
    """Train and evaluate a head in a folder laid out as a project."""
    (root / "data").mkdir(parents=True)
    project = Project(root / "data", make_table(labels), TRUTH, noise=2.0, seed=0)
    with write_outputs(producers.SPLIT, root / "data", settings={"random_state": 0}, inputs={}) as outputs:
        shutil.copy(project.splits, outputs.path(project.splits))
    recipe = Recipe(
        head=plain_lstm(hidden_size=8, **head), train=TrainSettings(epochs=3, lr=0.02, random_state=seed, patience=3)
    )
    inputs = {"features": project.features, "splits": project.splits}
    folder = root / "models" / "heads" / "style"
    train_head(target="style", recipe=recipe, **inputs, destination=folder, work=root / ".training")
    settings = EvaluateSettings(resamples=100, logistic_regression_C=[0.01])
    evaluate_head(target="style", settings=settings, **inputs, head=folder, destination=root / "reports" / "style")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders `one` and `two`. Tests only read them."""
    folder = tmp_path_factory.mktemp("compared")
    train = np.flatnonzero(np.array(SPLITS) == "train")
    shuffled = np.array(TRUTH, dtype=object)
    shuffled[train] = np.random.default_rng(0).permutation(shuffled[train])
    make_run(folder / "one", shuffled.tolist(), seed=1)
    make_run(folder / "two", TRUTH, seed=2, power_norm=0.5)
    return folder


class Runs:
    """A copy of the two runs that a test may change."""

    def __init__(self, root: Path) -> None:
        self.root, self.destination = root, root / "reports" / "comparison"

    def compare(self, a: str = "one", b: str = "two", **options: object) -> str:
        return compare_runs(
            a=a, b=b, root=self.root, destination=self.destination, settings=CompareSettings(resamples=200), **options
        )

    def summary(self) -> dict:
        return json.loads((self.destination / "comparison.json").read_text(encoding="utf-8"))

    def style(self) -> dict:
        return self.summary()["targets"]["style"]


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> Runs:
    return Runs(Path(shutil.copytree(trained, tmp_path / "runs")))
