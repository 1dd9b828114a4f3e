"""The published bytes depend on keys, names and features only."""

import json
import logging
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from cache import CacheError, FeatureCache, publish, read_published_fingerprint
from tests.cache.extraction import SHAPE, extract, features_of, key_of, keys_of, name_of, same_bits, store_at

KEYS = keys_of(12)
NAMES = [name_of(key) for key in KEYS]


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> bytes:
    """The bytes after one run without history."""
    root = tmp_path_factory.mktemp("plain")
    extract(root, KEYS)
    return publish(store_at(root), KEYS, NAMES, root / "features").read_bytes()


@given(st.permutations(range(len(KEYS))), st.lists(st.integers(0, len(KEYS)), max_size=3), st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_any_history_gives_the_same_bytes(tmp_path_factory, expected, order, portions, rows_per_shard):
    root = tmp_path_factory.mktemp("history")
    keys = [KEYS[index] for index in order]
    for end in [*portions, len(keys)]:
        extract(root, keys[:end], batch_size=rows_per_shard, shard_mib=rows_per_shard * 96 / 2**20)
    extract(root, keys_of(15)[12:])  # images of another branch, not wanted here
    path = publish(store_at(root), keys, [name_of(key) for key in keys], root / "features")
    assert path.read_bytes() == expected


def test_the_hour_leaves_no_trace_in_the_bytes(tmp_path, expected):
    time.sleep(1.1)  # HDF5's time stamps count seconds
    extract(tmp_path, KEYS)
    assert publish(store_at(tmp_path), KEYS, NAMES, tmp_path / "features").read_bytes() == expected


def test_publishing_in_small_blocks_gives_the_same_bytes(tmp_path, expected, monkeypatch):
    monkeypatch.setattr("cache.row_reader._BLOCK_BYTES", 300)
    extract(tmp_path, KEYS, batch_size=5, flush_every_s=0)
    assert publish(store_at(tmp_path), KEYS, NAMES, tmp_path / "features").read_bytes() == expected


def test_the_file_opens_with_bare_h5py(tmp_path):
    extract(tmp_path, KEYS)
    path = publish(store_at(tmp_path), KEYS, NAMES, tmp_path / "features")
    with h5py.File(path) as file:
        assert list(file) == ["checksum", "features", "image", "key"]
        keys = file["key"].asstr()[:].tolist()
        assert keys == sorted(KEYS)
        assert file["image"].asstr()[:].tolist() == [name_of(key) for key in keys]
        assert file["features"].shape == (len(KEYS), *SHAPE)
        assert same_bits(file["features"][:], features_of(keys))
        assert file["features"].chunks is None
        assert file.attrs["fingerprint"].decode() == store_at(tmp_path).fingerprint
        assert json.loads(file.attrs["description"]) == json.loads(store_at(tmp_path).description_text)


def test_a_checksum_is_what_anyone_can_compute(tmp_path):
    extract(tmp_path, KEYS)
    with h5py.File(publish(store_at(tmp_path), KEYS, NAMES, tmp_path / "features")) as file:
        rows = zip(file["key"][:], file["features"][:], strict=True)
        expected = [xxhash.xxh3_64_intdigest(key + row.tobytes()) for key, row in rows]
        assert file["checksum"][:].tolist() == expected


def test_fingerprint_json_says_what_the_file_holds(tmp_path):
    extract(tmp_path, KEYS)
    publish(store_at(tmp_path), KEYS, NAMES, tmp_path / "features")
    summary = json.loads((tmp_path / "features" / "fingerprint.json").read_text())
    assert summary["fingerprint"] == store_at(tmp_path).fingerprint
    assert summary["images"] == 12
    assert summary["shape"] == {"views": 2, "tokens": 3, "channels": 8}


def test_a_key_given_twice_is_one_row_with_the_first_name(tmp_path):
    extract(tmp_path, KEYS[:2])
    keys, names = [KEYS[0], KEYS[1], KEYS[0]], ["z-a-very-long-name.jpg", "b.jpg", "a.jpg"]
    publish(store_at(tmp_path), keys, names, tmp_path / "one")
    publish(store_at(tmp_path), KEYS[:2], ["a.jpg", "b.jpg"], tmp_path / "two")
    with FeatureCache(tmp_path / "one") as cache:
        assert dict(zip(cache.keys.astype(str).tolist(), cache.images, strict=True)) == {
            KEYS[0]: "a.jpg",
            KEYS[1]: "b.jpg",
        }
    assert (tmp_path / "one/features.h5").read_bytes() == (tmp_path / "two/features.h5").read_bytes()


def test_missing_images_are_counted_and_the_first_is_named(tmp_path):
    extract(tmp_path, KEYS[:10])
    first = min(KEYS[10:])
    with pytest.raises(CacheError, match=f"2 of 12 images have no features .*{name_of(first)}"):
        publish(store_at(tmp_path), KEYS, NAMES, tmp_path / "features")
    assert not (tmp_path / "features").exists()


@pytest.mark.parametrize(
    ("keys", "names", "message"),
    [([], [], "no image"), (KEYS, NAMES[:3], "12 keys for 3"), (KEYS[:1], ["\udcff"], "not Unicode"),
     (KEYS[:1], ["a\0"], "zero byte")],
)  # fmt: skip
def test_what_cannot_be_published_is_refused(tmp_path, keys, names, message):
    extract(tmp_path, KEYS)
    with pytest.raises(CacheError, match=message):
        publish(store_at(tmp_path), keys, names, tmp_path / "features")


def test_a_damaged_row_sets_its_shard_aside_and_costs_that_row_alone(tmp_path, caplog, expected):
    extract(tmp_path, KEYS)
    store, destination = store_at(tmp_path), tmp_path / "features"
    publish(store, KEYS[:3], NAMES[:3], destination)
    before = (destination / "features.h5").read_bytes()
    (shard,) = store.shards()
    change_one_byte(shard.path, shard.offset + 5 * shard.row_bytes)
    with caplog.at_level(logging.WARNING, "cache"), pytest.raises(CacheError, match=r"row 5 .* again") as caught:
        publish(store, KEYS, NAMES, destination)
    assert shard.path.name in str(caught.value)
    assert (destination / "features.h5").read_bytes() == before
    assert list(destination.glob(".*.partial")) == []
    assert store.keys() == set(KEYS) - {shard.keys[5].decode()}  # the good rows of the damaged shard are kept
    extract(tmp_path, KEYS)
    assert publish(store, KEYS, NAMES, destination).read_bytes() == expected


def change_one_byte(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def test_a_partial_file_of_a_killed_run_is_removed(tmp_path):
    extract(tmp_path, KEYS)
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / ".features.h5.0123abcd.partial").write_bytes(b"half")
    publish(store_at(tmp_path), KEYS, NAMES, tmp_path / "features")
    assert sorted(path.name for path in (tmp_path / "features").iterdir()) == ["features.h5", "fingerprint.json"]


def test_the_same_key_in_two_shards_is_published_once(tmp_path, expected):
    """As after merging the stores of two machines."""
    extract(tmp_path / "other", KEYS[:7])
    extract(tmp_path / "this", KEYS[4:])
    (shard,) = store_at(tmp_path / "other").shards()
    shard.path.rename(store_at(tmp_path / "this").folder / shard.path.name)
    assert publish(store_at(tmp_path / "this"), KEYS, NAMES, tmp_path / "features").read_bytes() == expected


def test_every_row_in_the_file_is_float16_and_in_key_order(published):
    with FeatureCache(published) as cache:
        assert cache.features.dtype == np.float16
        assert same_bits(np.asarray(cache.features), features_of(cache.keys.astype(str).tolist()))
        assert key_of(0) in cache


def test_the_published_fingerprint_is_read_from_its_folder_and_none_without_one(published, tmp_path):
    assert read_published_fingerprint(published.parent) == FeatureCache(published).fingerprint
    assert read_published_fingerprint(tmp_path / "nowhere") is None
    (published.parent / "fingerprint.json").write_text("[half")
    assert read_published_fingerprint(published.parent) is None
