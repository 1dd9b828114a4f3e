"""The store returns what was appended, and uses no damaged shard."""

import itertools
import logging
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cache import CacheError, FeatureCache, FeatureStore, find_damage, list_stores, publish, repair, row_writer
from cache.row_writer import RowWriter
from tests.cache.extraction import (
    DESCRIPTION,
    SHAPE,
    extract,
    features_of,
    key_of,
    keys_of,
    name_of,
    same_bits,
    store_at,
)


@given(st.permutations(range(12)), st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(1, 8), st.data())
@settings(max_examples=40, deadline=None)
def test_get_returns_what_was_appended_for_any_division(tmp_path_factory, order, portions, rows_per_shard, data):
    """Whatever the order, the batches, the shards and the number of runs."""
    root = tmp_path_factory.mktemp("store")
    keys = [key_of(index) for index in order]
    shard_mib = rows_per_shard * int(np.prod(SHAPE)) * 2 / 2**20
    for end in itertools.accumulate(portions):  # each its own run
        extract(root, keys[:end], batch_size=rows_per_shard, shard_mib=shard_mib)
    extract(root, keys, shard_mib=shard_mib)
    asked = data.draw(st.lists(st.sampled_from(keys), min_size=1, max_size=20))
    publish(store_at(root), keys, [name_of(key) for key in keys], root / "features")
    with FeatureCache(root / "features") as cache:
        assert same_bits(cache.get(asked), features_of(asked))
    assert store_at(root).keys() == set(keys)


def test_shard_mib_bounds_every_shard_even_of_one_large_append(tmp_path):
    keys = keys_of(25)
    with store_at(tmp_path).writer(shard_mib=10 * 96 / 2**20) as writer:
        writer.append(keys, features_of(keys))
        assert writer.pending_rows == 5
    assert sorted(len(shard.keys) for shard in store_at(tmp_path).shards()) == [5, 10, 10]


def test_flush_every_s_writes_before_the_shard_is_full(tmp_path):
    with store_at(tmp_path).writer(flush_every_s=0) as writer:
        writer.append(keys_of(1), features_of(keys_of(1)))
        assert store_at(tmp_path).keys() == set(keys_of(1))


def test_append_copies_so_that_the_array_can_be_used_again(tmp_path):
    keys, buffer = keys_of(3), features_of(keys_of(3)).copy()
    with store_at(tmp_path).writer() as writer:
        writer.append(keys, buffer)
        buffer[:] = 0
    publish(store_at(tmp_path), keys, keys, tmp_path / "features")
    assert same_bits(FeatureCache(tmp_path / "features").get(keys), features_of(keys))


def test_an_exception_keeps_the_appended_rows_and_goes_on(tmp_path):
    with pytest.raises(ZeroDivisionError), store_at(tmp_path).writer() as writer:  # noqa: PT012
        writer.append(keys_of(3), features_of(keys_of(3)))
        _ = 1 / 0
    assert store_at(tmp_path).keys() == set(keys_of(3))


def test_equal_rows_make_equal_shards_whatever_the_batches(tmp_path):
    keys = keys_of(7)
    extract(tmp_path / "a", keys)
    extract(tmp_path / "b", keys, batch_size=3)
    (one,), (other,) = store_at(tmp_path / "a").shards(), store_at(tmp_path / "b").shards()
    assert one.path.name == other.path.name
    assert one.path.read_bytes() == other.path.read_bytes()


KEYS = keys_of(2)


