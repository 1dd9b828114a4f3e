"""The published cache answers by key, in any process, and refuses what it cannot trust."""

import errno
import logging
import multiprocessing
import os
import pickle
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from cache import (
    CacheError,
    DamagedFileError,
    FeatureCache,
    FeatureDataset,
    FeatureStore,
    MissingRowsError,
    checked_rows,
    publish,
)
from tests.cache.extraction import SHAPE, extract, features_of, key_of, keys_of, name_of, same_bits, store_at
from tests.cache.files import spoil

KEYS = keys_of(30)


def test_a_folder_and_its_file_open_alike(published):
    with FeatureCache(published) as by_file, FeatureCache(published.parent) as by_folder:
        assert by_file.path == by_folder.path
        assert len(by_file) == 30
        assert by_file.shape == SHAPE


def test_keys_ascend_and_go_with_their_images(published):
    with FeatureCache(published) as cache:
        assert cache.keys.dtype == "S64"
        assert [key.decode() for key in cache.keys] == sorted(KEYS)
        assert cache.images == [name_of(key) for key in sorted(KEYS)]


def test_contains_knows_the_keys_and_nothing_else(published):
    with FeatureCache(published) as cache:
        assert all(key in cache and key.encode() in cache for key in KEYS)
        others = [key_of(30), "0" * 64, "f" * 64, KEYS[0][:63], KEYS[0] + "0", "é" * 64, "", 7, None]
        assert not any(other in cache for other in others)


def test_get_follows_the_order_asked_with_repeats(published):
    asked = [KEYS[5], KEYS[0], KEYS[5], KEYS[29]]
    with FeatureCache(published) as cache:
        assert same_bits(cache.get(asked), features_of(asked))
        assert same_bits(cache.get(np.array(asked, "S64")), features_of(asked))
        assert cache.rows(asked).dtype == np.int64
        assert cache.get([]).shape == (0, *SHAPE)


def test_get_gives_a_copy_and_the_map_is_read_only(published):
    with FeatureCache(published) as cache:
        cache.get(KEYS[:1])[:] = 0
        assert same_bits(cache.get(KEYS[:1]), features_of(KEYS[:1]))
        assert isinstance(cache.features, np.memmap)
        for array in (cache.features, cache.keys):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = array[1]


def test_unknown_keys_are_counted_and_named(published):
    with FeatureCache(published) as cache, pytest.raises(MissingRowsError, match=f"1 of 2 keys .*{key_of(77)}"):
        cache.get([KEYS[0], key_of(77)])


def test_a_closed_cache_says_so_and_its_arrays_live_on(published):
    with FeatureCache(published) as cache:
        features = cache.features
    with pytest.raises(CacheError, match="closed"):
        cache.get(KEYS)
    assert same_bits(np.asarray(features), features_of(sorted(KEYS)))


def test_an_open_cache_keeps_its_content_while_a_new_one_is_published(published, tmp_path):
    cache = FeatureCache(published)
    publish(store_at(tmp_path / "store"), KEYS[:3], KEYS[:3], published.parent)
    assert same_bits(cache.get(KEYS), features_of(KEYS))
    assert len(FeatureCache(published)) == 3
    with pytest.raises(CacheError, match="published again"):
        pickle.loads(pickle.dumps(cache))


def read_in_child(cache: FeatureCache, keys: list[str], answers) -> None:
    answers.put((os.getpid(), cache.get(keys).tobytes()))


@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.parametrize("mapped", [True, False], ids=["mapped", "by plain reads"])
def test_other_processes_read_the_same_bits(published, method, mapped, monkeypatch):
    if not mapped:
        refuse_to_map(monkeypatch)
    cache = FeatureCache(published)
    assert same_bits(cache.get(KEYS), features_of(KEYS))  # the parent has its handles open before it forks
    context = multiprocessing.get_context(method)
    answers = context.Queue()
    children = [context.Process(target=read_in_child, args=(cache, KEYS[n:], answers)) for n in range(2)]
    for child in children:
        child.start()
    received = dict(answers.get(timeout=60) for _ in children)
    for child in children:
        child.join(60)
    assert [received[child.pid] for child in children] == [features_of(KEYS[n:]).tobytes() for n in range(2)]


