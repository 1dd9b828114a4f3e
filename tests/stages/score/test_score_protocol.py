"""A table of scores is that of `evaluate`, over seeds; it resumes, counts leaks, and refuses another split."""

import json
from collections.abc import Callable

import numpy as np
import pytest

from stages.core.errors import StageError
from stages.evaluate.evaluate_head import evaluate_head
from stages.evaluate.settings import EvaluateSettings
from stages.train.train_head import train_head
from tests.stages.conftest import Project
from tests.stages.score.conftest import OFFICIAL, OWN, RECIPE, ScoredProject


def test_the_first_seed_is_the_head_that_train_and_evaluate_make(scored: ScoredProject) -> None:
    scored.score()
    project = scored.project
    inputs = {"features": project.features, "splits": project.splits}
    train_head(target="style", recipe=RECIPE, **inputs, destination=project.head, work=project.work)
    evaluate_head(
        target="style", settings=EvaluateSettings(resamples=100), **inputs, head=project.head,
        destination=project.reports,
    )  # fmt: skip
    test = json.loads((project.reports / "metrics.json").read_text())["test"]
    first = scored.summary()["targets"]["style"]["seeds"][0]
    assert {name: test[name] for name in first if name != "seed"} == {k: v for k, v in first.items() if k != "seed"}


def test_mean_deviation_and_interval_are_of_the_seeds(scored: ScoredProject) -> None:
    text = scored.score(seeds=3)
    found = scored.summary()["targets"]["style"]
    each = [seed["accuracy"] for seed in found["seeds"]]
    accuracy = found["all"]["accuracy"]
    assert accuracy["mean"] == pytest.approx(np.mean(each))
    assert accuracy["sd"] == pytest.approx(np.std(each, ddof=1))
    assert accuracy["low"] <= accuracy["mean"] <= accuracy["high"]
    shown = f"{100 * accuracy['mean']:.1f} ± {100 * accuracy['sd']:.1f}"
    assert all(shown in place for place in (text, scored.text("score.md")))
    assert shown.replace("±", r"$\pm$") in scored.text("score.tex")
    assert sum(row["support"] for row in found["per_class"]) == found["all"]["n"]


def test_one_seed_has_no_deviation(scored: ScoredProject) -> None:
    scored.score(seeds=1)
    assert scored.summary()["targets"]["style"]["all"]["accuracy"]["sd"] is None
    assert "±" not in scored.text("score.md")


def test_heads_side_by_side_give_the_same_bytes(scored: ScoredProject) -> None:
    files = []
    for n_jobs in (1, 2):
        scored.score(n_jobs=n_jobs)
        files.append([scored.text("score.json"), *(path.read_bytes() for path in scored.kept())])
        for path in scored.kept():
            path.unlink()
    assert files[0] == files[1]


def test_a_finished_head_is_not_trained_again(scored: ScoredProject) -> None:
    scored.score(seeds=1)
    (first,) = scored.kept()
    before = first.stat().st_mtime_ns
    scored.score(seeds=2)
    assert len(scored.kept()) == 2
    assert first.stat().st_mtime_ns == before


def test_a_damaged_head_is_trained_again(scored: ScoredProject) -> None:
    scored.score(seeds=1)
    (path,) = scored.kept()
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    scored.score(seeds=1)
    assert path.read_bytes() == good


def test_all_seeds_share_one_probe_and_a_damaged_one_is_fitted_again(scored: ScoredProject) -> None:
    scored.score(seeds=2)
    (probe,) = scored.probes()
    good, heads = probe.read_bytes(), [path.read_bytes() for path in scored.kept()]
    for path in scored.kept():
        path.unlink()
    probe.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    scored.score(seeds=2)
    assert (len(scored.probes()), [path.read_bytes() for path in scored.kept()]) == (1, heads)


def test_another_setting_is_another_head(scored: ScoredProject) -> None:
    scored.score(seeds=1)
    other = RECIPE.model_copy(update={"train": RECIPE.train.model_copy(update={"lr": 0.02})})
    scored.score(seeds=1, recipe=other)
    assert len(scored.kept()) == 2


