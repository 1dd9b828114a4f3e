"""A run compared with itself differs in nothing, a better head is found, and damaged files are refused by name."""

import json
import shutil
from dataclasses import replace

import pandas as pd
import pytest

from stages.core.errors import StageError
from stages.core.records import producers
from stages.core.records.producers import Producer
from stages.core.records.record import read_record, write_record
from stages.core.tables.columns import CHANGES
from stages.core.tables.csv_files import read_table, with_numbers
from tests.stages.compare.conftest import Runs


def test_a_run_compared_with_itself_differs_in_nothing(runs: Runs) -> None:
    text = runs.compare("two", "two/reports")
    style = runs.style()
    for measure in ("accuracy", "f1_macro"):
        found = style[measure]
        assert (found["difference"], found["low"], found["high"], found["p"], found["significant"]) == (
            0,
            0,
            0,
            1,
            False,
        )
    assert (style["images"], style["groups"], style["left_out"]) == (40, 39, [])
    assert "style: A and B predict the same class for every image (40 images in 39 groups" in text
    assert "A and B were made with the same settings" in text
    assert len(read_table(runs.destination / "changes.csv", CHANGES)) == 0


def test_a_better_head_is_found_from_either_side(runs: Runs) -> None:
    text = runs.compare("one", "two")
    forth = runs.style()["accuracy"]
    assert forth["significant"]
    assert forth["b"] > forth["a"]
    assert f"style: B is more accurate than A by {100 * forth['difference']:.1f} points [" in text
    text = runs.compare("two", "one")
    back = runs.style()["accuracy"]
    assert (back["difference"], back["low"], back["high"], back["p"]) == pytest.approx(
        (-forth["difference"], -forth["high"], -forth["low"], forth["p"])
    )
    assert f"style: A is more accurate than B by {100 * forth['difference']:.1f} points [" in text


def test_scores_are_those_that_evaluate_wrote(runs: Runs) -> None:
    runs.compare()
    for side, name in (("a", "one"), ("b", "two")):
        test = json.loads((runs.root / name / "reports/style/metrics.json").read_text(encoding="utf-8"))["test"]
        assert runs.style()["accuracy"][side] == pytest.approx(test["accuracy"])


def test_pictures_that_changed_sides_are_listed_with_their_exact_labels(runs: Runs) -> None:
    runs.compare()
    style, changes = (
        runs.style()["changes"],
        with_numbers(read_table(runs.destination / "changes.csv", CHANGES), CHANGES.numbers),
    )
    counts = changes["change"].value_counts()
    assert {name: counts.get(name, 0) for name in ("gained", "lost", "both_wrong")} == {
        name: style[name] for name in ("gained", "lost", "both_wrong")
    }
    gained = changes[changes["change"] == "gained"]
    assert (gained["b_pred"] == gained["y_true"]).all()
    moved = (gained["b_confidence"] - gained["a_confidence"]).abs()
    assert moved.is_monotonic_decreasing
    assert "=glaze|<b>" in set(changes["y_true"])
    written = (runs.destination / "changes.csv").read_text(encoding="utf-8")
    assert ",=glaze" not in written
    assert r"\|\<b\>" in (runs.destination / "comparison.md").read_text(encoding="utf-8")


def test_settings_that_differ_are_named_those_without_effect_are_not(runs: Runs) -> None:
    text = runs.compare(without_effect=["head.power_norm"])
    assert "Settings that differ, A → B: train.random_state 1 → 2." in text
    assert "head.power_norm 1.0 → 0.5" in runs.compare()


@pytest.mark.parametrize(
    ("producer", "section"), [(producers.SPLIT, "split"), (producers.EXTRACT, "features")], ids=["split", "extract"]
)
def test_settings_of_the_stages_before_are_found_through_the_records(
    runs: Runs, producer: Producer, section: str
) -> None:
    for name, seed in (("one", 3), ("two", 4)):
        path = producer.record_in(runs.root / name / "data")
        record = read_record(path, producer.stage, producer.command)
        assert record is not None
        write_record(replace(record, settings={"random_state": seed}), path)
    runs.compare()
    differing = {row["setting"]: (row["a"], row["b"]) for row in runs.summary()["settings_that_differ"]}
    assert differing[f"{section}.random_state"] == (3, 4)


