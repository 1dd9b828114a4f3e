"""What was computed is never computed again, never read for nothing, and never taken for what it is not."""

import multiprocessing
import os
from pathlib import Path

import pytest

from cache import CacheError, FeatureCache, FeatureStore, publish
from tests.cache.extraction import DESCRIPTION, SHAPE, extract, features_of, keys_of, name_of, noted, store_at

KEYS = keys_of(404)
WIDE = (2, 9, 512)
forked = multiprocessing.get_context("fork")


def add_and_count(root: Path, report: Path, answers) -> None:
    """Extract all of KEYS; tell how many bytes this process read."""

    def bytes_read() -> int:
        fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
        return int(fields["rchar"])

    before = bytes_read()
    extract(root, KEYS, shape=WIDE, report=report)
    answers.put(bytes_read() - before)


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="only Linux counts what a process reads")
def test_one_percent_more_images_computes_those_and_reads_no_old_feature(tmp_path):
    extract(tmp_path, KEYS[:400], shape=WIDE, shard_mib=1)
    size = sum(shard.path.stat().st_size for shard in store_at(tmp_path, WIDE).shards())
    answers = forked.Queue()
    child = forked.Process(target=add_and_count, args=(tmp_path, tmp_path / "report", answers))
    child.start()
    read = answers.get(timeout=60)
    child.join(60)
    assert noted(tmp_path / "report") == set(KEYS[400:])
    assert store_at(tmp_path, WIDE).keys() == set(KEYS)
    # Keys and checksums are 72 bytes a row, features 18,432; HDF5 reads ahead a little in every shard.
    assert read < 0.1 * size


def test_three_portions_publish_the_bytes_of_one_run(tmp_path):
    digests = set()
    for folder, ends in (("at once", [40]), ("in portions", [7, 26, 40]), ("others before", [40])):
        root = tmp_path / folder
        if folder == "others before":
            extract(root, KEYS[30:60])
        for end in ends:
            extract(root, KEYS[:end], batch_size=3)
        digests.add(publish(store_at(root), KEYS[:40], [name_of(key) for key in KEYS[:40]], root / "out").read_bytes())
    assert len(digests) == 1


def test_under_changed_settings_nothing_old_can_be_read(tmp_path):
    extract(tmp_path, KEYS[:9])
    old = publish(store_at(tmp_path), KEYS[:9], KEYS[:9], tmp_path / "old")
    changed = FeatureStore(tmp_path, DESCRIPTION | {"tokens": 4}, SHAPE)
    assert changed.keys() == set()
    with pytest.raises(CacheError, match="9 of 9"):
        publish(changed, KEYS[:9], KEYS[:9], tmp_path / "new")
    # Not even by hand: a shard of the old settings in the folder of the new ones is set aside.
    with changed.writer() as writer:
        writer.append(KEYS[9:10], features_of(KEYS[9:10]))
    os.link(store_at(tmp_path).shards()[0].path, changed.folder / "shard-0000000000000000.h5")
    assert changed.keys() == {KEYS[9]}
    assert (changed.folder / "set-aside" / "shard-0000000000000000.h5").exists()
    # And going back costs nothing.
    assert store_at(tmp_path).keys() == set(KEYS[:9])
    assert FeatureCache(old).fingerprint == store_at(tmp_path).fingerprint != changed.fingerprint
