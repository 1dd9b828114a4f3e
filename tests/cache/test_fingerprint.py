"""Equal settings have one fingerprint, different ones never the same."""

import hashlib
from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache import CacheError, fingerprint
from cache.fingerprint import canonical_json

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(
    st.characters(exclude_categories=["Cs"])
)  # fmt: skip
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3))
descriptions = st.dictionaries(names, values, max_size=4)


@given(descriptions)
def test_order_of_keys_does_not_matter(description):
    reversed_order = OrderedDict(reversed(description.items()))
    assert fingerprint(reversed_order) == fingerprint(description)


@given(descriptions, descriptions)
def test_fingerprints_are_equal_exactly_if_canonical_texts_are(one, other):
    assert (fingerprint(one) == fingerprint(other)) == (canonical_json(one) == canonical_json(other))


def test_fingerprint_is_the_sha256_anyone_can_compute():
    text = '{"description":{"a":0.1,"é":[1,null]},"format_version":1}'
    assert fingerprint({"é": (1, None), "a": 0.1}) == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("one", "other"),
    [({"a": 1}, {"a": 2}), ({"a": 1}, {"a": 1.0}), ({"a": 1}, {"a": "1"}), ({"a": 1}, {"b": 1}), ({}, {"a": None})],
)
def test_any_change_is_another_fingerprint(one, other):
    assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), b"bytes", {1: "a"}, {1, 2}, object(), "\ud800", {"\ud800": 1}]
)
def test_what_is_not_json_is_refused_by_name(value):
    with pytest.raises(CacheError, match=r"description\.a\.b"):
        fingerprint({"a": {"b": value}})
