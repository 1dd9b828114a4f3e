"""What was computed for a key is known in the next run; a memory that cannot be used costs time and nothing else."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from stages.core import keyed_memory
from stages.core.keyed_memory import KeyedMemory

TEXTS = {f"key {i}": f"text {i}" for i in range(1200)}


def kept(path: Path, made_with: str = "1") -> dict[str, str]:
    with KeyedMemory(path, made_with) as memory:
        return memory.known(list(TEXTS))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "memory.sqlite"
    with KeyedMemory(path, "1") as memory:
        memory.remember(TEXTS.items())
    return path


def test_what_was_remembered_is_known_and_nothing_else(path: Path) -> None:
    assert kept(path) == TEXTS
    with KeyedMemory(path, "1") as memory:
        assert memory.known(["another key"]) == {}


def test_an_interrupted_run_keeps_what_it_had(path: Path) -> None:
    def run() -> None:
        with KeyedMemory(path, "1") as memory:
            memory.remember([("key 0", "new")])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert kept(path)["key 0"] == "new"


def test_what_decides_the_texts_empties_it_when_it_changes(path: Path) -> None:
    assert kept(path, "2") == {}
    assert kept(path, "1") == {}


def test_a_file_of_an_earlier_format_is_emptied(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE made_with (fingerprint TEXT)")
        database.execute("CREATE TABLE scanned (name TEXT PRIMARY KEY)")
    with KeyedMemory(path, "1") as memory:
        memory.remember([("a", "b")])
    with sqlite3.connect(path) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables == {"made_with", "memory"}


def test_a_row_that_was_altered_is_not_believed(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("UPDATE memory SET text = 'another' WHERE key = 'key 7'")
    assert TEXTS.keys() - kept(path).keys() == {"key 7"}


@pytest.mark.parametrize("content", [b"no database, but long enough" * 100, b""])
def test_a_damaged_file_is_replaced(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with KeyedMemory(path, "1") as memory:
        assert memory.known(list(TEXTS)) == {}
        memory.remember(TEXTS.items())
    assert kept(path) == TEXTS


@pytest.mark.parametrize("seed", range(40))
def test_damage_never_gives_another_text(path: Path, seed: int) -> None:
    """Bits that flip anywhere in the file: a text is as it was or not known, and the file serves the next run."""
    rng = np.random.default_rng(seed)
    content = bytearray(path.read_bytes())
    for position in rng.integers(0, len(content), 1 + seed % 20):
        content[position] ^= 1 << int(rng.integers(8))
    path.write_bytes(content)
    assert kept(path).items() <= TEXTS.items()
    with KeyedMemory(path, "1") as memory:
        memory.remember(TEXTS.items())
    assert kept(path).items() <= TEXTS.items()


def test_a_database_whose_pages_are_damaged_is_set_aside_and_started_again(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = bytearray(path.read_bytes())
    content[3 * 4096 :] = b"x" * (len(content) - 3 * 4096)
    path.write_bytes(content)
    with KeyedMemory(path, "1") as memory:
        assert memory.known(list(TEXTS)).items() <= TEXTS.items()
        memory.remember(TEXTS.items())
    assert "set aside as memory.sqlite.damaged" in caplog.text
    assert Path(f"{path}.damaged").read_bytes() == content
    assert kept(path) == TEXTS


def test_a_file_that_cannot_be_opened_is_done_without(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "in the way").write_text("a file, no folder")
    with KeyedMemory(tmp_path / "in the way" / "memory.sqlite", "1") as memory:
        memory.remember([("a", "b")])
        assert memory.known(["a"]) == {}
    assert "cannot be used" in caplog.text


def test_a_file_that_another_run_holds_is_done_without(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keyed_memory, "WAIT_FOR_LOCK_S", 0.1)
    other = sqlite3.connect(path)
    other.execute("BEGIN EXCLUSIVE")
    assert kept(path) == {}
    assert "locked" in caplog.text
    other.close()
    assert kept(path) == TEXTS


def test_a_key_that_is_not_unicode_is_left_out(path: Path) -> None:
    with KeyedMemory(path, "1") as memory:
        memory.remember([("\udcff", "b")])
        assert memory.known(["\udcff", "key 1"]) == {"key 1": "text 1"}
