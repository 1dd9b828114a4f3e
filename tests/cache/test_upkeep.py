"""What stores hold is told, damage is named and mended, and nothing is freed that somebody needs."""

import hashlib
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cache import (
    CacheError,
    FeatureCache,
    FeatureStore,
    find_damage,
    find_garbage,
    free,
    keep_only,
    list_stores,
    publish,
    repair,
    share_with_published,
)
from tests.cache.extraction import DESCRIPTION, SHAPE, extract, features_of, keys_of, name_of, same_bits, store_at

KEYS = keys_of(30)


def content(root: Path) -> dict[str, str]:
    """Every file under a folder, but for the lock, with its digest."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file() and "lock" not in path.name)
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def publish_all(root: Path, keys: list[str] = KEYS) -> Path:
    return publish(store_at(root), keys, [name_of(key) for key in keys], root / "features")


def spoil(path: Path, *rows: int) -> None:
    with h5py.File(path, "r+") as file:
        for row in rows:
            bits = file["features"][row].view(np.uint16)
            file["features"][row] = (bits ^ 1).view(np.float16)


def test_an_absent_folder_holds_no_store(tmp_path):
    assert list_stores(tmp_path / "nothing here") == []


def test_a_summary_says_what_is_there_and_changes_nothing(tmp_path):
    extract(tmp_path, KEYS, shard_mib=10 * 96 / 2**20)
    (tmp_path / "someone-elses-folder").mkdir()
    shards = store_at(tmp_path).shards()
    shards[0].path.write_bytes(b"no shard")
    before = content(tmp_path)
    (summary,) = list_stores(tmp_path)
    assert content(tmp_path) == before
    assert (summary.images, summary.shards, summary.shape) == (20, 2, SHAPE)
    assert summary.fingerprint == store_at(tmp_path).fingerprint
    assert summary.description | DESCRIPTION == summary.description
    assert summary.size_bytes == sum(shard.path.stat().st_size for shard in shards[1:])
    assert [path for path, _ in summary.damaged] == [shards[0].path]


@pytest.mark.parametrize("rows", [[0], [3, 7, 29]])
def test_damage_is_named_by_file_and_row(tmp_path, rows):
    extract(tmp_path, KEYS)
    (shard,) = store_at(tmp_path).shards()
    read = []
    assert find_damage(shard.path, read.append) == []
    assert sum(read) == 30
    spoil(shard.path, *rows)
    assert [(damage.path, damage.row) for damage in find_damage(shard.path)] == [(shard.path, row) for row in rows]


@pytest.mark.parametrize("junk", [b"", b"no HDF5", b"\x89HDF\r\n\x1a\n"])
def test_a_file_that_is_no_shard_is_one_damage(tmp_path, junk):
    path = tmp_path / "shard-0.h5"
    path.write_bytes(junk)
    (damage,) = find_damage(path)
    assert (damage.path, damage.row) == (path, None)


def test_repair_keeps_the_good_rows_and_sets_the_shard_aside(tmp_path):
    extract(tmp_path, KEYS)
    store = store_at(tmp_path)
    (shard,) = store.shards()
    spoil(shard.path, 2, 5)
    lost = {shard.keys[row].decode() for row in (2, 5)}
    assert repair(store, shard.path) == 28
    assert store.keys() == set(KEYS) - lost
    assert [path.name for path in (store.folder / "set-aside").iterdir()] == [shard.path.name]
    extract(tmp_path, KEYS)  # computes what was lost
    with FeatureCache(publish_all(tmp_path)) as cache:
        assert same_bits(cache.get(KEYS), features_of(KEYS))


def test_repair_leaves_a_good_shard_alone(tmp_path):
    extract(tmp_path, KEYS)
    before = content(tmp_path)
    assert repair(store_at(tmp_path), store_at(tmp_path).shards()[0].path) == 30
    assert content(tmp_path) == before


def test_publishing_from_a_damaged_shard_costs_the_damaged_rows_only(tmp_path):
    extract(tmp_path, KEYS)
    (shard,) = store_at(tmp_path).shards()
    spoil(shard.path, 9)
    with pytest.raises(CacheError, match="row 9"):
        publish_all(tmp_path)
    assert len(store_at(tmp_path).keys()) == 29


@given(st.sets(st.integers(0, 29)), st.integers(1, 9))
@settings(max_examples=25, deadline=None)
def test_keep_only_keeps_exactly_what_is_wanted(tmp_path_factory, indices, rows_per_shard):
    root = tmp_path_factory.mktemp("store")
    extract(root, KEYS, shard_mib=rows_per_shard * 96 / 2**20)
    wanted = {KEYS[index] for index in indices}
    assert keep_only(store_at(root), wanted | {"f" * 64}) == 30 - len(wanted)
    assert store_at(root).keys() == wanted
    if wanted:
        with FeatureCache(publish_all(root, sorted(wanted))) as cache:
            assert same_bits(cache.get(sorted(wanted)), features_of(sorted(wanted)))


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


def other_settings(root: Path) -> FeatureStore:
    store = FeatureStore(root, DESCRIPTION | {"views": 3}, SHAPE)
    with store.writer() as writer:
        writer.append(KEYS[:4], features_of(KEYS[:4]))
    return store


def test_garbage_is_what_is_neither_current_nor_wanted_and_finding_it_frees_nothing(tmp_path):
    extract(tmp_path, KEYS)
    other = other_settings(tmp_path)
    store = store_at(tmp_path)
    before = content(tmp_path)
    everything = set(KEYS)
    assert find_garbage(tmp_path, current={store.fingerprint, other.fingerprint}, wanted=everything) == []
    assert find_garbage(tmp_path, current={store.fingerprint, other.fingerprint}, wanted=None) == []
    found = find_garbage(tmp_path, current={store.fingerprint}, wanted=everything - {KEYS[3]})
    assert sorted((item.kind, item.images, item.store.folder) for item in found) == [
        ("fingerprint", 4, other.folder),
        ("keys", 1, store.folder),
    ]
    assert all(item.size_bytes > 0 for item in found)
    assert content(tmp_path) == before


def test_freeing_gives_back_what_was_listed_and_nothing_else(tmp_path):
    extract(tmp_path, KEYS, shard_mib=10 * 96 / 2**20)
    other = other_settings(tmp_path)
    store = store_at(tmp_path)
    spoil(store.shards()[0].path, 1)
    repair(store, store.shards()[0].path)
    wanted = store.keys() - {sorted(store.keys())[0]}
    for item in find_garbage(tmp_path, current={store.fingerprint}, wanted=wanted):
        free(item, wanted)
    assert not other.folder.exists()
    assert store.keys() == wanted
    assert find_garbage(tmp_path, current={store.fingerprint}, wanted=wanted) == []
    with FeatureCache(publish_all(tmp_path, sorted(wanted))) as cache:
        assert same_bits(cache.get(sorted(wanted)), features_of(sorted(wanted)))


def test_nothing_is_freed_from_under_a_writer(tmp_path):
    other = other_settings(tmp_path)
    (item,) = find_garbage(tmp_path, current={"0" * 64}, wanted=set())
    with other.writer(), pytest.raises(CacheError, match=f"process {os.getpid()}"):
        free(item, set())
    assert other.keys() == set(KEYS[:4])