def refuse_to_map(monkeypatch) -> None:
    """As under `ulimit -v`, where there are no addresses for the map."""

    def no_addresses(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr("cache.tables.np.memmap", no_addresses)


def test_a_file_that_cannot_be_mapped_is_read_by_plain_reads_and_the_log_says_so(published, monkeypatch, caplog):
    refuse_to_map(monkeypatch)
    with caplog.at_level(logging.WARNING, "cache"), FeatureCache(published) as cache:
        assert "cannot be memory-mapped" in caplog.text
        asked = [KEYS[5], KEYS[0], KEYS[5]]
        assert same_bits(cache.get(asked), features_of(asked))
        assert cache.check() == 30
        cache.release()
        with pytest.raises(CacheError, match=r"cannot be mapped.+use get or take"):
            _ = cache.features
    spoil(published, 7)
    with FeatureCache(published) as cache, pytest.raises(DamagedFileError, match="row 7 "):
        cache.get(KEYS)


def test_without_a_map_an_open_cache_keeps_its_content_while_a_new_one_is_published(published, tmp_path, monkeypatch):
    refuse_to_map(monkeypatch)
    cache = FeatureCache(published)
    publish(store_at(tmp_path / "store"), KEYS[:3], KEYS[:3], published.parent)
    assert same_bits(cache.get(KEYS), features_of(KEYS))


def cut_short(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def edit(change):
    def damage(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            change(file)

    return damage


DAMAGE = {
    "empty": lambda path: path.write_bytes(b""),
    "no HDF5": lambda path: path.write_text("version https://git-lfs.github.com/spec/v1"),
    "cut short": cut_short,
    "features missing": edit(lambda file: file.__delitem__("features")),
    "keys missing": edit(lambda file: file.__delitem__("key")),
    "version 2": edit(lambda file: file.attrs.modify("format_version", np.int64(2))),
    "keys changed": edit(lambda file: file["key"].__setitem__(0, b"0" * 64)),
    "image changed": edit(lambda file: file["image"].__setitem__(0, b"other.jpg")),
    "description changed": edit(lambda file: file.attrs.modify("description", np.bytes_(b"{}"))),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_refused_with_its_name_and_the_fix(published, damage):
    damage(published)
    with pytest.raises(CacheError, match=r"features\.h5 is damaged: .+; compute its rows again$"):
        FeatureCache(published)


def test_no_file_is_said_to_be_no_file(tmp_path):
    with pytest.raises(MissingRowsError, match=r"no feature cache at .*features\.h5; compute and publish its rows"):
        FeatureCache(tmp_path)


def test_check_names_the_row_that_changed(published):
    edit(lambda file: file["features"].__setitem__((7, 1, 2, 3), 0.5))(published)
    with FeatureCache(published) as cache:
        assert cache.check(np.arange(7)) == 7
        for rows in (None, np.array([9, 7])):
            with pytest.raises(CacheError, match=r"features\.h5 is damaged: row 7 "):
                cache.check(rows)


@pytest.mark.parametrize("view", [None, 0, np.array([0, 1, 1])], ids=["all views", "one view", "a view each"])
@pytest.mark.parametrize("asked", [[9, 7, 2], [2, -23, 7], [7, 7, 7]])
def test_a_damaged_row_is_refused_by_name_in_whatever_batch_it_is_first_read(published, view, asked):
    """The change is in view 1: a checksum covers all views."""
    edit(lambda file: file["features"].__setitem__((7, 1, 2, 3), 0.5))(published)
    image = name_of(sorted(KEYS)[7])
    with FeatureCache(published) as cache:
        assert same_bits(cache.take(np.array([9, 2])), features_of(sorted(KEYS))[[9, 2]])
        for _ in range(2):  # and it stays refused
            with pytest.raises(DamagedFileError, match=rf"features\.h5 is damaged: row 7 \({image}\) does not match"):
                cache.take(np.array(asked), view)
        with pytest.raises(DamagedFileError, match="row 7 "):
            cache.get(KEYS)
        with pytest.raises(DamagedFileError, match="row 7 "):
            FeatureDataset(cache, KEYS, view=0).__getitems__(range(30))
    with pytest.raises(DamagedFileError, match="row 7 "):
        FeatureCache(published, check="opening")


def test_a_row_is_checked_once_for_each_open_cache(published, monkeypatch):
    counted = []
    compute = checked_rows.hash_rows

    def count(keys: list[bytes], features: np.ndarray) -> list[int]:
        counted.extend(keys)
        return compute(keys, features)

    monkeypatch.setattr(checked_rows, "hash_rows", count)
    with FeatureCache(published) as cache:
        for rows, views in (([3, 1, 3], None), ([1, 3], 1), ([1, 4], 0), ([4, 5, 1], None), ([-25, 5], [0, 1])):
            cache.take(np.array(rows), views)
        assert sorted(counted) == sorted([*cache.keys[[3, 1, 3]].tolist(), *cache.keys[[4, 5]].tolist()])


def test_what_a_forked_child_has_checked_its_parent_need_not_check(published, monkeypatch):
    cache = FeatureCache(published)
    child = multiprocessing.get_context("fork").Process(target=cache.get, args=(KEYS,))
    child.start()
    child.join(60)
    monkeypatch.setattr(checked_rows, "hash_rows", lambda *arguments: pytest.fail("checked again"))
    assert same_bits(cache.get(KEYS), features_of(KEYS))


@pytest.mark.parametrize("mapped", [True, False], ids=["mapped", "by plain reads"])
@pytest.mark.parametrize("rows", [[30], [0, -31]])
def test_there_is_no_row_outside_the_file(published, rows, mapped, monkeypatch):
    if not mapped:
        refuse_to_map(monkeypatch)
    with FeatureCache(published) as cache:
        for _ in range(2):
            with pytest.raises(IndexError):
                cache.take(np.array(rows))
            with pytest.raises(IndexError):
                cache.take(np.array(rows), 1)
            cache.take(np.arange(30))
            cache.check()


def test_the_dataset_pairs_features_with_labels(published):
    with FeatureCache(published) as cache:
        dataset = FeatureDataset(cache, KEYS, labels=list(range(30)), view=1)
        assert len(dataset) == 30
        features, label = dataset[4]
        assert label == 4
        assert same_bits(features, features_of(KEYS[4:5])[0, 1])
        batch = dataset.__getitems__([3, 0, 3])
        assert [label for _, label in batch] == [3, 0, 3]
        assert same_bits(np.stack([row for row, _ in batch]), features_of([KEYS[3], KEYS[0], KEYS[3]])[:, 1])
        assert same_bits(FeatureDataset(cache, KEYS)[2], features_of(KEYS[2:3])[0])


def append_and_publish(root: Path, published, stop) -> None:
    """Until told to stop: more images into the store, one by one, and a new file in the old one's place each time."""
    for count in range(31, 10_000):
        if stop.is_set():
            return
        keys = keys_of(count)
        extract(root / "store", keys)
        publish(store_at(root / "store"), keys, keys, root / "features")
        published.value = count


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_the_workers_of_a_data_loader_see_one_set_while_a_writer_appends_and_publishes(published, tmp_path, method):
    from torch.utils.data import DataLoader

    forked = multiprocessing.get_context("fork")
    latest, stop = forked.Value("i", 30), forked.Event()
    writer = forked.Process(target=append_and_publish, args=(tmp_path, latest, stop))
    cache = FeatureCache(published)
    loader = DataLoader(
        FeatureDataset(cache, KEYS, labels=list(range(30))), batch_size=3, num_workers=2,
        multiprocessing_context=method, persistent_workers=True,
    )  # fmt: skip
    batches = iter(loader)
    epoch, epochs = [next(batches), next(batches)], 0  # both workers have opened the file
    writer.start()
    epoch += batches
    try:
        while latest.value < 34:  # several new files, each with other rows at the same places
            assert same_bits(np.concatenate([features.numpy() for features, _ in epoch]), features_of(KEYS))
            assert [label for _, labels in epoch for label in labels.tolist()] == list(range(30))
            epoch, epochs = list(loader), epochs + 1
    finally:
        stop.set()
        writer.join(60)
    assert writer.exitcode == 0
    assert epochs > 0
    assert same_bits(cache.get(KEYS), features_of(KEYS))
    assert len(FeatureCache(published)) == latest.value


@pytest.mark.parametrize(("options", "message"), [({"view": 2}, "no view 2"), ({"labels": [1]}, "1 labels for 30")])
def test_the_dataset_refuses_what_does_not_fit(published, options, message):
    with FeatureCache(published) as cache, pytest.raises(CacheError, match=message):
        FeatureDataset(cache, KEYS, **options)


def test_a_shard_opens_as_a_cache_without_names(tmp_path):
    extract(tmp_path, KEYS)
    (shard,) = store_at(tmp_path).shards()
    with FeatureCache(shard.path) as cache:
        assert same_bits(cache.get(KEYS), features_of(KEYS))
        with pytest.raises(CacheError, match="shard of the store"):
            _ = cache.images


def test_importing_the_cache_imports_no_heavy_library():
    code = "import sys, cache; print(sorted({'torch', 'pandas', 'click', 'stages', 'pipeline'} & set(sys.modules)))"
    repository = Path(__file__).parents[2]
    answer = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("mapped", [True, False], ids=["mapped", "by plain reads"])
def test_take_reads_the_views_asked_for(published, mapped, monkeypatch):
    if not mapped:
        refuse_to_map(monkeypatch)
    everything = features_of(sorted(KEYS))
    rows = np.array([9, 2, 9, 29])
    with FeatureCache(published) as cache:
        assert same_bits(cache.take(rows), everything[rows])
        assert same_bits(cache.take(rows, 1), everything[rows, 1])
        assert same_bits(cache.take(rows, np.array([0, 1, 1, 0])), everything[rows, [0, 1, 1, 0]])
        assert cache.take(rows[:0], 1).shape == (0, *SHAPE[1:])


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="asks Linux which pages are in memory")
def test_released_pages_leave_memory_and_can_be_read_again(tmp_path):
    rows = np.random.default_rng(0).standard_normal((64, 1, 1, 65_536)).astype(np.float16)
    keys = [f"{number:064x}" for number in range(len(rows))]
    store = FeatureStore(tmp_path / "store", {"arch": "none"}, rows.shape[1:])
    with store.writer() as writer:
        writer.append(keys, rows)
    with FeatureCache(publish(store, keys, keys, tmp_path / "features")) as cache:
        assert np.array_equal(cache.get(keys), rows)
        assert resident_bytes(cache.path) > rows.nbytes
        cache.release()
        assert resident_bytes(cache.path) < rows.nbytes / 8
        assert np.array_equal(cache.get(keys), rows)


def resident_bytes(path):
    """What this process's maps of a file hold in memory."""
    lines = Path("/proc/self/smaps").read_text().splitlines()
    ours, total = False, 0
    for line in lines:
        if "-" in line.split(" ", 1)[0]:
            ours = line.endswith(str(path))
        elif ours and line.startswith("Rss:"):
            total += 1024 * int(line.split()[1])
    return total
