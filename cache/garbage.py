"""Find and free what the current settings and images do not need.

In: the folder of all stores, the fingerprints and keys in use. Out: a list of `Garbage`; `free` removes one item.
Which fingerprints and keys are in use is left to the caller.
"""

import contextlib
import shutil
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cache.errors import as_cache_error
from cache.lock import LOCK_NAME, lock_for_writing
from cache.shard_folder import SET_ASIDE
from cache.store_summary import StoreSummary, list_stores, open_store
from cache.trim import keep_only


@dataclass(frozen=True)
class Garbage:
    """Files or rows that are not in use.

    Attributes
    ----------
    store
        The folder of the fingerprint.
    kind
        `fingerprint`: a folder of other settings; `keys`: rows of images that are not in use; `set-aside`: files that
        were set aside as damaged.
    images
        How many rows, or files.
    size_bytes
        About how many bytes freeing it returns.
    """

    store: StoreSummary
    kind: Literal["fingerprint", "keys", "set-aside"]
    images: int
    size_bytes: int


def find_garbage(root: Path | str, *, current: Set[str], wanted: Set[str] | None) -> list[Garbage]:
    """List what can be freed; nothing is removed.

    Parameters
    ----------
    root
        The folder of all stores.
    current
        Fingerprints in use: their folders are never garbage.
    wanted
        Keys in use. None if they are unknown: then no key counts as garbage.

    Raises
    ------
    CacheError
        If a folder or file cannot be read.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from cache import FeatureStore
    >>> root = Path(tempfile.mkdtemp())
    >>> store = FeatureStore(root, {"arch": "resnet101"}, shape=(1, 1, 4))
    >>> with store.writer() as writer:
    ...     writer.append(["0" * 64, "f" * 64], np.ones((2, 1, 1, 4), np.float16))
    >>> (item,) = find_garbage(root, current={store.fingerprint}, wanted={"f" * 64})
    >>> item.kind, item.images
    ('keys', 1)
    >>> free(item, wanted={"f" * 64})
    >>> store.keys() == {"f" * 64}
    True
    """
    garbage: list[Garbage] = []
    for summary in list_stores(root):
        if summary.fingerprint not in current and not any(name.startswith(summary.fingerprint) for name in current):
            size_bytes = summary.size_bytes - summary.shared_bytes + summary.set_aside_bytes
            garbage.append(Garbage(summary, "fingerprint", summary.images, size_bytes))
            continue
        if summary.set_aside:
            garbage.append(Garbage(summary, "set-aside", summary.set_aside, summary.set_aside_bytes))
        store = open_store(summary)
        if store is not None and wanted is not None and (unwanted := len(store.keys() - wanted)):
            garbage.append(Garbage(summary, "keys", unwanted, store.bytes_for(unwanted)))
    return garbage


def free(garbage: Garbage, wanted: Set[str]) -> None:
    """Remove one item of garbage from the disk, permanently.

    Parameters
    ----------
    garbage
        What to remove.
    wanted
        Keys in use, for garbage of kind `keys`.

    Raises
    ------
    CacheError
        If another writer is at work in its folder, or the disk refuses.
    """
    folder = garbage.store.folder
    if garbage.kind == "keys":
        if (store := open_store(garbage.store)) is not None:  # None if its last shard has been removed meanwhile
            keep_only(store, wanted)
    elif garbage.kind == "set-aside":
        with as_cache_error(folder):
            shutil.rmtree(folder / SET_ASIDE)
    else:
        _remove_folder(folder)


def _remove_folder(folder: Path) -> None:
    with as_cache_error(folder):
        with lock_for_writing(folder, "removing a store"):
            for path in folder.iterdir():
                if path.name != LOCK_NAME:
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        with contextlib.suppress(OSError):  # another run has begun to write there
            folder.rmdir()