def test_scores_are_given_with_leaking_images_and_without(make_project: Callable[..., Project]) -> None:
    """Image 1 of test is a duplicate of image 0 of train: an official split may do that."""
    splits = ["train", "test", "val", "train", "train"] * 12
    groups = [0, 0, *range(2, 60)]
    scored = ScoredProject(make_project(["dabs", "dots", "glaze"] * 20, groups=groups, splits=splits, noise=4.0))
    scored.score()
    found = scored.summary()["targets"]["style"]
    predictions = scored.predictions()
    assert found["images"]["leaking"] == 1
    assert predictions.loc[predictions["leaking"] == "1", "image"].tolist() == ["0001.jpg"]
    assert (found["all"]["n"], found["without_leaks"]["n"]) == (12, 11)
    kept = predictions[predictions["leaking"] == "0"]
    accuracy = np.mean([(kept[name] == kept["y_true"]).mean() for name in ("seed_0", "seed_1")])
    assert found["without_leaks"]["accuracy"]["mean"] == pytest.approx(accuracy)
    assert "1 of 12 test images repeat" in scored.text("score.md")


def test_folds_test_every_image_once_and_divide_no_group(make_project: Callable[..., Project]) -> None:
    groups = [row // 2 * 2 for row in range(60)]
    scored = ScoredProject(make_project(["dabs", "dabs", "dots", "dots"] * 15, groups=groups, noise=4.0))
    scored.score(folds=3, seeds=1)
    found = scored.summary()["targets"]["style"]
    assert found["images"] == {"train": 20, "val": 20, "test": 60, "leaking": 0}
    assert len(scored.predictions()) == 60
    assert len(scored.kept()) == 3


def test_folds_leave_out_classes_with_too_few_pictures(make_project: Callable[..., Project]) -> None:
    truth = ["dabs", "dots"] * 28 + ["rare"] * 4
    splits = ["train", "val", "test", "train"] * 15
    groups = [*range(56), 56, 56, 57, 57]
    scored = ScoredProject(make_project(truth, splits=splits, groups=groups, noise=4.0))
    scored.score(folds=3, seeds=1)
    found = scored.summary()["targets"]["style"]
    assert [row["class"] for row in found["per_class"]] == ["dabs", "dots"]
    assert "too few distinct pictures for 3 folds, left out: rare" in scored.text("score.md")


def test_the_lists_of_another_source_are_refused_with_each_setting_to_change(scored: ScoredProject) -> None:
    with pytest.raises(StageError) as refused:
        scored.score("artgan-genre")
    for setting in ("dataset.source=artgan", "split.source=official", "split.official_attribute=genre"):
        assert setting in str(refused.value)


def test_the_lists_of_another_attribute_are_refused(scored: ScoredProject) -> None:
    scored.ingested_from("artgan")
    scored.split_as(OFFICIAL)
    with pytest.raises(StageError, match=r"set split.official_attribute=genre and run `pipeline split` again"):
        scored.score("artgan-genre")


def test_the_project_that_follows_the_lists_is_scored_under_their_name(scored: ScoredProject) -> None:
    scored.ingested_from("artgan")
    scored.split_as(OFFICIAL)
    assert "protocol artgan-style (ArtGAN's WikiArt lists of style)" in scored.score("artgan-style", seeds=1)


@pytest.mark.parametrize("protocol", ["own", "artgan-style"])
def test_folds_are_refused_where_test_images_would_have_been_seen(scored: ScoredProject, protocol: str) -> None:
    scored.ingested_from("artgan")
    scored.split_as(OFFICIAL if protocol != "own" else OWN)
    scored.prepared({"weights": "random", "finetuned_on": {"target": "style"}})
    with pytest.raises(StageError, match=r"score\.folds=0"):
        scored.score(protocol, folds=3)


def test_names_of_classes_break_no_table(make_project: Callable[..., Project]) -> None:
    scored = ScoredProject(make_project(["a|b_c", "50 % & more", "x"] * 20, noise=4.0))
    scored.score(seeds=1)
    assert r"a\|b\_c" in scored.text("score.md")
    assert r"50 \% \& more" in scored.text("score.tex")