@pytest.mark.parametrize(
    ("keys", "features", "message"),
    [
        (KEYS, features_of(KEYS).astype(np.float32), r"float16 of shape \(2, 2, 3, 8\), not float32"),
        (KEYS, features_of(KEYS)[:1], r"not float16 \(1, 2, 3, 8\)"),
        (KEYS, features_of(KEYS)[:, :1], r"not float16 \(2, 1, 3, 8\)"),
        (KEYS, features_of(KEYS).tolist(), "not list"),
        (["abc", KEYS[1]], features_of(KEYS), "not a key: 'abc'"),
        ([KEYS[0] + "0", KEYS[1]], features_of(KEYS), "not a key"),
        ([KEYS[0].upper(), KEYS[1]], features_of(KEYS), "not a key"),
        (["é" * 64, KEYS[1]], features_of(KEYS), "not a key"),
        (KEYS[0], features_of(KEYS[:1]), "sequence of keys"),
        ([1, 2], features_of(KEYS), "sequence of keys"),
        ([KEYS[0], KEYS[0]], features_of(KEYS), "occurs twice"),
        ([KEYS[0], key_of(99)], features_of(KEYS), f"{key_of(99)} is in the store already"),
    ],
)
def test_append_refuses_and_changes_nothing(tmp_path, keys, features, message):
    extract(tmp_path, [key_of(99)])
    with store_at(tmp_path).writer() as writer:
        with pytest.raises(CacheError, match=message):
            writer.append(keys, features)
        assert writer.pending_rows == 0
    assert store_at(tmp_path).keys() == {key_of(99)}


def test_append_refuses_a_key_that_waits_in_memory(tmp_path):
    with store_at(tmp_path).writer() as writer:
        writer.append(KEYS, features_of(KEYS))
        with pytest.raises(CacheError, match="in the store already"):
            writer.append(KEYS[:1], features_of(KEYS[:1]))


def test_append_outside_the_block_is_refused(tmp_path):
    with pytest.raises(CacheError, match="inside"):
        store_at(tmp_path).writer().append(KEYS, features_of(KEYS))


@pytest.mark.parametrize("shape", [(1, 2), (0, 1, 1), (1, 1, 1.5), (1, 1, -4)])
def test_a_shape_that_is_none_is_refused(tmp_path, shape):
    with pytest.raises(CacheError, match="three positive integers"):
        FeatureStore(tmp_path, {}, shape)


def test_another_description_never_sees_the_features(tmp_path):
    extract(tmp_path, KEYS)
    changed = FeatureStore(tmp_path, DESCRIPTION | {"views": 3}, SHAPE)
    assert changed.keys() == set()
    with pytest.raises(CacheError, match="2 of 2 images have no features"):
        publish(changed, KEYS, KEYS, tmp_path / "features")
    assert store_at(tmp_path).keys() == set(KEYS)


def test_another_shape_under_the_same_description_is_refused_and_nothing_moved(tmp_path):
    extract(tmp_path, KEYS)
    with pytest.raises(CacheError, match="put what decides the shape into the description"):
        store_at(tmp_path, (1, 1, 4)).keys()
    assert store_at(tmp_path).keys() == set(KEYS)


def test_reading_the_keys_of_no_store_creates_nothing(tmp_path):
    assert store_at(tmp_path / "none").keys() == set()
    assert not (tmp_path / "none").exists()


def cut_short(shard: Path) -> None:
    with shard.open("r+b") as file:
        file.truncate(shard.stat().st_size - 1)


def make_foreign(shard: Path) -> None:
    other = FeatureStore(shard.parents[1], {"other": True}, SHAPE)
    with other.writer() as writer:
        writer.append([key_of(50)], features_of([key_of(50)]))
    shutil.copy(other.shards()[0].path, shard)


def rewrite_with_chunks(shard: Path) -> None:
    with h5py.File(shard, "r+") as file:
        content = file["features"][:]
        del file["features"]
        file.create_dataset("features", data=content, chunks=(1, *SHAPE))


def drop_a_dataset(shard: Path) -> None:
    with h5py.File(shard, "r+") as file:
        del file["checksum"]


