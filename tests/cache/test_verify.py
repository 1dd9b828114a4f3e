"""Damage is reported by file and row, and costs the damaged rows only."""

import pytest

from cache import (
    CacheError,
    FeatureCache,
    FeatureStore,
    count_rows,
    find_damage,
    repair,
    repair_stores,
    verify_stores,
)
from tests.cache.extraction import DESCRIPTION, SHAPE, extract, features_of, same_bits, store_at
from tests.cache.files import KEYS, content, publish_all, spoil


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


def test_verifying_counts_files_and_rows_and_changes_nothing(tmp_path):
    extract(tmp_path, KEYS, shard_mib=10 * 96 / 2**20)
    published = publish_all(tmp_path, KEYS[:20])
    read = []
    before = content(tmp_path)
    report = verify_stores(tmp_path, published, advance=read.append)
    assert (report.files, report.rows, report.damage) == (4, 50, [])
    assert sum(read) == count_rows(tmp_path, published) == 50
    assert verify_stores(tmp_path, tmp_path / "not published").files == 3
    assert content(tmp_path) == before


def test_verifying_and_repairing_stores_keeps_every_good_row(tmp_path):
    """One shard loses two rows, one is unreadable, and a store of other settings has no readable shard."""
    extract(tmp_path, KEYS, shard_mib=10 * 96 / 2**20)
    other = FeatureStore(tmp_path, DESCRIPTION | {"views": 3}, SHAPE)
    with other.writer() as writer:
        writer.append(KEYS[:4], features_of(KEYS[:4]))
    (lonely,) = other.folder.glob("shard-*.h5")
    lonely.write_bytes(b"no shard")
    spoilt, unreadable, _ = store_at(tmp_path).shards()
    spoil(spoilt.path, 2, 5)
    unreadable.path.write_bytes(b"no shard")
    before = content(tmp_path)
    report = verify_stores(tmp_path)
    assert {(damage.path, damage.row) for damage in report.damage} == {
        (lonely, None), (spoilt.path, 2), (spoilt.path, 5), (unreadable.path, None),
    }  # fmt: skip
    assert (report.files, report.damaged_files, report.rows) == (4, 3, 20)
    assert content(tmp_path) == before
    repair_stores(report.damage)
    lost = {spoilt.keys[row].decode() for row in (2, 5)} | {key.decode() for key in unreadable.keys}
    assert store_at(tmp_path).keys() == set(KEYS) - lost
    set_aside = {path.name for path in tmp_path.glob("*/set-aside/*")}
    assert set_aside == {lonely.name, spoilt.path.name, unreadable.path.name}
    assert verify_stores(tmp_path).damage == []


def test_a_damaged_published_file_is_reported_and_stays(tmp_path):
    extract(tmp_path, KEYS)
    published = publish_all(tmp_path)
    spoil(published, 7)
    before = content(tmp_path)
    report = verify_stores(tmp_path, published)
    assert [(damage.path, damage.row) for damage in report.damage] == [(published, 7)]
    repair_stores(report.damage)
    assert content(tmp_path) == before
