"""Published rows are on the disk once."""

import os

from cache import share_with_published
from tests.cache.extraction import extract, store_at
from tests.cache.files import KEYS, content, publish_all


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