DAMAGE = {
    "cut short": cut_short,
    "empty": lambda shard: shard.write_bytes(b""),
    "no HDF5": lambda shard: shard.write_text("<html>404</html>"),
    "foreign": make_foreign,
    "chunked": rewrite_with_chunks,
    "a dataset missing": drop_a_dataset,
    "another HDF5 file": lambda shard: h5py.File(shard, "w").close(),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_repair_sets_a_shard_aside_that_cannot_be_trusted_as_a_whole(tmp_path, damage):
    extract(tmp_path, KEYS)
    (shard,) = store_at(tmp_path).shards()
    damage(shard.path)
    assert repair(store_at(tmp_path), shard.path) == 0
    assert (shard.path.parent / "set-aside" / shard.path.name).exists()
    assert store_at(tmp_path).keys() == set()


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_shard_is_named_set_aside_and_computed_again(tmp_path, caplog, damage):
    keys = keys_of(9)
    extract(tmp_path, keys[:4])
    (shard,) = store_at(tmp_path).shards()
    extract(tmp_path, keys)
    damage(shard.path)
    damaged_bytes = shard.path.read_bytes()
    (found,) = find_damage(shard.path)
    assert (found.path, found.row) == (shard.path, None)
    (summary,) = (store for store in list_stores(tmp_path) if store.folder == shard.path.parent)
    assert summary.damaged == [(shard.path, found.reason)]
    with caplog.at_level(logging.WARNING, "cache"):
        assert store_at(tmp_path).keys() == set(keys[4:])
    assert shard.path.name in caplog.text
    assert (shard.path.parent / "set-aside" / shard.path.name).read_bytes() == damaged_bytes
    extract(tmp_path, keys)
    publish(store_at(tmp_path), keys, keys, tmp_path / "features")
    assert same_bits(FeatureCache(tmp_path / "features").get(keys), features_of(keys))


def test_what_was_set_aside_earlier_is_not_overwritten(tmp_path):
    for content in (b"first", b"second", b"third"):
        extract(tmp_path, KEYS)
        (shard,) = store_at(tmp_path).shards()
        shard.path.write_bytes(content)
        assert store_at(tmp_path).keys() == set()
    kept = {path.read_bytes() for path in (shard.path.parent / "set-aside").iterdir()}
    assert kept == {b"first", b"second", b"third"}


def test_an_append_that_is_interrupted_halfway_leaves_its_rows_out_and_no_trace(tmp_path, monkeypatch):
    keys = keys_of(6)
    write = row_writer._write_at

    def interrupted(descriptor: int, content: memoryview, offset: int) -> None:
        write(descriptor, content[:100], offset)
        raise KeyboardInterrupt

    with store_at(tmp_path).writer() as writer:
        for first in (0, 3):  # as the first rows of a shard, and behind others
            with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # noqa: PT012
                patch.setattr(row_writer, "_write_at", interrupted)
                writer.append(keys[first : first + 2], features_of(keys[first : first + 2]))
            writer.append(keys[first + 2 : first + 3], features_of(keys[first + 2 : first + 3]))
    kept = [keys[2], keys[5]]
    assert store_at(tmp_path).keys() == set(kept)
    publish(store_at(tmp_path), kept, kept, tmp_path / "features")
    assert same_bits(FeatureCache(tmp_path / "features").get(kept), features_of(kept))


def test_an_interrupted_writer_without_a_row_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(row_writer, "_write_at", interrupted)
    with pytest.raises(KeyboardInterrupt), store_at(tmp_path).writer() as writer:
        writer.append(KEYS, features_of(KEYS))
    assert [path.name for path in store_at(tmp_path).folder.iterdir()] == []


def test_interrupted_as_its_file_is_made_a_shard_leaves_none(tmp_path, monkeypatch):
    class Interrupted(RowWriter):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            raise KeyboardInterrupt

    store = store_at(tmp_path)
    monkeypatch.setattr("cache.growing_shard.RowWriter", Interrupted)
    with pytest.raises(KeyboardInterrupt), store.writer() as writer:
        writer.append(keys_of(2), features_of(keys_of(2)))
    assert [path.name for path in store.folder.iterdir()] == []
