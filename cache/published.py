"""Publishing: the features of a given set of images as one file that everything downstream reads.

In: a store, keys and the images' names. Out: `features.h5`, rows ascending by key, and `fingerprint.json`. The bytes
depend on the keys, the names and the features only, never on how the store came to hold them.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np

from cache.atomic import atomic_path, remove_partial_files, write_text
from cache.errors import CacheError, DamagedFileError, ensure_room, explained
from cache.fingerprint import FORMAT_VERSION
from cache.keys import Keys, find, key_array
from cache.row_file import RowFile
from cache.rows import read_rows, rows_per_block
from cache.shard import FEATURE_DTYPE, Tables, file_bytes, published_structure
from cache.store import FeatureStore
from cache.upkeep import repair

FEATURES_NAME = "features.h5"
FINGERPRINT_NAME = "fingerprint.json"


def publish(store: FeatureStore, keys: Keys, images: Sequence[str], destination: Path | str) -> Path:
    """Write the features of these images to `destination/features.h5`, checking every row on the way.

    Parameters
    ----------
    store
        Where the features are.
    keys
        n keys, any order. If one occurs twice, its row carries the first of its images' names in code point order.
    images
        n names: paths relative to the image root.
    destination
        The folder to write to; made if there is none.

    Returns
    -------
    Path
        The file `features.h5`.

    Raises
    ------
    CacheError
        If a key is missing from the store, a row is damaged (its shard is then set aside and its good rows are kept),
        or the disk refuses.
    """
    destination = Path(destination)
    wanted, names = _in_canonical_order(key_array(keys), images)
    source = _Source(store.shards(), wanted, names)
    needed_bytes = file_bytes(len(wanted), store.shape, names.dtype.itemsize)
    path = destination / FEATURES_NAME
    ensure_room(destination, needed_bytes)
    try:
        with explained(path, needed_bytes):
            remove_partial_files(destination)
            with atomic_path(path) as temporary:
                _write(temporary, store, wanted, names, source)
            write_text(destination / FINGERPRINT_NAME, _summary(store, len(wanted)))
    except DamagedFileError as error:
        repair(store, error.path)
        raise
    return path


def _write(path: Path, store: FeatureStore, keys: np.ndarray, names: np.ndarray, source: "_Source") -> None:
    structure, offset = published_structure(store.description_text, store.shape, keys, source.checksums, names)
    with path.open("wb") as file:
        structure.replay(file)
    with RowFile(path, offset) as rows:
        position = 0
        for block in source.blocks():
            rows.write(block, position)
            position += block.nbytes


class _Source:
    """Where the wanted rows lie in the shards, and their checksums."""

    def __init__(self, shards: list[Tables], wanted: np.ndarray, names: np.ndarray) -> None:
        self._shards = shards
        self._wanted = wanted
        keys = np.concatenate([np.empty(0, wanted.dtype), *(shard.keys for shard in shards)])
        order = np.argsort(keys, kind="stable")  # of a key in two shards: always the first shard by name
        positions = find(keys[order], wanted)
        _refuse_missing(positions, names)
        chosen = order[positions]
        sizes = [len(shard.keys) for shard in shards]
        self._shard_of = np.repeat(np.arange(len(shards)), sizes)[chosen]
        self._row_of = np.concatenate([np.arange(size) for size in sizes])[chosen]
        self.checksums = np.concatenate([shard.checksums for shard in shards])[chosen]

    def blocks(self) -> Iterator[np.ndarray]:
        """The wanted rows in order, as arrays (m, views, tokens, channels) of 64 MiB at most, each row checked."""
        step = rows_per_block(self._shards[0].row_bytes)
        for start in range(0, len(self._wanted), step):
            yield self._block(slice(start, start + step))

    def _block(self, part: slice) -> np.ndarray:
        shard_of, row_of = self._shard_of[part], self._row_of[part]
        block = np.empty((len(shard_of), *self._shards[0].shape), FEATURE_DTYPE)
        for index in np.unique(shard_of):
            places = np.flatnonzero(shard_of == index)
            places = places[np.argsort(row_of[places])]  # a disk reads from front to back at its best
            read_rows(self._shards[index], row_of[places], block, places)
        return block


def _in_canonical_order(keys: np.ndarray, images: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Keys ascending, each once, and the names that go with them as UTF-8 bytes."""
    if len(keys) != len(images):
        raise CacheError(f"{len(keys)} keys for {len(images)} images; give one for each")
    if len(keys) == 0:
        raise CacheError("there is no image to publish; check data/splits.csv")
    names = np.array([_encoded(image) for image in images])
    order = np.lexsort((names, keys))
    keys, names = keys[order], names[order]
    first = np.concatenate([[True], keys[1:] != keys[:-1]])
    names = names[first]
    # The longest of the names that stayed decides the width, so that a name that was dropped leaves no trace.
    width = max(1, int(np.char.str_len(names).max()))
    return keys[first], names.astype(h5py.string_dtype("utf-8", width))


def _encoded(image: str) -> bytes:
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
        raise CacheError(
            f"{len(missing)} of {len(positions)} images have no features in the store, the first is "
            f"{names[missing[0]].decode()}; run pipeline extract-features again"
        )


def _summary(store: FeatureStore, n_images: int) -> str:
    """What `features.h5` holds, for a person to read."""
    summary = {
        "fingerprint": store.fingerprint,
        "format_version": FORMAT_VERSION,
        "images": n_images,
        "shape": dict(zip(("views", "tokens", "channels"), store.shape, strict=True)),
        "description": json.loads(store.description_text),
    }
    return json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
