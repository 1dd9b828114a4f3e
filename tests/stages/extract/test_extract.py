"""Extraction with the real backbone: paid for once per image, and the same bytes whatever happened on the way."""

import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from cache import CacheError, FeatureCache, fingerprint
from stages.backbone.prepare_backbone import prepare_backbone
from stages.backbone.settings import BackboneSettings
from stages.core.errors import StageError
from stages.core.extraction.description import current_fingerprint, describe
from stages.core.extraction.settings import FeatureSettings
from stages.core.images.files import ImageFolder
from stages.core.networks.backbone_files import read_card, write_card
from stages.core.records.artefacts import BACKBONE_CARD
from stages.core.records.outputs import adopt
from stages.core.tables.columns import SPLIT_IMAGES
from stages.extract.extract_features import extract_features
from tests.conftest import picture

KILLS = 20
IMAGES = 24
FEATURES = FeatureSettings(resize_px=40, crop_px=32, tokens=1, batch_size=4, flush_every_s=0.001)
# Its server imports torch once, before any thread is started; every extraction is forked from it.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["stages.extract.extract_features"])


class Collection:
    """Images, the table of split that lists them, and where their features go."""

    def __init__(self, root: Path, backbone: Path) -> None:
        self.root, self.backbone = root, backbone
        self.images, self.splits = root / "images", root / "splits.csv"
        self.store, self.features = root / ".features", root / "features"
        self.images.mkdir(parents=True)

    def add(self, seeds: range, folder: str = ".") -> None:
        for seed in seeds:
            path = self.images / folder / f"{seed:02d}.png"
            path.parent.mkdir(exist_ok=True)
            picture(seed, (48, 40)).save(path)
        self.list_images()

    def list_images(self) -> None:
        rows = ["image,sha256,split"]
        for path in sorted(self.images.rglob("*.png")):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            rows.append(f"{path.relative_to(self.images).as_posix()},{digest},train")
        self.splits.write_text("\n".join(rows) + "\n")
        adopt(self.splits, SPLIT_IMAGES)

    def extract(self, settings: FeatureSettings = FEATURES, n_jobs: int = 1) -> str:
        return extract_features(
            settings=settings, arch="resnet101", splits=self.splits, images=ImageFolder(self.images),
            backbone=self.backbone, store=self.store, destination=self.features, n_jobs=n_jobs,
        )  # fmt: skip

    def digest(self) -> str:
        """One digest over the published files."""
        names = ("features.h5", "fingerprint.json", "failed.csv")
        return hashlib.sha256(b"".join((self.features / name).read_bytes() for name in names)).hexdigest()

    def shards(self) -> list[Path]:
        return sorted(self.store.rglob("shard-*.h5"))


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ResNet-101 with seeded random weights, calibrated on the images it will see."""
    collection = Collection(tmp_path_factory.mktemp("backbone"), Path("unused"))
    collection.add(range(8))
    weights = collection.root / "backbone.safetensors"
    prepare_backbone(
        settings=BackboneSettings(weights="random", calibration_images=8), features=FEATURES,
        splits=collection.splits, images=ImageFolder(collection.images), weights=weights,
    )  # fmt: skip
    return weights


@pytest.fixture
def make_collection(tmp_path: Path, backbone: Path) -> Callable[[str], Collection]:
    return lambda name: Collection(tmp_path / name, backbone)


@pytest.fixture
def collection(make_collection) -> Collection:
    one = make_collection("collection")
    one.add(range(IMAGES))
    return one


def kill_once(collection: Collection, delay_s: float, *, after_a_shard: bool) -> bool:
    """Extract in a process of its own until SIGKILL; False if it was done before that."""
    child = processes.Process(target=collection.extract)
    before = len(collection.shards())
    child.start()
    while after_a_shard and child.is_alive() and len(collection.shards()) == before:
        child.join(0.01)
    child.join(delay_s)
    child.kill()
    child.join(60)
    assert child.exitcode in (0, -signal.SIGKILL)
    return child.exitcode != 0


def test_the_published_bytes_do_not_depend_on_how_they_came_about(make_collection):
    """One run; twenty kills and resumes; three portions; other workers, shards and placement on the disk."""
    one_run = make_collection("one run")
    one_run.add(range(IMAGES))
    assert one_run.extract().startswith(f"{IMAGES} computed, 0 known already, 0 failed")
    expected = one_run.digest()

    killed, moments = make_collection("killed"), random.Random(0)
    killed.add(range(IMAGES))
    kills = 0
    while kills < KILLS:  # by turns anywhere, and in the midst of writing
        if kill_once(killed, moments.uniform(0, 0.5), after_a_shard=kills % 2 == 1):
            kills += 1
        else:  # it was done: again from nothing
            assert killed.digest() == expected
            for path in killed.shards():
                path.unlink()
    killed.extract()
    assert killed.digest() == expected
    assert list(killed.root.rglob("*.partial")) == []

    portions = make_collection("portions")
    for seeds in (range(3), range(3, 17), range(17, IMAGES)):
        portions.add(seeds)
        assert portions.extract().startswith(f"{len(seeds)} computed, {seeds.start} known already")
    assert portions.digest() == expected

    workers = make_collection("workers")
    workers.add(range(IMAGES))
    workers.extract(FEATURES.model_copy(update={"after_publishing": "keep", "flush_every_s": 60.0}), n_jobs=3)
    assert workers.digest() == expected
    assert not any(path.samefile(workers.features / "features.h5") for path in workers.shards())


def test_renamed_moved_and_duplicated_images_cost_no_forward_pass(collection, monkeypatch):
    collection.extract()
    with FeatureCache(collection.features) as cache:
        before = cache.get(cache.keys)
    (collection.images / "elsewhere").mkdir()
    for path in sorted(collection.images.glob("*.png"))[:5]:
        path.rename(collection.images / "elsewhere" / f"renamed {path.name}")
    (collection.images / "copy.png").write_bytes((collection.images / "20.png").read_bytes())
    collection.list_images()
    monkeypatch.setattr(
        "stages.core.extraction.stream.load_extractor", lambda *a, **k: pytest.fail("the backbone was loaded")
    )
    assert collection.extract().startswith(f"0 computed, {IMAGES} known already")
    with FeatureCache(collection.features) as cache:
        assert len(cache) == IMAGES
        assert "elsewhere/renamed 00.png" in cache.images
        assert np.array_equal(cache.get(cache.keys), before)


def test_after_linking_the_disk_holds_every_feature_once(collection):
    collection.extract()
    (shard,) = collection.shards()
    assert shard.samefile(collection.features / "features.h5")
    digest = collection.digest()
    (collection.features / "features.h5").unlink()  # as DVC does before it runs the stage again
    assert collection.extract().startswith("0 computed")
    assert collection.digest() == digest


def test_damage_found_while_publishing_is_computed_again_in_the_same_run(collection, caplog):
    keep = FEATURES.model_copy(update={"after_publishing": "keep"})
    collection.extract(keep)
    digest = collection.digest()
    with h5py.File(collection.shards()[0], "r+") as file:
        file["features"][1] = file["features"][0]
    assert collection.extract(keep).startswith(f"1 computed, {IMAGES - 1} known already")
    assert collection.digest() == digest
    assert "row 1" in caplog.text
    assert len(list(collection.store.rglob("set-aside/*"))) == 1


def test_images_that_fail_are_named_and_more_than_a_set_share_stops_the_run(collection):
    """Three of 24 are deleted, changed and unreadable since cleaning: more than a twentieth, less than a fifth."""
    missing, changed, folder = sorted(collection.images.glob("*.png"))[:3]
    missing.unlink()
    changed.write_bytes(b"something else")
    folder.unlink()
    folder.mkdir()
    with pytest.raises(StageError, match=r"of 24 images could not be read, the last is .*max_failed_share"):
        collection.extract()
    assert not (collection.features / "features.h5").exists()
    tolerant = FEATURES.model_copy(update={"max_failed_share": 0.2})
    assert collection.extract(tolerant).endswith(f"3 failed: {collection.features}")
    table = pd.read_csv(collection.features / "failed.csv")
    assert table["image"].tolist() == [missing.name, changed.name, folder.name]
    assert table["reason"].tolist() == ["missing", "changed", "unreadable"]
    # The share is one of all images, not of those that are left to compute.
    assert collection.extract(tolerant).startswith("0 computed, 21 known already, 3 failed")


def test_a_file_that_vanished_is_replaced_by_its_copy(collection, caplog):
    vanished, changed = sorted(collection.images.glob("*.png"))[:2]
    for path in (vanished, changed):
        (collection.images / f"zz {path.name}").write_bytes(path.read_bytes())
    collection.list_images()
    collection.extract()
    digest = collection.digest()
    shutil.rmtree(collection.store)
    vanished.unlink()
    changed.write_bytes(b"something else")
    with caplog.at_level("INFO"):
        assert collection.extract().endswith(f"0 failed: {collection.features}")
    assert collection.digest() == digest
    assert f"{vanished.name}: missing (no such file); its copy zz {vanished.name} is read" in caplog.text
    (collection.images / f"zz {vanished.name}").unlink()
    shutil.rmtree(collection.store)
    assert collection.extract().endswith(f"1 failed: {collection.features}")
    assert pd.read_csv(collection.features / "failed.csv")["image"].tolist() == [vanished.name]


CHANGES = {
    "resize_px": 44, "crop_px": 28, "views": 3, "random_state": 1, "tokens": 4, "pooled_token": True,
    "precision": "fp32", "decoder": "exact", "interpolation": "bicubic", "colour": "as_stored",
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), CHANGES.items(), ids=CHANGES)
def test_after_a_changed_setting_nothing_old_can_be_read(collection, name, value):
    bf16 = FEATURES.model_copy(update={"precision": "bf16"})
    collection.extract(bf16)
    with FeatureCache(collection.features) as cache:
        old = cache.fingerprint
    changed = bf16.model_copy(update={name: value})
    assert current_fingerprint(changed, collection.backbone) != old
    assert collection.extract(changed).startswith(f"{IMAGES} computed, 0 known already")
    with FeatureCache(collection.features) as cache:
        assert cache.fingerprint == current_fingerprint(changed, collection.backbone)
    assert collection.extract(bf16).startswith(f"0 computed, {IMAGES} known already")  # and going back is free
    with FeatureCache(collection.features) as cache:
        assert cache.fingerprint == old


@pytest.mark.parametrize("name", ["batch_size", "shard_mib", "flush_every_s", "after_publishing", "max_failed_share"])
def test_settings_that_decide_no_value_do_not_change_the_fingerprint(backbone, name):
    other = {"batch_size": 64, "shard_mib": 7, "flush_every_s": 9.0, "after_publishing": "keep", "max_failed_share": 1}
    changed = FEATURES.model_copy(update={name: other[name]})
    assert current_fingerprint(changed, backbone) == current_fingerprint(FEATURES, backbone)


def test_every_value_of_the_description_decides_the_fingerprint(backbone):
    description = describe(FEATURES, read_card(backbone), "bf16")
    values = [(key,) for key in description if key != "transform"]
    values += [("transform", key) for key in description["transform"]]
    digests = {fingerprint(description)}
    for path in values:
        changed = json.loads(json.dumps(description))
        node = changed
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = "something else"
        digests.add(fingerprint(changed))
    assert len(digests) == len(values) + 1


def test_a_backbone_of_other_weights_is_another_fingerprint(backbone, tmp_path):
    other = tmp_path / "backbone.safetensors"
    write_card(replace(read_card(backbone), digest="0" * 64), other)
    adopt(other.with_suffix(".json"), BACKBONE_CARD)
    assert current_fingerprint(FEATURES, other) != current_fingerprint(FEATURES, backbone)


def test_too_little_room_is_said_before_any_work(collection, monkeypatch):
    class Full:
        f_bavail = f_frsize = 1
        free = 1

    monkeypatch.setattr("shutil.disk_usage", lambda path: Full)
    monkeypatch.setattr(
        "stages.core.extraction.stream.load_extractor", lambda *a, **k: pytest.fail("the backbone was loaded")
    )
    with pytest.raises(CacheError, match="MiB"):
        collection.extract()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_leave_a_store_to_go_on_with(collection, number):
    child = processes.Process(target=_extract_politely, args=(collection,))
    child.start()
    while child.is_alive() and not collection.shards():
        child.join(0.01)
    os.kill(child.pid, number)
    child.join(60)
    assert child.exitcode == 130
    assert list(collection.root.rglob("*.partial")) == []
    assert 0 < len(collection.shards()) < IMAGES // 2
    assert not collection.extract().startswith(f"{IMAGES} computed")


def _extract_politely(collection: Collection) -> None:
    import sys

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as pipeline.cli does
    try:
        collection.extract(FEATURES.model_copy(update={"batch_size": 1}))
    except KeyboardInterrupt:
        sys.exit(130)
