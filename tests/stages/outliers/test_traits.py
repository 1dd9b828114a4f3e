"""Which properties go with being misclassified: true effects are found and said, chance is not."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.stats import fisher_exact

from stages.core.features.labelled import LabelledFeatures
from stages.outliers.levels import Property
from stages.outliers.traits import find_traits, odds_ratios

Labelled = Callable[..., LabelledFeatures]
Yes = Callable[[str, np.ndarray], Property]


def drawn(odds: np.ndarray, seed: int) -> np.ndarray:
    """Whether each image is misclassified."""
    return np.random.default_rng(seed).random(len(odds)) < odds / (1 + odds)


def study(data: LabelledFeatures, wrong: np.ndarray, properties: list[Property], min_images: int = 20) -> pd.DataFrame:
    predicted = np.where(wrong, (data.labels + 1) % len(data.classes), data.labels)
    return find_traits(data, predicted, properties, min_images=min_images)


def test_the_odds_ratio_and_its_interval_are_those_of_a_worked_example() -> None:
    """10 of 30 against 5 of 45, a half added to each: ln 3.77 = 1.327, standard error 0.592."""
    found = odds_ratios([10], [20], [5], [40]).iloc[0]
    assert found["odds_ratio"] == pytest.approx(10.5 * 40.5 / (20.5 * 5.5))
    assert [found["ci_low"], found["ci_high"]] == pytest.approx([1.18, 12.03], abs=0.01)


@pytest.mark.parametrize("cells", [(10, 20, 5, 40), (1, 29, 0, 920), (3, 60, 40, 100), (0, 30, 9, 50)])
def test_p_values_lie_just_below_those_of_fishers_exact_test(cells: tuple[int, int, int, int]) -> None:
    table = [cells[:2], cells[2:]]
    one_sided = min(fisher_exact(table, alternative=side)[1] for side in ("less", "greater"))
    found = odds_ratios(*([cell] for cell in cells))["p_value"][0]
    assert one_sided <= found < 2 * one_sided


def test_the_p_values_of_chance_are_below_a_twentieth_about_one_time_in_20() -> None:
    rng = np.random.default_rng(0)
    first, others = rng.binomial(60, 0.2, 4000), rng.binomial(300, 0.2, 4000)
    assert 0.035 < (odds_ratios(first, 60 - first, others, 300 - others)["p_value"] <= 0.05).mean() < 0.06


def test_one_mistake_that_no_other_class_makes_is_no_trait(labelled: Labelled) -> None:
    data = labelled(["a"] * 30 + ["b"] * 450 + ["c"] * 450)
    predicted = data.labels.copy()
    predicted[0] = 1
    table = find_traits(data, predicted, [], min_images=20)
    assert table["level"].tolist() == ["a → b"]
    assert (table["q_value"] > 0.05).all()


def test_the_interval_holds_the_true_odds_ratio_about_19_times_in_20() -> None:
    rng = np.random.default_rng(0)
    first, others = rng.binomial(60, 0.5, 4000), rng.binomial(300, 0.2, 4000)
    found = odds_ratios(first, 60 - first, others, 300 - others)
    held = ((found["ci_low"] <= 4) & (found["ci_high"] >= 4)).mean()
    assert 0.94 < held < 0.97


def test_a_true_effect_leads_the_list_and_is_said_in_a_sentence(labelled: Labelled, yes: Yes) -> None:
    rng = np.random.default_rng(0)
    grey, noise = rng.random(1000) < 0.2, [rng.random(1000) < 0.3 for _ in range(30)]
    wrong = drawn(np.where(grey, 1.0, 0.2), 1)
    ways = [*(yes(f"kind {i}", values) for i, values in enumerate(noise)), yes("grey", grey)]
    table = study(labelled(["dabs", "dots"] * 500), wrong, ways)
    assert set(table["property"][table["q_value"] <= 0.05]) <= {"grey", "grey within style"}
    first = table[table["property"] == "grey"].iloc[0]
    assert (first["level"], first["n"]) == ("yes", grey.sum())
    assert first["ci_low"] < 5 < first["ci_high"]
    assert first["q_value"] < 0.001
    shares = (
        f"{100 * wrong[grey].mean():.0f} % of {grey.sum()}, against {100 * wrong[~grey].mean():.0f} % of the others"
    )
    numbers = f"{first['odds_ratio']:.1f} times the odds of being misclassified (95 %: {first['ci_low']:.1f} to"
    assert first["sentence"].startswith(f"Images of grey have {numbers}")
    assert first["sentence"].endswith(shares)


def test_of_two_hundred_properties_that_mean_nothing_none_is_called_a_trait(labelled: Labelled, yes: Yes) -> None:
    rng = np.random.default_rng(0)
    ways = [yes(f"kind {i}", rng.random(600) < 0.3) for i in range(200)]
    table = study(labelled(["dabs", "dots"] * 300), rng.random(600) < 0.3, ways)
    assert (table["p_value"] <= 0.05).sum() > 10  # by chance
    assert (table["q_value"] <= 0.05).sum() == 0


def test_an_effect_within_one_class_is_told_from_the_classs_own(labelled: Labelled, yes: Yes) -> None:
    """Dark dots are hard; dots are hard anyway, and dark dabs are not."""
    labels, dark = np.array(["dabs", "dots"] * 500), np.random.default_rng(0).random(1000) < 0.3
    dots = labels == "dots"
    wrong = drawn(np.select([dots & dark, dots], [4.0, 0.8], 0.1), 1)
    table = study(labelled(labels), wrong, [yes("dark", dark)]).set_index(["property", "level"])
    assert table.loc[("dark within style", "dots: yes"), "q_value"] < 0.001
    assert table.loc[("dark within style", "dabs: yes"), "q_value"] > 0.05
    said = table.loc[("dark within style", "dots: yes"), "sentence"]
    assert said.startswith("Images of dark among those labelled dots have")
    assert said.endswith("of the others labelled dots")


def test_two_classes_that_are_often_confused_are_a_trait_after_the_properties(labelled: Labelled, yes: Yes) -> None:
    data = labelled(["a"] * 100 + ["b"] * 100 + ["c"] * 100)
    predicted = data.labels.copy()
    predicted[:40] = 1
    hard = np.zeros(300, dtype=bool)
    hard[:60] = True
    table = find_traits(data, predicted, [yes("hard", hard)], min_images=20)
    assert table["property"][0] == "hard"
    pair = table[table["property"] == "confusion"].iloc[0]
    assert pair["level"] == "a → b"
    assert pair["sentence"].startswith("Images labelled a have")
    assert "the odds of being taken for b" in pair["sentence"]
    assert pair["sentence"].endswith("40 % of 100, against 0 % of images of third classes")


def test_small_levels_and_unlabelled_images_are_not_compared(labelled: Labelled, yes: Yes) -> None:
    few = np.zeros(104, dtype=bool)
    few[:24] = True  # 19 of them labelled
    data = labelled([""] * 5 + ["dabs", "dots", "glaze"] * 33)
    for least, found in ((20, []), (19, [19])):
        table = study(data, few, [yes("few", few)], min_images=least)
        assert table.loc[table["property"] == "few", "n"].tolist() == found
