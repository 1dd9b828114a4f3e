"""The clean stage keeps what can be used, and says of everything else why it cannot."""

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from stages.clean.check_image import check_image
from stages.clean.clean_images import clean_images
from stages.clean.settings import CleanSettings
from stages.core.errors import StageError
from stages.core.records.outputs import adopt
from stages.core.tables.columns import MANIFEST
from tests.conftest import picture

SETTINGS = CleanSettings()
Save = Callable[..., Path]


def bomb(width: int, height: int) -> bytes:
    """A PNG header that declares many pixels and holds none."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def clean(tmp_path: Path, images: Path, names: list[str], **settings: object) -> tuple[pd.DataFrame, pd.DataFrame]:
    pd.DataFrame({"image": names, "style": "x"}).to_csv(tmp_path / "manifest.csv", index=False)
    adopt(tmp_path / "manifest.csv", MANIFEST)
    clean_images(
        settings=CleanSettings(**settings),
        manifest=tmp_path / "manifest.csv",
        images=images,
        clean=tmp_path / "clean.csv",
        rejected=tmp_path / "rejected.csv",
        conflicts=tmp_path / "conflicts.csv",
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
        (bomb(60_000, 60_000), "too_large", "3600000000 pixels"),
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


def test_links_that_go_in_circles_are_a_reason_and_not_an_error(image_root: Path) -> None:
    (image_root / "one.png").symlink_to("two.png")
    (image_root / "two.png").symlink_to("one.png")
    assert check_image(image_root, "one.png", SETTINGS).reason in {"missing", "unreadable"}


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


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "gif", "bmp"])
def test_a_file_cut_short_is_never_good(image_root: Path, save_picture: Save, suffix: str) -> None:
    path = save_picture(f"cut.{suffix}", 9, (200, 200))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    assert check_image(image_root, path.name, SETTINGS).reason in {"truncated", "decode_error", "not_an_image"}


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_large_jpeg_is_checked_to_its_end_and_described_as_it_is_stored(
    image_root: Path, save_picture: Save, progressive: bool, kept: float
) -> None:
    """It is decoded at a reduced scale, which must show neither in what is found nor in what is missed."""
    path = save_picture("large.jpg", 9, (2300, 1600), quality=90, progressive=progressive)
    save_picture("large.png", 9, (2300, 1600))
    found, lossless = (check_image(image_root, f"large.{suffix}", SETTINGS) for suffix in ("jpg", "png"))
    assert (found.width, found.height) == (2300, 1600)
    coarse, fine = (
        int.from_bytes(bytes.fromhex(found.hashes)[part]) ^ int.from_bytes(bytes.fromhex(lossless.hashes)[part])
        for part in (slice(0, 8), slice(8, 40))
    )
    assert coarse.bit_count() <= 2
    assert fine.bit_count() <= SETTINGS.confirm_bits // 2
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    assert check_image(image_root, "large.jpg", SETTINGS).reason == "truncated"


def test_the_mode_is_that_of_the_file(image_root: Path) -> None:
    for mode in ("RGB", "L", "CMYK"):
        Image.new(mode, (64, 64)).save(image_root / f"{mode}.jpg")
        assert check_image(image_root, f"{mode}.jpg", SETTINGS).mode == mode


@pytest.mark.parametrize("name", ["nul\0.jpg", "x" * 5000 + ".jpg", "half\udc80.jpg"])
def test_a_name_that_no_file_can_have_is_a_reason_and_not_an_error(image_root: Path, name: str) -> None:
    assert check_image(image_root, name, SETTINGS).reason in {"missing", "unreadable"}


def test_nothing_under_the_image_root_is_written_or_removed(
    tmp_path: Path, image_root: Path, save_picture: Save
) -> None:
    save_picture("a.png", 5)
    (image_root / "bad.jpg").write_bytes(b"<html>")
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in image_root.iterdir()}
    clean(tmp_path, image_root, ["a.png", "bad.jpg", "none.jpg"])
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in image_root.iterdir()} == before


@pytest.mark.parametrize(("missing_groups", "groups"), [("file_name", 3), ("path", 4)])
def test_rows_without_a_file_can_be_kept_and_are_grouped_by_name(
    tmp_path: Path, image_root: Path, save_picture: Save, missing_groups: str, groups: int
) -> None:
    save_picture("x/a.jpg", 5)
    (image_root / "bad.jpg").write_bytes(b"<html>")
    names = ["bad.jpg", "u/a.jpg", "u/b.jpg", "v/a.jpg", "x/a.jpg"]
    good, rejected = clean(tmp_path, image_root, names, allow_missing=True, missing_groups=missing_groups)
    assert good["image"].tolist() == names[1:]
    assert (good.loc[:2, ["sha256", "width", "height", "mode"]] == "").all(axis=None)
    assert good["group"].nunique() == groups
    assert (good["group"][0] == good["group"][2]) == (missing_groups == "file_name")
    assert rejected["image"].tolist() == ["bad.jpg"]


def test_labels_on_which_duplicates_disagree_are_listed(tmp_path: Path, image_root: Path, save_picture: Save) -> None:
    original = save_picture("a.png", 7)
    for name in ("b.png", "c.png"):
        (image_root / name).write_bytes(original.read_bytes())
    save_picture("d.png", 8)
    pd.DataFrame(
        {
            "image": ["a.png", "b.png", "c.png", "d.png"],
            "style": ["Baroque", "Rococo", "", "Cubism"],
            "genre": ["portrait", "portrait", "portrait", "still_life"],
            "split_style": ["train", "val", "", ""],
        }
    ).to_csv(tmp_path / "manifest.csv", index=False)
    adopt(tmp_path / "manifest.csv", MANIFEST)
    adopt(tmp_path / "manifest.csv", MANIFEST)
    summary = clean_images(
        settings=SETTINGS, manifest=tmp_path / "manifest.csv", images=image_root,
        **{name: tmp_path / f"{name}.csv" for name in ("clean", "rejected", "conflicts")},
    )  # fmt: skip
    listed = pd.read_csv(tmp_path / "conflicts.csv")
    assert listed[["attribute", "image", "label"]].to_numpy().tolist() == [
        ["style", "a.png", "Baroque"],
        ["style", "b.png", "Rococo"],
    ]
    assert "1 groups disagree on style" in summary


def test_the_summary_says_which_page_of_a_tiff_was_taken(tmp_path: Path, image_root: Path, save_picture: Save) -> None:
    save_picture("one.tif", 1)
    for name in ("a.tif", "b.tif"):
        small, large = picture(2, (60, 40)), picture(3 if name == "a.tif" else 4, (90, 80))
        small.save(image_root / name, save_all=True, append_images=[large])
    pd.DataFrame({"image": ["one.tif", "a.tif", "b.tif"], "style": "x"}).to_csv(tmp_path / "manifest.csv", index=False)
    adopt(tmp_path / "manifest.csv", MANIFEST)
    tables = {name: tmp_path / f"{name}.csv" for name in ("manifest", "clean", "rejected", "conflicts")}
    for _ in range(2):  # also where the files were decoded by an earlier run
        summary = clean_images(settings=SETTINGS, images=image_root, scan=tmp_path / "scan", **tables)
        assert summary.splitlines()[-1] == (
            "2 TIFFs have several pages; the largest that is no reduced copy was taken: a.tif (2 of 2), b.tif (2 of 2)"
        )
