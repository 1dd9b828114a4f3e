"""A new head is one entry in the registry: every stage that uses a head then works with it."""

import json
from collections.abc import Callable
from typing import Literal

import pytest
import torch
from torch import nn

from stages.core.errors import StageError
from stages.core.head.files import load_head
from stages.core.head.lstm_settings import LSTMSettings
from stages.core.head.protocol import Head
from stages.core.head.recipe import Recipe, read_recipe
from stages.core.head.registry import HEADS, HeadKind
from stages.core.head.settings import HeadSettings, TrainSettings
from stages.core.records.artefacts import HEAD_CARD
from stages.core.records.outputs import adopt
from stages.evaluate.evaluate_head import evaluate_head
from stages.evaluate.settings import EvaluateSettings
from stages.outliers.find_outliers import find_outliers
from stages.outliers.settings import OutlierSettings
from stages.train.train_head import train_head
from stages.tune.settings import SearchSpace, TuneSettings
from stages.tune.tune_head import tune_head
from tests.stages.conftest import Project

MakeProject = Callable[..., Project]


class MeanSettings(HeadSettings):
    kind: Literal["mean"] = "mean"
    scale: float = 1.0


class MeanHead(Head[MeanSettings]):
    """A linear layer on the mean token."""

    def __init__(self, settings: MeanSettings, *, channels: int, classes: int) -> None:
        super().__init__(settings, channels=channels, classes=classes)
        self.layer = nn.Linear(channels, classes)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.settings.scale * self.layer(features.float().mean(dim=1))


@pytest.fixture
def _mean_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HEADS, "mean", HeadKind("Mean head", MeanSettings, lambda: MeanHead))


def train(project: Project, recipe: Recipe) -> None:
    train_head(
        target="style", recipe=recipe, features=project.features, splits=project.splits, destination=project.head,
        work=project.work,
    )  # fmt: skip


@pytest.mark.usefixtures("_mean_head")
def test_every_stage_works_with_a_head_that_is_one_entry(make_project: MakeProject) -> None:
    project = make_project(["dabs", "dots", "glaze"] * 20)
    recipe = Recipe(head={"kind": "mean", "scale": 0.5}, train=TrainSettings(epochs=12, batch_size=16, lr=0.01))
    train(project, recipe)
    head, card = load_head(project.head)
    assert isinstance(head, MeanHead)
    assert card["settings"]["head"] == {"kind": "mean", "scale": 0.5}
    paths = {"features": project.features, "splits": project.splits}
    evaluate_head(
        target="style",
        settings=EvaluateSettings(resamples=100),
        head=project.head,
        destination=project.reports,
        **paths,
    )
    metrics = json.loads((project.reports / "metrics.json").read_text())
    assert metrics["test"]["accuracy"] > 0.9
    assert metrics["comparison"]["test"]["words"].startswith("Mean head against logistic regression")
    find_outliers(target="style", settings=OutlierSettings(), head=project.head, destination=project.reports, **paths)
    assert (project.reports / "outliers.csv").exists()
    space = SearchSpace(head={"scale": [0.5, 1.0]}, train={})
    found = tune_head(
        target="style", settings=TuneSettings(trials=2, space=space), recipe=recipe, work=project.work, **paths
    )
    assert found.values.keys() == {"head.scale"}


def test_a_kind_that_no_entry_has_and_a_key_of_another_head_are_refused() -> None:
    with pytest.raises(ValueError, match=r"head\.kind\n.*should be 'lstm'"):
        Recipe(head={"kind": "gru"})
    with pytest.raises(ValueError, match=r"head\.scale\n.*Extra inputs"):
        Recipe(head={"scale": 2.0})


def test_settings_survive_the_card_and_one_that_is_missing_is_refused(make_project: MakeProject) -> None:
    recipe = Recipe(head=LSTMSettings(hidden_size=8, skip="none"), train=TrainSettings(epochs=1))
    assert read_recipe({"settings": json.loads(json.dumps(recipe.model_dump()))}) == recipe
    project = make_project(["dabs", "dots", "glaze"] * 5)
    train(project, recipe)
    card = json.loads((project.head / "head.json").read_text())
    del card["settings"]["head"]["readout"]
    (project.head / "head.json").write_text(json.dumps(card))
    adopt(project.head / "head.json", HEAD_CARD, "style")
    with pytest.raises(StageError, match=r"lacks the settings readout of head\): run `pipeline train-head"):
        load_head(project.head)
