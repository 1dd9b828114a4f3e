"""A published cache to read and to damage."""

from pathlib import Path

import pytest

from cache import publish
from tests.cache.extraction import extract, keys_of, name_of, store_at


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """The file `features.h5` of 30 images."""
    keys = keys_of(30)
    extract(tmp_path / "store", keys)
    return publish(store_at(tmp_path / "store"), keys, [name_of(key) for key in keys], tmp_path / "features")
