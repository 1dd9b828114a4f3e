"""The clean stage keeps what can be used, and says of everything else why it cannot."""

import itertools
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from stages.clean.duplicates import group_duplicates
from stages.clean.run import check_image, clean_images
from stages.clean.settings import CleanSettings
from stages.errors import StageError

SETTINGS = CleanSettings()
Save = Callable[..., Path]


def bomb(width: int, height: int) -> bytes:
    """A PNG header that declares many pixels and holds none."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def clean(tmp_path: Path, images: Path, names: list[str], **settings: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    pd.DataFrame({"image": names, "style": "x"}).to_csv(tmp_path / "manifest.csv", index=False)
    clean_images(
        settings=CleanSettings(**settings),
        manifest=tmp_path / "manifest.csv",
        images=images,
        clean=tmp_path / "clean.csv",
        rejected=tmp_path / "rejected.csv",
    )
    return tuple(
        pd.read_csv(tmp_path / name, dtype=str, keep_default_na=False) for name in ("clean.csv", "rejected.csv")
    )


@pytest.mark.parametrize(
    ("content", "reason", "detail"),
    [
        (b"", "empty", "0 bytes"),
        (b"<!DOCTYPE html><html>404</html>", "not_an_image", "an HTML page"),
        (b"%PDF-1.7 ...", "not_an_image", "a PDF file"),
        (b"PK\x03\x04....", "not_an_image", "a ZIP archive"),
        (b"hello", "not_an_image", "a text file"),
        (np.random.default_rng(0).bytes(5000), "not_an_image", "no known image format"),
        (bomb(12_000, 12_000), "too_large", "12000 x 12000 pixels, more than 100000000"),
        (bomb(60_000, 60_000), "too_large", "decompression bomb"),
        (bomb(100, 100), "truncated", ""),
    ],
)
def test_a_file_that_cannot_be_used_gets_its_reason(image_root: Path, content: bytes, reason: str, detail: str) -> None:
    (image_root / "bad.jpg").write_bytes(content)
    found = check_image(image_root, "bad.jpg", SETTINGS)
    assert found.reason == reason
    assert detail in found.detail


def test_missing_small_and_cut_short_files_get_their_reasons(image_root: Path, save_picture: Save) -> None:
    save_picture("small.png", 1, (31, 400))
    whole = save_picture("whole.jpg", 2, (300, 300)).read_bytes()
    (image_root / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (image_root / "folder.jpg").mkdir()
    names = ["missing.jpg", "small.png", "cut.jpg", "folder.jpg", "whole.jpg"]
    reasons = [check_image(image_root, name, SETTINGS).reason for name in names]
    assert reasons == ["missing", "too_small", "truncated", "unreadable", ""]


def test_a_damaged_png_is_a_decode_error(image_root: Path, save_picture: Save) -> None:
    path = save_picture("damaged.png", 3, (200, 200))
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    path.write_bytes(damaged)
    assert check_image(image_root, "damaged.png", SETTINGS).reason == "decode_error"


def test_a_path_that_leaves_the_root_is_never_read(tmp_path: Path, image_root: Path, save_picture: Save) -> None:
    outside = tmp_path / "outside.png"
    save_picture("inside.png", 4).rename(outside)
    (image_root / "link.png").symlink_to(outside)
    for name in ("../outside.png", "link.png", str(outside)):
        assert check_image(image_root, name, SETTINGS).reason == "outside_root", name


def test_good_rows_are_described_and_rejected_ones_are_named(
    tmp_path: Path, image_root: Path, save_picture: Save
) -> None:
    save_picture("a.png", 5, (90, 70))
    save_picture("b.jpg", 6, (40, 50))
    good, rejected = clean(tmp_path, image_root, ["a.png", "b.jpg", "c.jpg"])
    assert good[["image", "width", "height", "mode"]].to_numpy().tolist() == [
        ["a.png", "90", "70", "RGB"],
        ["b.jpg", "40", "50", "RGB"],
    ]
    assert good["sha256"].str.fullmatch("[0-9a-f]{64}").all()
    assert rejected.to_numpy().tolist() == [["c.jpg", "missing", "no such file"]]


def test_the_same_picture_in_other_clothes_is_one_group(tmp_path: Path, image_root: Path, save_picture: Save) -> None:
    original = save_picture("original.png", 7, (400, 300))
    (image_root / "copy.png").write_bytes(original.read_bytes())
    with Image.open(original) as image:
        image.save(image_root / "recompressed.jpg", quality=60)
        image.resize((200, 150)).save(image_root / "half.jpg")
    save_picture("other.png", 8, (400, 300))
    good, _ = clean(tmp_path, image_root, ["copy.png", "half.jpg", "original.png", "other.png", "recompressed.jpg"])
    groups = good.set_index("image")["group"]
    assert groups.drop("other.png").nunique() == 1
    assert groups["other.png"] != groups["original.png"]


def test_a_missing_image_root_is_said(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"dataset\.images is .*nowhere, which is not a folder"):
        clean(tmp_path, tmp_path / "nowhere", ["a.jpg"])


def test_when_nothing_can_be_used_the_reasons_are_counted(tmp_path: Path, image_root: Path) -> None:
    with pytest.raises(StageError, match=r"none of the 2 images .* \(2 missing\)"):
        clean(tmp_path, image_root, ["a.jpg", "b.jpg"])
    assert not (tmp_path / "clean.csv").exists()


def brute_force_groups(hashes: list[int], max_bits: int) -> list[int]:
    """Connected components of the pairs within `max_bits`, by trying every pair."""
    parent = list(range(len(hashes)))

    def root(node: int) -> int:
        return node if parent[node] == node else root(parent[node])

    for a, b in itertools.combinations(range(len(hashes)), 2):
        if (hashes[a] ^ hashes[b]).bit_count() <= max_bits:
            parent[root(a)] = root(b)
    return [root(node) for node in range(len(hashes))]


@given(st.data(), st.integers(0, 10))
def test_near_duplicates_are_those_that_trying_every_pair_finds(data: st.DataObject, max_bits: int) -> None:
    seeds = data.draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4))
    flips = st.lists(st.integers(0, 63), max_size=12)
    hashes = [
        seed ^ sum(1 << bit for bit in set(data.draw(flips)))
        for seed in data.draw(st.lists(st.sampled_from(seeds), min_size=1, max_size=12))
    ]
    groups = group_duplicates(
        [f"{i:016x}" * 4 for i in range(len(hashes))], np.array(hashes, dtype=np.uint64), max_bits=max_bits
    )
    expected = brute_force_groups(hashes, max_bits)
    for a, b in itertools.combinations(range(len(hashes)), 2):
        assert (groups[a] == groups[b]) == (expected[a] == expected[b])


def test_group_names_do_not_depend_on_the_order_of_images() -> None:
    digests = [f"{i:016x}" * 4 for i in (5, 3, 9)]
    hashes = np.array([0, 1, 2**60 - 1], dtype=np.uint64)
    forward = group_duplicates(digests, hashes, max_bits=2)
    backward = group_duplicates(digests[::-1], hashes[::-1], max_bits=2)
    assert forward == backward[::-1]
    assert forward[0] == forward[1] == digests[1][:16]
