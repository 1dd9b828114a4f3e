"""The demo collection: deterministic, complete, and honest about what was planted in it."""

import hashlib
import unicodedata
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydantic import ValidationError

from stages.clean.check_image import check_image
from stages.clean.settings import CleanSettings
from stages.core.images.rgb import to_rgb
from stages.demo.collection import paint_collection
from stages.demo.faults.broken import BREAKS
from stages.demo.painter.artists import ARTISTS, GENRES, STYLES
from stages.demo.painter.paint import paint
from stages.demo.plan import answer_key, plan_collection
from stages.demo.settings import DemoSettings

SMALL = DemoSettings(images=40, broken=12, exact_duplicates=2, near_duplicates=8, wrong_labels=4, strangers=10)
TINY = DemoSettings(images=8, broken=3, exact_duplicates=1, near_duplicates=2, wrong_labels=1, strangers=2)
CLASSES = {"style": set(STYLES), "genre": set(GENRES), "artist": {artist.name for artist in ARTISTS}}
DUPLICATES = ("exact_duplicate", "near_duplicate")


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("demo")
    paint_collection(root=root, settings=SMALL, n_jobs=2)
    return root


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tiny")
    paint_collection(root=root, settings=TINY, n_jobs=1)
    return root


@pytest.fixture(scope="module")
def labels(collection: Path) -> pd.DataFrame:
    return _read(collection / "labels.csv")


@pytest.fixture(scope="module")
def key(collection: Path) -> pd.DataFrame:
    return _read(collection / "answer_key.csv")


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")


def _digests(root: Path) -> dict[str, str]:
    files = [path for path in root.rglob("*") if path.is_file()]
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _perceptual_hash(path: Path) -> imagehash.ImageHash:
    with Image.open(path) as image:
        return imagehash.phash(to_rgb(image))


def test_same_seed_gives_the_same_bytes_on_any_number_of_workers(tiny: Path, tmp_path: Path) -> None:
    paint_collection(root=tmp_path, settings=TINY, n_jobs=2)
    assert _digests(tmp_path) == _digests(tiny)


def test_another_seed_gives_other_pictures(tiny: Path, tmp_path: Path) -> None:
    paint_collection(root=tmp_path, settings=TINY.model_copy(update={"random_state": 1}), n_jobs=1)
    empty = hashlib.sha256(b"").hexdigest()
    assert set(_digests(tmp_path).values()) & set(_digests(tiny).values()) <= {empty}


def test_painting_again_leaves_no_file_of_the_earlier_set(tmp_path: Path) -> None:
    stale = tmp_path / "images" / "earlier" / "painting.jpg"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"earlier")
    beside = tmp_path / "notes.txt"
    beside.write_text("not ours")
    paint_collection(root=tmp_path, settings=TINY, n_jobs=1)
    listed = set(_read(tmp_path / "labels.csv")["image"])
    assert {path.relative_to(tmp_path / "images").as_posix() for path in (tmp_path / "images").rglob("*.*")} <= listed
    assert not stale.parent.exists()
    assert beside.read_text() == "not ours"


def test_every_listed_file_exists_except_those_planted_as_missing(
    collection: Path, labels: pd.DataFrame, key: pd.DataFrame
) -> None:
    absent = {image for image in labels["image"] if not (collection / "images" / image).exists()}
    assert absent == set(key.loc[key["truth"] == "missing", "image"])
    assert absent


def test_label_paths_are_unique_sorted_and_nfc(labels: pd.DataFrame) -> None:
    images = labels["image"].tolist()
    assert images == sorted(set(images))
    assert all(unicodedata.is_normalized("NFC", image) for image in images)
    assert not all(image.isascii() for image in images)


def test_counts_equal_the_settings(labels: pd.DataFrame, key: pd.DataFrame) -> None:
    counts = key.groupby(["fault", "attribute"]).size().to_dict()
    assert counts == {
        ("broken", ""): 12,
        ("exact_duplicate", ""): 2,
        ("near_duplicate", ""): 8,
        ("stranger", ""): 10,
        ("wrong_label", "style"): 4,
        ("wrong_label", "genre"): 4,
        ("wrong_label", "artist"): 4,
    }
    assert len(labels) == 40 + 12 + 2 + 8 + 10


def test_every_broken_file_is_rejected_for_the_reason_in_the_key(collection: Path, key: pd.DataFrame) -> None:
    broken = key[key["fault"] == "broken"]
    found = {
        kind: check_image(collection / "images", image, CleanSettings()).reason
        for image, kind in zip(broken["image"], broken["detail"], strict=True)
    }
    assert found == dict(zip(broken["detail"], broken["truth"], strict=True))
    assert set(found) == set(BREAKS)


def test_every_other_file_is_accepted(collection: Path, labels: pd.DataFrame, key: pd.DataFrame) -> None:
    sound = set(labels["image"]) - set(key.loc[key["fault"] == "broken", "image"])
    reasons = {image: check_image(collection / "images", image, CleanSettings()).reason for image in sound}
    assert {image: reason for image, reason in reasons.items() if reason} == {}