def test_settings_of_another_head_than_the_one_evaluated_are_not_taken(runs: Runs) -> None:
    shutil.copytree(runs.root / "one/models", runs.root / "two/models", dirs_exist_ok=True)
    assert "train.random_state" not in runs.compare()


def test_the_record_binds_the_files_of_both_sides(runs: Runs) -> None:
    runs.compare()
    first = (runs.destination / "comparison.json").read_bytes()
    record = read_record(producers.COMPARE.record_in(runs.destination), "compare", "pipeline compare A B")
    assert sorted(record.outputs) == ["changes.csv", "comparison.json", "comparison.md"]
    assert sorted(record.inputs) == [
        f"{side}:reports/style/{name}" for side in "AB" for name in ("metrics.json", "predictions.csv")
    ]
    runs.compare()
    assert (runs.destination / "comparison.json").read_bytes() == first


def test_a_split_that_differs_is_told_and_its_images_left_out(runs: Runs) -> None:
    """B tests what A trained on: the files are A's own, with the names of two splits exchanged."""
    path = runs.root / "two/reports/style/predictions.csv"
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    moved = table.index[table["split"] == "test"][:5]
    table.loc[moved, "split"] = "train"
    table.to_csv(path, index=False)
    shutil.rmtree(path.parent / "records")
    test = table[table["split"] == "test"]
    scores = {"test": {"n": len(test), "accuracy": float((test["y_true"] == test["y_pred"]).mean())}}
    (path.parent / "metrics.json").write_text(json.dumps(scores), encoding="utf-8")
    text = runs.compare()
    assert "style: left out, 5 test images of A are train images of B, which has learned from them" in text
    assert runs.style()["images"] == 35
    assert "The files of B have no record of `pipeline evaluate`: they were not verified." in text


@pytest.mark.parametrize("name", ["predictions.csv", "metrics.json"])
def test_a_changed_file_is_refused_by_its_name(runs: Runs, name: str) -> None:
    path = runs.root / "two/reports/style" / name
    content = path.read_bytes()
    path.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
    with pytest.raises(
        StageError, match=rf"two/reports/style/{name} is not what `pipeline evaluate --target style` wrote"
    ):
        runs.compare()
    assert not (runs.destination / "comparison.json").exists()


def test_predictions_and_scores_of_two_runs_are_refused_without_records_too(runs: Runs) -> None:
    for name in ("one", "two"):
        shutil.rmtree(runs.root / name / "reports/style/records")
    shutil.copy(runs.root / "one/reports/style/metrics.json", runs.root / "two/reports/style/metrics.json")
    with pytest.raises(StageError, match=r"two/reports/style/metrics\.json is not of the same run as predictions\.csv"):
        runs.compare()


def test_groups_of_another_split_are_not_taken(runs: Runs) -> None:
    for name in ("one", "two"):
        path = runs.root / name / "data/splits.csv"
        path.write_text(path.read_text(encoding="utf-8").replace("g199", "g194"), encoding="utf-8")
        path.write_text(path.read_text(encoding="utf-8").replace("g194", "g193"), encoding="utf-8")
    text = runs.compare()
    assert "The duplicate groups of A are not known" in text
    assert runs.style()["groups"] == runs.style()["images"] == 40


def test_what_is_missing_is_named_with_what_to_do(runs: Runs) -> None:
    with pytest.raises(StageError, match=r"A: reports/ holds no results of evaluate: run `dvc repro` first"):
        runs.compare("workspace", "two")
    with pytest.raises(StageError, match=r"A \(two\) has no results of artist, only of style: run `pipeline evaluate"):
        runs.compare("two", "two", targets=["artist"])
    (runs.root / "empty").mkdir()
    with pytest.raises(StageError, match=r"B: 'empty' is a folder without results of evaluate, and no git revision"):
        runs.compare("one", "empty")
