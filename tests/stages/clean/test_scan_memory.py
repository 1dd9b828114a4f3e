"""A second run of clean looks only at files whose size or time changed."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from stages.clean.clean_images import clean_images
from stages.clean.settings import CleanSettings
from stages.core.records.outputs import adopt
from stages.core.tables.columns import MANIFEST

Save = Callable[..., Path]
LONG_AGO_S = 1_000_000_000


@pytest.fixture
def run(tmp_path: Path, image_root: Path) -> Callable[..., str]:
    """Clean the files under the image root, and give the first line of the summary."""

    def run(**settings: object) -> str:
        names = sorted(path.name for path in image_root.iterdir())
        pd.DataFrame({"image": names, "style": "x"}).to_csv(tmp_path / "manifest.csv", index=False)
        adopt(tmp_path / "manifest.csv", MANIFEST)
        return clean_images(
            settings=CleanSettings(**settings), manifest=tmp_path / "manifest.csv", images=image_root,
            scan=tmp_path / ".scan" / "clean.sqlite",
            **{name: tmp_path / f"{name}.csv" for name in ("clean", "rejected", "conflicts")},
        ).splitlines()[0]  # fmt: skip

    return run


@pytest.fixture
def five_files(image_root: Path, save_picture: Save) -> Path:
    for seed in range(4):
        save_picture(f"{seed}.png", seed)
    (image_root / "bad.jpg").write_bytes(b"<html>")
    for path in image_root.iterdir():
        os.utime(path, (LONG_AGO_S, LONG_AGO_S))
    return image_root


def tables(folder: Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in ("clean.csv", "rejected.csv", "conflicts.csv")]


def test_what_did_not_change_is_not_decoded_again_and_gives_the_same_tables(
    tmp_path: Path, run: Callable[..., str], five_files: Path
) -> None:
    assert run().endswith("0 unchanged since they were last decoded")
    first = tables(tmp_path)
    assert run().endswith("5 unchanged since they were last decoded")
    assert tables(tmp_path) == first


def test_a_changed_file_is_looked_at_again(
    tmp_path: Path, run: Callable[..., str], five_files: Path, save_picture: Save
) -> None:
    run()
    before = pd.read_csv(tmp_path / "clean.csv", index_col="image")["sha256"]
    save_picture("2.png", 77)
    assert run().endswith("4 unchanged since they were last decoded")
    after = pd.read_csv(tmp_path / "clean.csv", index_col="image")["sha256"]
    assert (before != after).to_dict() == {"0.png": False, "1.png": False, "2.png": True, "3.png": False}


def test_a_file_changed_just_now_is_not_trusted_to_stay(run: Callable[..., str], five_files: Path) -> None:
    (five_files / "0.png").touch()
    run()
    assert run().endswith("4 unchanged since they were last decoded")


def test_settings_that_decide_what_is_found_make_all_new(run: Callable[..., str], five_files: Path) -> None:
    run()
    assert run(near_duplicate_bits=2).endswith("5 unchanged since they were last decoded")
    assert run(min_side_px=40).endswith("0 unchanged since they were last decoded")


@pytest.mark.parametrize("damage", ["text", "cut", "zeros in the middle"])
def test_a_damaged_memory_is_left_aside(tmp_path: Path, run: Callable[..., str], five_files: Path, damage: str) -> None:
    run()
    first = tables(tmp_path)
    path = tmp_path / ".scan" / "clean.sqlite"
    content = bytearray(path.read_bytes())
    if damage == "text":
        content = bytearray(b"not a database, but long enough to be looked into" * 100)
    elif damage == "cut":
        del content[len(content) // 2 :]
    else:
        content[4096:] = bytes(len(content) - 4096)
    path.write_bytes(content)
    run()
    assert tables(tmp_path) == first


def test_an_answer_that_was_altered_is_not_believed(tmp_path: Path, run: Callable[..., str], five_files: Path) -> None:
    run()
    first = tables(tmp_path)
    with sqlite3.connect(tmp_path / ".scan" / "clean.sqlite") as database:
        database.execute("UPDATE memory SET text = replace(text, '80', '81') WHERE key = '1.png'")
    assert run().endswith("4 unchanged since they were last decoded")
    assert tables(tmp_path) == first
