"""Files that were made with other settings are used, and a person is told."""

from pathlib import Path

import pytest

from pipeline.other_settings import BEFORE, WITHOUT_EFFECT, describe_other_settings
from pipeline.params import Params
from stages.core.head.recipe import WITHOUT_EFFECT as WITHOUT_EFFECT_ON_HEADS
from stages.core.head.recipe import Recipe
from stages.core.records import producers
from stages.core.records.outputs import write_outputs


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose records are of the settings that params.yaml has by default."""
    params, recipe = Params(), Recipe()
    for producer, settings in [
        (producers.SPLIT, params.split),
        (producers.EXTRACT, params.features),
        (producers.TRAIN, recipe),
    ]:
        target = "style" if producer is producers.TRAIN else ""
        home = tmp_path / producer.home.replace("TARGET", target)
        recorded = settings.model_dump(mode="json")
        with write_outputs(producer, home, settings=recorded, inputs={}, target=target) as outputs:
            outputs.path(home / "made.txt").write_text("made", encoding="utf-8")
    return tmp_path


def notes(project: Path, command: str, **changed: dict[str, object]) -> list[str]:
    params = Params.model_validate(changed)
    return list(describe_other_settings(params, command, ["style"], project))


def test_equal_settings_give_no_note(project: Path) -> None:
    assert [note for command in BEFORE for note in notes(project, command)] == []


def test_a_note_names_the_setting_both_values_and_the_command(project: Path) -> None:
    (note,) = notes(project, "train-head", features={"random_state": 7})
    assert "`pipeline extract-features`" in note
    assert "features.random_state was 0 and is 7" in note


def test_a_head_of_other_settings_is_said_before_it_is_used_and_not_before_it_is_trained(project: Path) -> None:
    changed = {"lr": 0.5}
    assert notes(project, "train-head", train=changed) == []
    (note,) = notes(project, "evaluate", train=changed)
    assert "`pipeline train-head --target style`" in note
    assert "train.lr was " in note


def test_settings_that_change_no_result_are_not_mentioned(project: Path) -> None:
    assert notes(project, "evaluate", features={"batch_size": 4, "shard_mib": 1}, train={"placement": "stream"}) == []
    assert {f"train.{name}" for name in WITHOUT_EFFECT_ON_HEADS} <= WITHOUT_EFFECT


def test_a_damaged_record_is_left_to_its_reader(project: Path) -> None:
    (project / "data/records/extract.json").write_text("{", encoding="utf-8")
    assert notes(project, "train-head", features={"random_state": 7}) == []


def test_each_setting_without_effect_exists() -> None:
    for name in WITHOUT_EFFECT:
        section, key = name.split(".")
        assert key in type(getattr(Params(), section)).model_fields
