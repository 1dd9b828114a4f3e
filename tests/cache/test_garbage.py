"""Only what is neither current nor wanted is freed."""

import os
from pathlib import Path

import pytest

from cache import CacheError, FeatureCache, FeatureStore, find_garbage, free, repair
from tests.cache.extraction import DESCRIPTION, SHAPE, extract, features_of, same_bits, store_at
from tests.cache.files import KEYS, content, publish_all, spoil


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
