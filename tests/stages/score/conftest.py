"""A small project with everything that score reads, and short trainings."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from stages.core.head.lstm_settings import LSTMSettings
from stages.core.head.recipe import Recipe
from stages.core.head.settings import TrainSettings
from stages.core.records import producers
from stages.core.records.artefacts import BACKBONE_CARD, SPLIT_REPORT
from stages.core.records.outputs import adopt, write_outputs
from stages.core.tables.columns import SPLIT_IMAGES
from stages.score.score_protocol import ScorePaths, score_protocol
from stages.score.settings import ScoreSettings
from tests.stages.conftest import Project

RECIPE = Recipe(
    head=LSTMSettings(hidden_size=8, projection=8), train=TrainSettings(epochs=3, batch_size=16, lr=0.01, patience=3)
)
OWN = {"source": "own", "official_attribute": None, "drop_leaks": False}
OFFICIAL = {"source": "official", "official_attribute": "style", "drop_leaks": False}


class ScoredProject:
    """Paths of a project, and `score` with short trainings."""

    def __init__(self, project: Project) -> None:
        root = project.splits.parent
        self.project = project
        self.paths = ScorePaths(
            features=project.features,
            manifest=root / "manifest.csv",
            splits=project.splits,
            split_report=root / "split_report.json",
            backbone=root / "models" / "backbone.json",
            work=root / ".scoring" / "own",
            destination=root / "reports" / "scores" / "own",
        )
        self.split_as(OWN)
        self.ingested_from("csv")
        self.paths.backbone.parent.mkdir()
        self.prepared({"weights": "random"})

    def split_as(self, settings: dict[str, object]) -> None:
        report = {"settings": settings, "official_attribute": settings["official_attribute"]}
        self.paths.split_report.write_text(json.dumps(report), encoding="utf-8")
        adopt(self.paths.split_report, SPLIT_REPORT)
        adopt(self.paths.splits, SPLIT_IMAGES)

    def ingested_from(self, source: str) -> None:
        home = self.paths.manifest.parent
        with write_outputs(producers.INGEST, home, settings={"source": source}, inputs={}) as outputs:
            table = self.project.table[["image", "style"]]
            table.to_csv(outputs.path(self.paths.manifest), index=False)

    def prepared(self, card: dict[str, object]) -> None:
        self.paths.backbone.write_text(json.dumps(card), encoding="utf-8")
        adopt(self.paths.backbone, BACKBONE_CARD)

    def score(self, protocol: str = "own", n_jobs: int = 1, recipe: Recipe = RECIPE, **settings: int) -> str:
        return score_protocol(
            protocol=protocol,
            targets=["style"],
            settings=ScoreSettings(**{"seeds": 2, "resamples": 100} | settings),
            recipe=recipe,
            paths=self.paths,
            n_jobs=n_jobs,
        )

    def summary(self) -> dict:
        return json.loads((self.paths.destination / "score.json").read_text(encoding="utf-8"))

    def text(self, name: str) -> str:
        return (self.paths.destination / name).read_text(encoding="utf-8")

    def predictions(self) -> pd.DataFrame:
        return pd.read_csv(self.paths.destination / "style" / "predictions.csv", dtype=str)

    def kept(self) -> list[Path]:
        """The results of finished heads."""
        return sorted((self.paths.work / "style").glob("[0-9a-f]*.safetensors"))

    def probes(self) -> list[Path]:
        return sorted((self.paths.work / "style").glob("probe-*.safetensors"))


@pytest.fixture
def scored(make_project: Callable[..., Project]) -> ScoredProject:
    """Sixty images of three classes, hard enough that heads err."""
    return ScoredProject(make_project(["dabs", "dots", "glaze"] * 20, noise=4.0))
