"""Publish the features of a set of images as one file that everything downstream reads.

In: a store, keys and the images' names. Out: `features.h5`, rows ascending by key, and `fingerprint.json`. The bytes
depend on keys, names and features only, not on the store's history. Reading is left to `cache.reader`.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np

from cache.atomic import atomic_path, make_folder, remove_partial_files, write_text
from cache.checksums import FEATURE_DTYPE
from cache.errors import CacheError, DamagedFileError, MissingRowsError, as_cache_error, ensure_room
from cache.fingerprint import FORMAT_VERSION
from cache.keys import Keys, as_key_array, find_keys
from cache.layout import FEATURES_NAME, build_published_structure, estimate_file_bytes
from cache.lock import hold_lock, lock_for_writing
from cache.row_reader import count_block_rows, read_rows
from cache.row_writer import RowWriter
from cache.sharing import PUBLISHING_LOCK, link_published
from cache.store import FeatureStore
from cache.tables import Tables
from cache.verify import repair

FINGERPRINT_NAME = "fingerprint.json"


def publish(
    store: FeatureStore, keys: Keys, images: Sequence[str], destination: Path | str, *, link: bool = False
) -> Path:
    """Write the features of these images to `destination/features.h5`, and check every row.

    One run at a time publishes to a folder. Temporary files of killed runs are removed, in the store too.

    Parameters
    ----------
    store
        Where the features are.
    keys
        n keys, any order. If one occurs twice, its row carries the first of its images' names in code point order.
    images
        n names: paths relative to the image root.
    destination
        The folder to write to. It is created if it does not exist.
    link
        Also replace the store's copies of these rows by a hard link to the file, as `share_with_published` does, before
        another run can publish to the folder.

    Returns
    -------
    Path
        The file `features.h5`.

    Raises
    ------
    MissingRowsError
        If a key is not in the store.
    DamagedFileError
        If a row is damaged. Its shard is set aside and its good rows are kept.
    LockedError
        If another run publishes to the folder, or, with `link`, writes to the store.
    CacheError
        If there is no key, a key or name is invalid, or the disk refuses.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> store = FeatureStore(folder / "store", {"arch": "resnet101"}, shape=(1, 1, 4))
    >>> with store.writer() as writer:
    ...     writer.append(["0" * 64], np.ones((1, 1, 1, 4), np.float16))
    >>> publish(store, ["0" * 64], ["portrait.jpg"], folder / "features").name
    'features.h5'
    >>> read_published_fingerprint(folder / "features") == store.fingerprint
    True
    """
    destination = Path(destination)
    wanted, names = _sort_by_key(as_key_array(keys), images)
    source = _RowSource(store.shards(), wanted, names)
    needed_bytes = estimate_file_bytes(len(wanted), store.shape, names.dtype.itemsize)
    path = destination / FEATURES_NAME
    ensure_room(destination, needed_bytes)
    with as_cache_error(path, needed_bytes):
        make_folder(destination)
    with hold_lock(destination / PUBLISHING_LOCK, "publishing features"):
        try:
            with as_cache_error(path, needed_bytes):
                _remove_what_was_left(destination, store)
                with atomic_path(path) as temporary:
                    _write(temporary, store, wanted, names, source)
                write_text(destination / FINGERPRINT_NAME, _format_summary(store, len(wanted)))
        except DamagedFileError as error:
            repair(store, error.path)
            raise
        if link:
            link_published(store, path)
    return path


def _remove_what_was_left(destination: Path, store: FeatureStore) -> None:
    remove_partial_files(destination)
    if store.folder.exists():
        with contextlib.suppress(CacheError), lock_for_writing(store.folder):  # else its next writer does it
            remove_partial_files(store.folder)


def read_published_fingerprint(folder: Path | str) -> str | None:
    """Read the fingerprint in a published folder's `fingerprint.json`; None if it cannot be read."""
    try:
        text = (Path(folder) / FINGERPRINT_NAME).read_text(encoding="utf-8")
        return str(json.loads(text)["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, store: FeatureStore, keys: np.ndarray, names: np.ndarray, source: "_RowSource") -> None:
    structure, offset = build_published_structure(store.description_text, store.shape, keys, source.checksums, names)
    with path.open("wb") as file:
        structure.replay(file)
    with (
        ThreadPoolExecutor(max_workers=1, thread_name_prefix="flush") as thread,
        RowWriter(path, offset, thread) as rows,
    ):
        position = 0
        for block in source.read_blocks():
            rows.write(block, position)
            position += block.nbytes


class _RowSource:
    """Finds the wanted rows in the shards and reads them; holds their checksums."""

    def __init__(self, shards: list[Tables], wanted: np.ndarray, names: np.ndarray) -> None:
        self._shards = shards
        self._wanted = wanted
        keys = np.concatenate([np.empty(0, wanted.dtype), *(shard.keys for shard in shards)])
        order = np.argsort(keys, kind="stable")  # a key in two shards is read from the first by name
        positions = find_keys(keys[order], wanted)
        _refuse_missing(positions, names)
        chosen = order[positions]
        sizes = [len(shard.keys) for shard in shards]
        self._shard_of = np.repeat(np.arange(len(shards)), sizes)[chosen]
        self._row_of = np.concatenate([np.arange(size) for size in sizes])[chosen]
        self.checksums = np.concatenate([shard.checksums for shard in shards])[chosen]

    def read_blocks(self) -> Iterator[np.ndarray]:
        """Read the wanted rows in order, as arrays (m, views, tokens, channels) of 64 MiB at most; check each row."""
        step = count_block_rows(self._shards[0].row_bytes)
        for start in range(0, len(self._wanted), step):
            yield self._read_block(slice(start, start + step))

    def _read_block(self, part: slice) -> np.ndarray:
        shard_of, row_of = self._shard_of[part], self._row_of[part]
        block = np.empty((len(shard_of), *self._shards[0].shape), FEATURE_DTYPE)
        for index in np.unique(shard_of):
            places = np.flatnonzero(shard_of == index)
            places = places[np.argsort(row_of[places])]  # ascending positions are fastest to read
            read_rows(self._shards[index], row_of[places], block, places)
        return block


def _sort_by_key(keys: np.ndarray, images: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Sort keys, keep each once, and return them with their names as UTF-8 bytes."""
    if len(keys) != len(images):
        raise CacheError(f"{len(keys)} keys for {len(images)} images; give one for each")
    if len(keys) == 0:
        raise CacheError("there is no image to publish; give at least one key")
    names = np.array([_encode_name(image) for image in images])
    order = np.lexsort((names, keys))
    keys, names = keys[order], names[order]
    first = np.concatenate([[True], keys[1:] != keys[:-1]])
    names = names[first]
    # The longest remaining name decides the width, so that a dropped name does not change the bytes.
    width = max(1, int(np.char.str_len(names).max()))
    return keys[first], names.astype(h5py.string_dtype("utf-8", width))


def _encode_name(image: str) -> bytes:
    try:
        encoded = image.encode("utf-8")
    except UnicodeEncodeError as error:
        raise CacheError(f"the image name {image!r} is not Unicode; rename the file") from error
    if b"\0" in encoded:
        raise CacheError(f"the image name {image!r} holds a zero byte; rename the file")
    return encoded


def _refuse_missing(positions: np.ndarray, names: np.ndarray) -> None:
    missing = np.flatnonzero(positions < 0)
    if len(missing):
        raise MissingRowsError(
            f"{len(missing)} of {len(positions)} images have no features in the store, the first is "
            f"{names[missing[0]].decode()}; compute their rows"
        )


def _format_summary(store: FeatureStore, n_images: int) -> str:
    """Describe what `features.h5` holds, as JSON for a person to read."""
    summary = {
        "fingerprint": store.fingerprint,
        "format_version": FORMAT_VERSION,
        "images": n_images,
        "shape": dict(zip(("views", "tokens", "channels"), store.shape, strict=True)),
        "description": json.loads(store.description_text),
    }
    return json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
