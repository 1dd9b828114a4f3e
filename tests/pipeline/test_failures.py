"""Failures of disk and memory are one line that names the file, whichever library met them."""

import resource
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from cache.atomic import atomic_path
from pipeline.cli import _one_line
from stages.core.errors import explain_failure

SIZE = 500_000


def write_database(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (content BLOB)")
        connection.execute("INSERT INTO t VALUES (zeroblob(?))", (SIZE,))


def write_hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["values"] = np.ones(SIZE)


WRITERS: dict[str, Callable[[Path], object]] = {
    "bytes": lambda path: path.write_bytes(bytes(SIZE)),
    "torch": lambda path: torch.save({"a": torch.ones(SIZE)}, path),
    "safetensors": lambda path: save_file({"a": torch.ones(SIZE)}, path),
    "CSV": lambda path: pd.DataFrame({"a": np.arange(SIZE)}).to_csv(path),
    "parquet": lambda path: pd.DataFrame({"a": np.random.default_rng(0).random(SIZE)}).to_parquet(path),
    "HDF5": write_hdf5,
    "SQLite": write_database,
}


@pytest.fixture
def no_large_files() -> Iterator[None]:
    """Let this process write no file above 4 KiB: the system call fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("library", WRITERS)
def test_a_file_that_cannot_grow_is_named_whichever_library_writes_it(
    tmp_path: Path, no_large_files: None, library: str
) -> None:
    destination = tmp_path / "output"
    with pytest.raises(Exception) as caught, atomic_path(destination) as temporary:  # noqa: PT011
        WRITERS[library](temporary)
    message = _one_line(caught.value)
    assert str(destination) in message
    assert not message.startswith("unexpected")
    assert "\n" not in message
    assert not destination.exists()


def test_a_cause_far_down_the_chain_is_found() -> None:
    with pytest.raises(OSError) as full:  # noqa: PT011
        Path("/dev/full").write_text("x" * 100_000)
    outer = ValueError("while handling it")
    outer.__context__ = KeyError("wrapped")
    outer.__context__.__cause__ = full.value
    assert "No space left on device" in str(explain_failure(outer))


def test_a_fault_of_the_program_is_not_explained_away() -> None:
    assert explain_failure(AttributeError("no such method")) is None
