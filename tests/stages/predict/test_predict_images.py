"""predict finds the heads that exist, refuses the others, and writes its answers for a terminal."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.core.errors import StageError
from stages.core.head.lstm_settings import LSTMSettings
from stages.core.head.recipe import Recipe
from stages.core.head.settings import TrainSettings
from stages.predict.predict_images import load_heads, predictions_as_text
from stages.train.train_heads import train_heads
from tests.stages.conftest import Project


@pytest.fixture
def heads(make_project: Callable[..., Project], tmp_path: Path) -> Path:
    """A folder with the head of `style`."""
    project = make_project(["dabs", "dots", "glaze"] * 15)
    recipe = Recipe(head=LSTMSettings(hidden_size=8), train=TrainSettings(epochs=1, batch_size=16))
    folder = tmp_path / "heads"
    trained = train_heads(
        targets=["style"], recipe=recipe, features=project.features, splits=project.splits, heads=folder,
        work=tmp_path / "work",
    )  # fmt: skip
    assert len(list(trained)) == 1
    return folder


def fingerprint_of(heads: Path) -> str:
    return json.loads((heads / "style" / "head.json").read_text(encoding="utf-8"))["fingerprint"]


def test_without_targets_every_head_of_the_folder_answers(heads: Path) -> None:
    assert list(load_heads(heads, None, fingerprint_of(heads))) == ["style"]


def test_a_target_without_a_head_is_refused_with_the_command(heads: Path) -> None:
    with pytest.raises(StageError, match="run `pipeline train-head --target genre` first"):
        load_heads(heads, ["style", "genre"], fingerprint_of(heads))


def test_a_folder_without_heads_is_refused_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="has no heads: run `pipeline train-head"):
        load_heads(tmp_path, None, "0" * 64)


def test_a_head_of_other_features_is_refused(heads: Path) -> None:
    with pytest.raises(StageError, match="was trained on features"):
        load_heads(heads, ["style"], "0" * 64)


def test_the_text_names_each_file_its_labels_and_what_cannot_be_read() -> None:
    labels = [{"label": "dots", "probability": 0.75}, {"label": "glaze", "probability": 0.25}]
    answers = [{"image": "a.jpg", "targets": {"style": labels}}, {"image": "b.jpg", "error": "empty (0 bytes)"}]
    assert predictions_as_text(answers).splitlines() == [
        "a.jpg",
        "  style: dots 0.75, glaze 0.25",
        "b.jpg",
        "  could not be read: empty (0 bytes)",
    ]
