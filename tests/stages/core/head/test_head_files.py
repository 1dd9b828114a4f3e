"""A head's two files: plain torch can read them, as docs/head.md shows, and they say what the head was trained on."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from stages.core.errors import StageError
from stages.core.head.files import load_head
from stages.core.head.lstm_settings import LSTMSettings
from stages.core.head.predict_logits import predict_logits
from stages.core.head.recipe import Recipe
from stages.core.head.settings import TrainSettings
from stages.core.records.artefacts import HEAD_CARD
from stages.core.records.outputs import adopt
from stages.core.tables.columns import SPLIT_IMAGES
from stages.evaluate.evaluate_head import evaluate_head
from stages.evaluate.settings import EvaluateSettings
from stages.outliers.find_outliers import find_outliers
from stages.outliers.settings import OutlierSettings
from stages.predict.predict_images import load_heads
from stages.train.train_head import train_head
from tests.chain import adopt_features
from tests.conftest import REPOSITORY
from tests.stages.conftest import Project

MakeProject = Callable[..., Project]
DOCUMENT = (REPOSITORY / "docs" / "head.md").read_text(encoding="utf-8")
READ_FEATURES, HEAD_LINES = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
REPLACEMENTS = re.findall(r"^\| `(\w+): (\w+)` \| `(.+?)` \| (?:`(.+?)`|nothing) \|$", DOCUMENT, re.MULTILINE)


@pytest.fixture
def project(make_project: MakeProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project that stands in the current folder as a person's does, for the document's paths."""
    project = make_project(["dabs", "dots", "glaze"] * 15)
    (tmp_path / "data").mkdir()
    project.features = project.features.rename(tmp_path / "data" / "features")
    adopt_features(project.features)
    project.table.rename(columns={"style": "genre"}).to_csv(project.splits, index=False)
    adopt(project.splits, SPLIT_IMAGES)
    project.head = tmp_path / "models" / "heads" / "genre"
    monkeypatch.chdir(tmp_path)
    return project


def train(project: Project, **head: object) -> None:
    train_head(
        target="genre",
        recipe=Recipe(
            head=LSTMSettings(**{"hidden_size": 8} | head), train=TrainSettings(epochs=2, batch_size=16, lr=0.01)
        ),
        features=project.features,
        splits=project.splits,
        destination=project.head,
        work=project.work,
    )


def as_documented(code: str, project: Project) -> None:
    """Run the document's lines and compare with the project's own code."""
    found: dict = {}
    exec(READ_FEATURES + code, found)
    head, card = load_head(project.head)
    expected = predict_logits(head, found["features"].numpy())
    assert np.abs(expected).max() > 0.01  # both paths start silent: something was learned
    np.testing.assert_allclose(found["logits"].detach().numpy(), expected, atol=1e-4)
    torch.testing.assert_close(found["probabilities"].sum(1), torch.ones(len(expected)))
    assert len(card["classes"]) == expected.shape[1]


def test_ten_lines_of_plain_torch_are_the_default_head(project: Project) -> None:
    train(project)
    assert len([line for line in HEAD_LINES.splitlines() if line]) == 10
    assert "stages" not in HEAD_LINES
    as_documented(HEAD_LINES, project)


@pytest.mark.parametrize(("setting", "value", "old", "new"), REPLACEMENTS)
def test_every_replacement_of_the_document_is_the_head_of_that_setting(
    project: Project, setting: str, value: str, old: str, new: str
) -> None:
    train(project, **{setting: int(value) if value.isdigit() else value})
    assert old in HEAD_LINES
    as_documented(HEAD_LINES.replace(old, new), project)


def test_the_document_knows_every_setting_that_changes_the_lines() -> None:
    assert [(setting, value) for setting, value, _, _ in REPLACEMENTS] == [
        ("readout", "last"), ("projection", "0"), ("skip", "none"), ("input_norm", "layer_norm"),
    ]  # fmt: skip


def test_a_head_of_one_direction_needs_no_other_line(project: Project) -> None:
    train(project, bidirectional=False, power_norm=1.0, input_norm="none", skip="probe")
    as_documented(HEAD_LINES, project)


def test_the_card_says_what_the_head_was_trained_on(project: Project) -> None:
    train(project)
    card = json.loads((project.head / "head.json").read_text())
    assert card["classes"] == ["dabs", "dots", "glaze"]
    assert card["fingerprint"] == json.loads((project.features / "fingerprint.json").read_text())["fingerprint"]
    assert {"splits_sha256", "labels_sha256", "settings", "temperature"} <= set(card)
    assert card["versions"]["torch"] == torch.__version__
    assert {"art-feature-pipeline", "numpy", "python"} <= set(card["versions"])


@pytest.mark.parametrize("key", ["labels_sha256", "fingerprint", "temperature", "epoch"])
def test_a_head_of_an_older_version_is_refused_by_all_who_use_one(project: Project, key: str) -> None:
    train(project)
    card = json.loads((project.head / "head.json").read_text())
    fingerprint = card["fingerprint"]
    del card[key]
    (project.head / "head.json").write_text(json.dumps(card))
    adopt(project.head / "head.json", HEAD_CARD, "genre")
    paths = {"features": project.features, "splits": project.splits, "head": project.head}
    said = f"head.json lacks {key}: .* run `pipeline train-head --target genre` again"
    with pytest.raises(StageError, match=said):
        evaluate_head(target="genre", settings=EvaluateSettings(), destination=project.reports, **paths)
    with pytest.raises(StageError, match=said):
        find_outliers(target="genre", settings=OutlierSettings(), destination=project.reports, **paths)
    with pytest.raises(StageError, match=said):
        load_heads(project.head.parent, ["genre"], fingerprint)


def test_a_head_of_other_features_is_refused_by_all_who_use_one(project: Project) -> None:
    train(project)
    card = json.loads((project.head / "head.json").read_text())
    (project.head / "head.json").write_text(json.dumps(card | {"fingerprint": "0" * 64}))
    adopt(project.head / "head.json", HEAD_CARD, "genre")
    paths = {"features": project.features, "splits": project.splits, "head": project.head}
    said = r"was trained on features 0{16}, the current ones are .*: run `pipeline train-head --target genre` again"
    with pytest.raises(StageError, match=said):
        evaluate_head(target="genre", settings=EvaluateSettings(), destination=project.reports, **paths)
    with pytest.raises(StageError, match=said):
        find_outliers(target="genre", settings=OutlierSettings(), destination=project.reports, **paths)
    with pytest.raises(StageError, match=said):
        load_heads(project.head.parent, ["genre"], card["fingerprint"])
