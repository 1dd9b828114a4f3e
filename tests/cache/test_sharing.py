"""Published rows are on the disk once, and no row is lost to another run that publishes to the same folder."""

import multiprocessing
import os
import time
from pathlib import Path

import pytest

from cache import (
    CacheError,
    DamagedFileError,
    FeatureCache,
    FeatureStore,
    LockedError,
    publish,
    share_with_published,
    verify_stores,
)
from tests.cache.extraction import DESCRIPTION, SHAPE, extract, features_of, name_of, same_bits, store_at
from tests.cache.files import KEYS, content, publish_all, spoil

NAMES = [name_of(key) for key in KEYS]
processes = multiprocessing.get_context("spawn")


def other_store(root: Path, number: int = 1) -> FeatureStore:
    """A store of other settings with the same keys."""
    store = FeatureStore(root, DESCRIPTION | {"seed": number}, SHAPE)
    known = store.keys()
    if todo := [key for key in KEYS if key not in known]:
        with store.writer() as writer:
            writer.append(todo, -features_of(todo))
    return store


def test_sharing_keeps_every_row_once_on_the_disk(tmp_path):
    extract(tmp_path, KEYS, shard_mib=7 * 96 / 2**20)
    path = publish_all(tmp_path, KEYS[:20])
    assert share_with_published(store_at(tmp_path), path)
    rows = [len(shard.keys) for shard in store_at(tmp_path).shards()]
    assert sorted(rows) == [*sorted(rows)[:-1], 20]
    assert sum(rows) == 30
    assert any(shard.path.samefile(path) for shard in store_at(tmp_path).shards())
    assert store_at(tmp_path).keys() == set(KEYS)
    assert share_with_published(store_at(tmp_path), path)  # and again: nothing to do
    assert sum(len(shard.keys) for shard in store_at(tmp_path).shards()) == 30


def test_after_sharing_the_published_file_may_go_and_comes_back_the_same(tmp_path):
    extract(tmp_path, KEYS)
    path = publish_all(tmp_path)
    before = path.read_bytes()
    share_with_published(store_at(tmp_path), path)
    path.unlink()
    assert store_at(tmp_path).keys() == set(KEYS)
    assert publish_all(tmp_path).read_bytes() == before


def test_where_no_link_can_be_made_the_store_keeps_its_copy(tmp_path, monkeypatch, caplog):
    def no_links(*names: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    extract(tmp_path, KEYS)
    path = publish_all(tmp_path)
    before = content(tmp_path)
    monkeypatch.setattr(os, "link", no_links)
    assert not share_with_published(store_at(tmp_path), path)
    assert content(tmp_path) == before
    assert "both keep a copy" in caplog.text


def test_nothing_is_lost_when_another_run_publishes_other_settings_before_the_link(tmp_path):
    """A publishes; B publishes other settings to the same folder; A links."""
    extract(tmp_path, KEYS)
    other = other_store(tmp_path)
    path = publish_all(tmp_path)
    publish(other, KEYS, NAMES, path.parent)
    before = content(tmp_path)
    with pytest.raises(CacheError, match=f"other settings .{other.fingerprint[:16]}.+another run has published"):
        share_with_published(store_at(tmp_path), path)
    assert content(tmp_path) == before
    assert store_at(tmp_path).keys() == other.keys() == set(KEYS)
    assert verify_stores(tmp_path, path).damage == []


def test_publishing_and_linking_are_one_step_for_others(tmp_path):
    extract(tmp_path, KEYS)
    path = publish(store_at(tmp_path), KEYS, NAMES, tmp_path / "features", link=True)
    (shard,) = store_at(tmp_path).shards()
    assert shard.path.samefile(path)
    assert sorted(file.name for file in path.parent.iterdir()) == ["features.h5", "fingerprint.json"]
    assert sorted(file.name for file in store_at(tmp_path).folder.iterdir()) == [shard.path.name]


def test_a_damaged_published_file_costs_the_store_nothing(tmp_path):
    extract(tmp_path, KEYS)
    path = publish_all(tmp_path)
    spoil(path, 7)
    before = content(tmp_path)
    with pytest.raises(DamagedFileError, match=r"features\.h5 is damaged: row 7 .folder/ünï-"):
        share_with_published(store_at(tmp_path), path)
    assert content(tmp_path) == before


def test_a_link_that_was_damaged_before_the_own_copies_went_costs_nothing(tmp_path, monkeypatch):
    """As after a kill between the link and the trimming."""
    extract(tmp_path, KEYS, shard_mib=7 * 96 / 2**20)
    path = publish_all(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr("cache.sharing.trim_shard", lambda *arguments: 0)
        share_with_published(store_at(tmp_path), path)
    spoil(path, 7)
    before = content(tmp_path)
    with pytest.raises(DamagedFileError, match="row 7 "):
        share_with_published(store_at(tmp_path), path)
    assert content(tmp_path) == before


def publish_again_and_again(root: Path, number: int, times: int) -> None:
    """Publish to one folder and link, waiting while another publishes; every run must find its own store complete."""
    store = store_at(root) if number == 0 else other_store(root, number)
    for _ in range(times):
        while True:
            try:
                publish(store, KEYS, NAMES, root / "features", link=True)
                break
            except LockedError:
                time.sleep(0.002)
        assert store.keys() == set(KEYS)


def test_publishers_of_several_settings_into_one_folder_lose_nothing(tmp_path):
    extract(tmp_path, KEYS)
    stores = [store_at(tmp_path), other_store(tmp_path, 1), other_store(tmp_path, 2)]
    children = [processes.Process(target=publish_again_and_again, args=(tmp_path, number, 20)) for number in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(120)
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert all(store.keys() == set(KEYS) for store in stores)
    assert verify_stores(tmp_path, tmp_path / "features" / "features.h5").damage == []
    assert [path.name for path in tmp_path.rglob("*") if "partial" in path.name or "lock" in path.name] == []
    with FeatureCache(tmp_path / "features", check="opening") as cache:
        published = next(store for store in stores if store.fingerprint == cache.fingerprint)
        expected = features_of(KEYS) if published is stores[0] else -features_of(KEYS)
        assert same_bits(cache.get(KEYS), expected)


def test_a_second_publisher_is_told_who_publishes(tmp_path, monkeypatch):
    extract(tmp_path, KEYS)
    refused = []

    def publish_meanwhile(*arguments: object) -> None:
        with pytest.raises(LockedError, match=f"publishing features, process {os.getpid()} ") as error:
            publish(other_store(tmp_path), KEYS, NAMES, tmp_path / "features")
        refused.append(error)

    monkeypatch.setattr("cache.publishing.write_text", publish_meanwhile)
    publish_all(tmp_path)
    assert len(refused) == 1


@pytest.mark.parametrize("place", ["features", "store"])
def test_the_next_publisher_removes_what_a_killed_one_left(tmp_path, place):
    extract(tmp_path, KEYS)
    path = publish_all(tmp_path)
    folder = path.parent if place == "features" else store_at(tmp_path).folder
    (folder / ".features.h5.0a1b2c3d.partial").write_bytes(b"half")
    before = content(tmp_path)
    publish_all(tmp_path)
    assert content(tmp_path).keys() == {name for name in before if "partial" not in name}
