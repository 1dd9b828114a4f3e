"""Misclassified images that look alike are grouped, and each group's sentence says what marks it."""

import json
from collections.abc import Callable

import numpy as np
import pandas as pd

from stages.core.features.labelled import LabelledFeatures
from stages.outliers.clusters import find_clusters
from stages.outliers.levels import Property

Labelled = Callable[..., LabelledFeatures]
Yes = Callable[[str, np.ndarray], Property]
WRONG = 60


def two_groups(
    labelled: Labelled, yes: Yes, seed: int = 0, **columns: object
) -> tuple[pd.DataFrame, np.ndarray, LabelledFeatures]:
    """Of 400 images 60 are misclassified: 40 look one way and are dark, 20 another way and are in grey."""
    rng = np.random.default_rng(seed)
    data = labelled(["dabs", "dots"] * 200, **columns)
    features = rng.standard_normal((400, 20)).astype(np.float32)
    features[:40] += 6 * np.eye(20)[0]
    features[40:WRONG] += 6 * np.eye(20)[1]
    predicted = data.labels.copy()
    predicted[:WRONG] = 1 - predicted[:WRONG]
    number = np.arange(400)
    ways = [yes("dark", (number < 40) | (number % 10 == 0)), yes("grey", (number >= 40) & (number < WRONG))]
    return *find_clusters(data, predicted, features, ways, most=2, random_state=0), data


def test_groups_are_told_apart_largest_first_and_named_by_what_marks_them(labelled: Labelled, yes: Yes) -> None:
    table, cluster, _ = two_groups(labelled, yes)
    assert table["size"].tolist() == [40, 20]
    assert cluster.tolist() == [0] * 40 + [1] * 20 + [-1] * 340
    assert table["sentence"][0].startswith("100 % are images of dark, of all others 10 %")
    assert table["sentence"][1].startswith("100 % are images of grey, of all others 0 %")
    assert "dark" not in table["sentence"][1]


def test_examples_are_of_the_group_and_of_copies_one_is_shown(labelled: Labelled, yes: Yes) -> None:
    groups = ["copies"] * 40 + [f"g{i}" for i in range(40, 400)]
    table, _, data = two_groups(labelled, yes, group=groups)
    assert len(json.loads(table["examples"][0])) == 1
    examples = json.loads(table["examples"][1])
    assert len(examples) == 12
    assert set(examples) <= set(data.table["image"][40:WRONG])


def test_a_few_images_that_lie_apart_are_no_group(labelled: Labelled, yes: Yes) -> None:
    data = labelled(["dabs", "dots"] * 100)
    features = np.random.default_rng(0).standard_normal((200, 5)).astype(np.float32)
    features[:3] += 1000
    predicted = np.where(np.arange(200) < 43, 1 - data.labels, data.labels)
    table, cluster = find_clusters(data, predicted, features, [yes("dark", np.arange(200) < 9)], most=3, random_state=0)
    assert table["cluster"].tolist() == list(range(len(table)))
    assert table["size"].sum() == (cluster >= 0).sum() == 40
    assert set(cluster[:3]) == {-1}


def test_equal_inputs_give_equal_clusters(labelled: Labelled, yes: Yes) -> None:
    first, second = (two_groups(labelled, yes)[0] for _ in range(2))
    pd.testing.assert_frame_equal(first, second)


def test_nothing_marks_a_group_of_the_misclassified_that_is_like_all_others(labelled: Labelled, yes: Yes) -> None:
    data = labelled(["dabs", "dots"] * 100)
    features = np.random.default_rng(0).standard_normal((200, 5)).astype(np.float32)
    predicted = np.where(np.arange(200) < 20, 1 - data.labels, data.labels)
    table, _ = find_clusters(data, predicted, features, [yes("odd", np.arange(200) % 2 == 1)], most=1, random_state=0)
    assert table["sentence"].tolist() == ["Nothing marks these images"]


def test_a_handful_of_misclassified_images_is_no_cluster(labelled: Labelled, yes: Yes) -> None:
    data = labelled(["dabs", "dots"] * 20)
    predicted = np.where(np.arange(40) < 9, 1 - data.labels, data.labels)
    table, cluster = find_clusters(
        data, predicted, np.zeros((40, 5), np.float32), [yes("dark", np.arange(40) < 9)], most=8, random_state=0
    )
    assert table.empty
    assert set(cluster) == {-1}
