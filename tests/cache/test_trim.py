"""Dropping rows keeps all others."""

from hypothesis import given, settings
from hypothesis import strategies as st

from cache import FeatureCache, keep_only
from tests.cache.extraction import extract, features_of, same_bits, store_at
from tests.cache.files import KEYS, publish_all


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
