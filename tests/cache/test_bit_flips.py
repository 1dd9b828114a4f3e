"""A flipped bit is found, or lies in a byte that nobody reads.

CACHE_FLIPS=9999 uv run pytest tests/cache/test_bit_flips.py    flips more than the default 1,000 bits of either file
"""

import os
import random
from pathlib import Path

import h5py
import numpy as np
import pytest

from cache import CacheError, FeatureCache
from tests.cache.extraction import extract, keys_of, store_at

WIDE = (2, 3, 200)  # most of a shard's bytes are features, as they are in a real one
FLIPS = int(os.environ.get("CACHE_FLIPS", "1000"))


def everything_read(path: Path) -> tuple:
    """All that a reader can learn from the file, checked; and what bare h5py reads."""
    with FeatureCache(path) as cache:
        cache.check()
        ours = (cache.shape, cache.fingerprint, cache.description, cache.keys.tobytes(), bytes(cache.features))
        if cache._tables.images is not None:
            ours += (cache.images,)
    with h5py.File(path) as file:
        bare = {name: dataset[:].tobytes() for name, dataset in file.items()}
        attributes = {name: np.asarray(value).tobytes() for name, value in file.attrs.items()}
        return ours, bare, attributes


def bytes_of_datasets(path: Path) -> set[int]:
    with h5py.File(path) as file:
        regions = [(dataset.id.get_offset(), dataset.id.get_storage_size()) for dataset in file.values()]
    return {position for offset, size in regions for position in range(offset, offset + size)}


def undetected_flips(path: Path, positions: list[int], bits: random.Random) -> list[int]:
    """Flip one bit at each position in turn; the positions where nothing was reported."""
    original, expected = path.read_bytes(), everything_read(path)
    undetected = []
    for position in positions:
        changed = bytearray(original)
        changed[position] ^= 1 << bits.randrange(8)
        path.write_bytes(changed)
        try:
            found = everything_read(path)
        except CacheError:
            continue
        assert found == expected, f"a flip in byte {position} changes what is read and is not found"
        undetected.append(position)
    path.write_bytes(original)
    return undetected


@pytest.fixture(params=["published", "shard"])
def file(request, tmp_path) -> Path:
    if request.param == "published":
        return request.getfixturevalue("published")
    extract(tmp_path, keys_of(30), shape=WIDE)
    return store_at(tmp_path, WIDE).shards()[0].path


def test_every_flip_is_found_or_lies_in_bytes_that_hold_nothing(file):
    bits = random.Random(0)
    positions = [bits.randrange(file.stat().st_size) for _ in range(FLIPS)]
    undetected = undetected_flips(file, positions, bits)
    assert not bytes_of_datasets(file) & set(undetected)  # of content, every flip is found
    assert len(undetected) < FLIPS  # the test does find some


def test_every_flip_in_the_structure_is_found_or_changes_nothing(file):
    """HDF5's own bytes are few, so chance seldom meets them in a large file."""
    bits = random.Random(1)
    content = bytes_of_datasets(file)
    structure = [position for position in range(file.stat().st_size) if position not in content]
    nonzero = [position for position in structure if file.read_bytes()[position]]
    undetected_flips(file, random.Random(2).sample(nonzero, min(FLIPS, len(nonzero))), bits)


def test_flips_in_the_store_are_seen_without_reading_features(tmp_path):
    extract(tmp_path, keys_of(30))
    (shard,) = store_at(tmp_path).shards()
    original = shard.path.read_bytes()
    for table in (shard.keys.tobytes(), shard.checksums.tobytes()):
        changed = bytearray(original)
        changed[original.index(table) + len(table) // 2] ^= 4
        shard.path.write_bytes(changed)
        assert store_at(tmp_path).keys() == set()
        shard.path.write_bytes(original)
        assert store_at(tmp_path).keys() == set(keys_of(30))
