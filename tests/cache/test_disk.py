"""An error of the disk becomes one clear line, and the store does not change."""

import errno
import itertools
import multiprocessing
import os
import re
import resource
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cache import (
    CacheError,
    FeatureCache,
    atomic,
    ensure_room,
    keep_only,
    list_stores,
    publish,
    row_writer,
    share_with_published,
    verify_stores,
)
from tests.cache.extraction import extract, features_of, keys_of, same_bits, store_at

LARGE = (1, 1, 50_000)  # 100 kB a row
KEYS = keys_of(30)
processes = multiprocessing.get_context("fork")


def message_from(work: Callable[[], None]) -> str:
    """Do the work in a separate process, whose limits end with it; return the CacheError's text, or "done"."""
    answers = processes.Queue()

    def answer() -> None:
        try:
            work()
        except CacheError as error:
            answers.put(str(error))
        else:
            answers.put("done")

    child = processes.Process(target=answer)
    child.start()
    message = answers.get(timeout=60)
    child.join(60)
    assert child.exitcode == 0  # HDF5 on a full disk has been seen to take the interpreter with it
    return message


def limited(limit_bytes: int, work: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
        work()

    return run


def open_to_all(folder: Path) -> None:
    """Let another user reach the folder: pytest's temporary folders are closed to all but their owner."""
    for path in (folder, *folder.parents):
        if not path.stat().st_mode & 0o001:
            path.chmod(0o755)


def assert_clean_and_goes_on(root: Path, message: str, kept: set[str]) -> None:
    """One line; no half file; the old rows; and the next run, with room, completes."""
    assert "\n" not in message
    assert list(root.rglob("*.partial")) == []
    assert store_at(root, LARGE).keys() == kept
    extract(root, KEYS, shape=LARGE)
    path = publish(store_at(root, LARGE), KEYS, KEYS, root / "features")
    with FeatureCache(path) as cache:
        assert same_bits(cache.get(KEYS), features_of(KEYS, LARGE))


@pytest.mark.parametrize("limit_bytes", [0, 100, 3_000, 1_000_000, 2_600_000])
def test_the_file_size_limit_is_named_and_the_store_stays_valid(tmp_path, limit_bytes):
    """Wherever it strikes: in HDF5's structure, in the features, in their last row; or at the lock's note."""
    extract(tmp_path, KEYS[:3], shape=LARGE)
    message = message_from(limited(limit_bytes, lambda: extract(tmp_path, KEYS, shape=LARGE)))
    assert "larger than this process may write" in message
    assert f"the limit is {limit_bytes / 2**20:,.1f} MiB" in message
    assert_clean_and_goes_on(tmp_path, message, set(KEYS[:3]))


def test_what_was_flushed_before_the_limit_struck_is_kept(tmp_path):
    """Shards of one row fit under the limit, the last with all the rest does not."""

    def work() -> None:
        with store_at(tmp_path, LARGE).writer() as writer:
            for key in KEYS[:3]:
                writer.append([key], features_of([key], LARGE))
                writer.flush()
            writer.append(KEYS[3:], features_of(KEYS[3:], LARGE))

    message = message_from(limited(1_000_000, work))
    assert "needs 2.6 MiB, the limit is 1.0 MiB" in message
    assert_clean_and_goes_on(tmp_path, message, set(KEYS[:3]))


def test_publishing_under_the_limit_keeps_the_old_file(tmp_path):
    extract(tmp_path, KEYS, shape=LARGE)
    store, destination = store_at(tmp_path, LARGE), tmp_path / "features"
    publish(store, KEYS[:3], KEYS[:3], destination)
    message = message_from(limited(1_000_000, lambda: publish(store, KEYS, KEYS, destination)))
    assert "features.h5 needs 2.9 MiB, the limit is 1.0 MiB" in message
    assert len(FeatureCache(destination)) == 3
    assert_clean_and_goes_on(tmp_path, message, set(KEYS))


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MiB."""
    mount_point = tmp_path / "disk"
    mount_point.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(mount_point)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    yield mount_point
    subprocess.run(["umount", "-l", str(mount_point)], check=True)


def test_a_full_disk_is_named_with_what_is_needed_and_free(small_disk):
    extract(small_disk, KEYS[:3], shape=LARGE)
    message = message_from(lambda: extract(small_disk, KEYS, shape=LARGE))
    assert "the disk is full" in message
    assert "needs 2.0 MiB, 1.7 MiB is free" in message
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    assert_clean_and_goes_on(small_disk, message, set(KEYS[:3]))


def test_too_little_room_is_known_before_work_starts(small_disk):
    extract(small_disk, KEYS[:12], shape=LARGE)
    with pytest.raises(CacheError, match=r"too little room .*features: 1\.2 MiB needed, 0\.\d MiB free"):
        publish(store_at(small_disk, LARGE), KEYS[:12], KEYS[:12], small_disk / "features")
    assert not (small_disk / "features").exists()


def test_a_mount_that_vanished_is_not_written_into_the_folder_beneath(tmp_path):
    store = store_at(tmp_path / "mount", LARGE)
    with pytest.raises(CacheError, match=r"gone.*mounted"), store.writer() as writer:  # noqa: PT012
        writer.append(KEYS[:3], features_of(KEYS[:3], LARGE))
        shutil.rmtree(tmp_path / "mount")
    assert not (tmp_path / "mount").exists()


def test_a_mount_that_is_taken_away_is_said_and_the_folder_beneath_stays_empty(small_disk):
    extract(small_disk, KEYS[:3], shape=LARGE)

    def work() -> None:
        with store_at(small_disk, LARGE).writer() as writer:
            writer.append(KEYS[3:6], features_of(KEYS[3:6], LARGE))
            subprocess.run(["umount", "-l", str(small_disk)], check=True)

    try:
        assert re.search("is gone: .*mounted", message_from(work))
        assert list(small_disk.iterdir()) == []
    finally:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small_disk)], check=True)


@pytest.mark.parametrize("number", [errno.ESTALE, errno.ENOTCONN, errno.EIO, errno.EDQUOT])
def test_what_a_network_disk_says_late_is_not_lost(tmp_path, monkeypatch, number):
    """It takes the bytes, and refuses them when they are flushed."""
    extract(tmp_path, KEYS[:3], shape=LARGE)

    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(row_writer, "_flush_data", refuse)
        patch.setattr(row_writer, "_FLUSH_BYTES", 10**5)
        with pytest.raises(CacheError, match="try again") as caught:
            extract(tmp_path, KEYS, shape=LARGE)
    assert_clean_and_goes_on(tmp_path, str(caught.value), set(KEYS[:3]))


def test_after_a_refusal_the_writer_takes_no_more_rows(tmp_path, monkeypatch):
    def refuse(descriptor: int, content: memoryview, offset: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with store_at(tmp_path, LARGE).writer() as writer:
        with monkeypatch.context() as patch, pytest.raises(CacheError, match="disk is full"):  # noqa: PT012
            patch.setattr(row_writer, "_write_at", refuse)
            writer.append(KEYS[:1], features_of(KEYS[:1], LARGE))
        with pytest.raises(CacheError, match="make another one"):
            writer.append(KEYS[1:2], features_of(KEYS[1:2], LARGE))
    assert store_at(tmp_path, LARGE).keys() == set()


@pytest.mark.parametrize("name", ["shard-*.h5", "features.h5"])
def test_data_reach_the_disk_before_the_name_and_the_name_before_the_end(tmp_path, monkeypatch, name):
    """What a power cut demands: flush the file, rename it, flush its folder, in this order."""
    steps: list[tuple[str, Path]] = []
    flush, rename = os.fsync, os.replace

    def noted_flush(descriptor: int) -> None:
        flush(descriptor)
        steps.append(("flush", Path(os.readlink(f"/proc/self/fd/{descriptor}"))))

    def noted_rename(source: Path, target: Path) -> None:
        rename(source, target)
        steps.append(("rename", Path(target)))

    monkeypatch.setattr(atomic.os, "fsync", noted_flush)
    monkeypatch.setattr(atomic.os, "replace", noted_rename)
    extract(tmp_path / "store", KEYS[:3], shape=LARGE)
    publish(store_at(tmp_path / "store", LARGE), KEYS[:3], KEYS[:3], tmp_path / "features")
    (place,) = (number for number, (kind, path) in enumerate(steps) if kind == "rename" and path.match(name))
    path = steps[place][1]
    before, after = steps[place - 1], steps[place + 1]
    assert before[0] == after[0] == "flush"
    assert before[1].parent == path.parent
    assert before[1].suffix == ".partial"
    assert after[1] == path.parent
    # The folder itself is new, and its own entry on the disk as well.
    assert ("flush", path.parent.parent) in steps


def test_a_refused_shard_is_not_tried_again_when_the_block_ends(tmp_path):
    store = store_at(tmp_path, LARGE)
    with pytest.raises(CacheError) as caught, store.writer(flush_every_s=0) as writer:  # noqa: PT012
        shutil.rmtree(store.folder)
        writer.append(KEYS[:3], features_of(KEYS[:3], LARGE))
    # A second attempt would have failed too, with the first one's error behind it.
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.__context__ is None


def test_no_permission_is_said_and_the_store_stays_readable(tmp_path):
    extract(tmp_path, KEYS[:3], shape=LARGE)
    folder = store_at(tmp_path, LARGE).folder
    open_to_all(folder.parent)
    folder.chmod(0o555)

    def work() -> None:
        if os.geteuid() == 0:  # root may do anything: be nobody
            os.setuid(65534)
        assert store_at(tmp_path, LARGE).keys() == set(KEYS[:3])
        extract(tmp_path, KEYS, shape=LARGE)

    message = message_from(work)
    folder.chmod(0o755)
    assert message.startswith("no permission: ")
    assert str(folder) in message
    assert_clean_and_goes_on(tmp_path, message, set(KEYS[:3]))


def test_a_shard_that_may_not_be_read_is_an_error_and_not_damage(tmp_path):
    extract(tmp_path, KEYS[:3], shape=LARGE)
    (shard,) = store_at(tmp_path, LARGE).shards()
    open_to_all(shard.path.parents[1])
    shard.path.parent.chmod(0o777)  # setting it aside would be possible
    shard.path.chmod(0)

    def work() -> None:
        if os.geteuid() == 0:
            os.setuid(65534)
        store_at(tmp_path, LARGE).keys()

    assert message_from(work).startswith(f"no permission: {shard.path}")
    assert shard.path.exists()


def test_a_folder_that_may_not_be_listed_is_an_error_and_not_an_empty_store(tmp_path):
    extract(tmp_path, KEYS[:3], shape=LARGE)
    folder = store_at(tmp_path, LARGE).folder
    open_to_all(folder.parent)
    folder.chmod(0)

    def work() -> None:
        if os.geteuid() == 0:
            os.setuid(65534)
        store_at(tmp_path, LARGE).keys()

    message = message_from(work)
    folder.chmod(0o755)
    assert message.startswith(f"no permission: {folder}")


def test_ensure_room_names_both_sizes(tmp_path):
    ensure_room(tmp_path / "not" / "there" / "yet", 1)
    assert not (tmp_path / "not").exists()
    with pytest.raises(CacheError, match=r"1,048,576\.0 MiB needed, [\d,.]+ MiB free"):
        ensure_room(tmp_path / "not", 2**40)


def test_a_small_text_on_a_full_disk_is_named_with_its_size(small_disk):
    (small_disk / "filler").write_bytes(bytes(2 * 2**20 - 16 * 2**10))
    with pytest.raises(CacheError, match=r"the disk is full: .*metrics\.json needs 58\.6 KiB, .* is free"):
        atomic.write_text(small_disk / "metrics.json", "x" * 60_000)
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


def all_work(root: Path) -> None:
    """Append, publish, link, publish fewer rows, trim the store, open and read."""
    extract(root, KEYS[20:])
    path = publish(store_at(root), KEYS[:25], KEYS[:25], root / "features", link=True)
    publish(store_at(root), KEYS, KEYS, root / "features")
    share_with_published(store_at(root), path)
    verify_stores(root, path)
    keep_only(store_at(root), set(KEYS))
    list_stores(root)
    with FeatureCache(path) as cache:
        cache.get(KEYS)


CALLS = ["open", "write", "fsync", "fdatasync", "replace", "link", "unlink", "stat", "lseek", "ftruncate"]


@pytest.mark.parametrize("name", CALLS)
def test_whatever_call_the_disk_refuses_it_is_one_line_and_no_row_is_lost(tmp_path, monkeypatch, name):
    """The first, second, third, … call of each kind fails, with several errors."""
    numbers = itertools.cycle([errno.EIO, errno.ENOSPC, errno.EACCES, errno.EROFS, errno.ESTALE])
    struck: list[int] = []
    for turn in range(0, 36, 3):
        root = tmp_path / str(turn)
        extract(root, KEYS[:20])
        number, counter = next(numbers), itertools.count()
        call = getattr(os, name)

        def refuse(*arguments, call=call, counter=counter, number=number, turn=turn, **options):
            if next(counter) == turn:
                struck.append(turn)
                raise OSError(number, os.strerror(number))
            return call(*arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(os, name, refuse)
            if name == "fdatasync":
                patch.setattr(row_writer, "_flush_data", refuse)
                patch.setattr(row_writer, "_FLUSH_BYTES", 100)
            try:
                all_work(root)
            except CacheError as error:
                message = str(error)
                assert "\n" not in message
                assert str(root) in message
        assert set(KEYS[:20]) <= store_at(root).keys()
        all_work(root)
        left = [path.name for path in root.rglob("*") if path.name.startswith(".") or path.name == "set-aside"]
        assert left == []
    assert struck