def test_the_bomb_is_a_small_file(collection: Path, key: pd.DataFrame) -> None:
    (bomb,) = key.loc[key["detail"] == "decompression_bomb", "image"]
    assert (collection / "images" / bomb).stat().st_size < 1_000_000


def test_exact_duplicates_have_equal_bytes(collection: Path, key: pd.DataFrame) -> None:
    for copy, original in key.loc[key["fault"] == "exact_duplicate", ["image", "truth"]].to_numpy():
        assert copy != original
        assert (collection / "images" / copy).read_bytes() == (collection / "images" / original).read_bytes()


def test_an_exact_duplicate_contradicts_its_original_about_the_style(labels: pd.DataFrame, key: pd.DataFrame) -> None:
    style = labels.set_index("image")["style"]
    copies = key[key["fault"] == "exact_duplicate"]
    contradicts = style[copies["image"]].to_numpy() != style[copies["truth"]].to_numpy()
    assert contradicts.tolist() == (copies["detail"] == "same_bytes_other_style_label").tolist()
    assert contradicts.sum() == 1


def test_near_duplicates_differ_in_bytes_but_look_alike(collection: Path, key: pd.DataFrame) -> None:
    for copy, original in key.loc[key["fault"] == "near_duplicate", ["image", "truth"]].to_numpy():
        copy, original = collection / "images" / copy, collection / "images" / original
        assert copy.read_bytes() != original.read_bytes()
        assert _perceptual_hash(copy) - _perceptual_hash(original) <= CleanSettings().near_duplicate_bits


def test_paintings_that_are_no_duplicates_do_not_look_alike(
    collection: Path, labels: pd.DataFrame, key: pd.DataFrame
) -> None:
    paintings = set(labels["image"]) - set(key.loc[key["fault"].isin(["broken", "stranger", *DUPLICATES]), "image"])
    hashes = [_perceptual_hash(collection / "images" / image) for image in sorted(paintings)]
    nearest = min(a - b for i, a in enumerate(hashes) for b in hashes[:i])
    assert nearest > CleanSettings().near_duplicate_bits


def test_wrong_labels_are_classes_other_than_the_truth(labels: pd.DataFrame, key: pd.DataFrame) -> None:
    listed = labels.set_index("image")
    for image, attribute, truth in key.loc[key["fault"] == "wrong_label", ["image", "attribute", "truth"]].to_numpy():
        assert listed.loc[image, attribute] in CLASSES[attribute] - {truth}
        assert truth in CLASSES[attribute]


def test_a_file_has_faults_of_one_kind_and_originals_have_none(key: pd.DataFrame) -> None:
    assert key.groupby("image")["fault"].nunique().max() == 1
    assert not set(key.loc[key["fault"].isin(DUPLICATES), "truth"]) & set(key["image"])


def test_every_class_appears_and_some_cells_are_empty(labels: pd.DataFrame) -> None:
    for attribute, classes in CLASSES.items():
        assert set(labels[attribute]) - {""} == classes
    assert {attribute: bool((labels[attribute] == "").any()) for attribute in CLASSES} == {
        "style": False,
        "genre": True,
        "artist": True,
    }


def test_the_default_plan_is_imbalanced_but_has_thirty_of_every_class() -> None:
    plan = plan_collection(np.random.default_rng([0, 0]), DemoSettings())
    for attribute in CLASSES:
        counts = pd.Series([file.labels[attribute] for file in plan if file.kind == "painting"]).drop_duplicates()
        sizes = pd.Series([file.labels[attribute] for file in plan if file.labels[attribute]]).value_counts()
        assert len(counts) >= len(CLASSES[attribute])
        assert sizes.min() >= 30
        assert sizes.max() >= 1.5 * sizes.min()


def test_file_names_do_not_depend_on_what_is_planted() -> None:
    plan = plan_collection(np.random.default_rng([0, 0]), DemoSettings())
    numbers = {
        kind: [int(f.image.rpartition("-")[2].split(".")[0]) for f in plan if f.kind == kind]
        for kind in ("painting", "broken", "stranger")
    }
    assert len({file.image for file in plan}) == len(plan)
    assert min(numbers["broken"]) < max(numbers["painting"]) / 2 < max(numbers["broken"])
    assert min(numbers["stranger"]) < max(numbers["painting"]) / 2 < max(numbers["stranger"])


def test_the_key_lists_no_fault_where_none_is_planted() -> None:
    none = DemoSettings(images=20, broken=0, exact_duplicates=0, near_duplicates=0, wrong_labels=0, strangers=0)
    assert answer_key(plan_collection(np.random.default_rng([0, 0]), none)) == []


def test_more_faults_than_paintings_are_refused() -> None:
    with pytest.raises(ValidationError, match="more than the 20 images"):
        DemoSettings(images=20, wrong_labels=15, exact_duplicates=3, near_duplicates=3)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("genre", GENRES)
def test_every_style_can_paint_every_genre(style: str, genre: str) -> None:
    picture = paint(np.random.default_rng(7), style=style, genre=genre, artist=ARTISTS[6].name)
    assert picture.mode == "RGB"
    assert 300 <= max(picture.size) <= 900
    assert np.asarray(picture.convert("L")).std() > 5
