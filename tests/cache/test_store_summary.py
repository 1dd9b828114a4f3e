"""A summary describes a store and changes nothing."""

from cache import list_stores
from tests.cache.extraction import DESCRIPTION, SHAPE, extract, store_at
from tests.cache.files import KEYS, content


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
