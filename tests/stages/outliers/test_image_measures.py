"""How pictures look, in numbers; each file is looked at once, and what cannot be looked at is said."""

import hashlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter

from benchmarks.icc_profiles import PROPHOTO, SRGB, between_spaces, rgb_profile
from stages.core.images.files import ImageFolder, ImageLimits
from stages.outliers.image_measures import MEASURES, measure_images
from stages.outliers.levels import GREY_CHROMA
from stages.outliers.measure_file import measure
from tests.conftest import picture


def looks(image: Image.Image) -> dict[str, float]:
    return dict(zip(MEASURES, measure(image), strict=True))


def table_of(root: Path, *names: str) -> pd.DataFrame:
    keys = [hashlib.sha256((root / name).read_bytes()).hexdigest() for name in names]
    return pd.DataFrame({"image": names, "sha256": keys})


def test_black_is_dark_and_white_is_bright_and_neither_has_colour_or_edges() -> None:
    assert looks(Image.new("RGB", (40, 30))) == {"brightness": 0, "saturation": 0, "chroma": 0, "sharpness": 0}
    assert looks(Image.new("RGB", (40, 30), "white"))["brightness"] == pytest.approx(1)
    red = looks(Image.new("RGB", (40, 30), "red"))
    assert (red["saturation"], red["chroma"]) == (1, 255)


def test_a_blurred_picture_is_less_sharp() -> None:
    image = picture(0, (200, 160))
    noisy = Image.effect_noise((200, 160), 60)
    assert looks(noisy)["sharpness"] > 10 * looks(noisy.filter(ImageFilter.GaussianBlur(3)))["sharpness"]
    assert looks(image)["sharpness"] < looks(noisy)["sharpness"]


def test_a_grey_picture_is_grey_in_any_mode_and_with_the_tint_of_a_scan(tmp_path: Path) -> None:
    grey = picture(0, (200, 160)).convert("L")
    tinted = Image.merge("RGB", [grey, grey.point(lambda v: max(v - 6, 0)), grey.point(lambda v: max(v - 10, 0))])
    grey.convert("RGB").save(tmp_path / "grey.jpg", quality=60)
    for image in (grey, grey.convert("RGB"), tinted, Image.open(tmp_path / "grey.jpg")):
        assert looks(image)["chroma"] < GREY_CHROMA
    assert looks(picture(0, (200, 160)))["chroma"] > GREY_CHROMA


def test_a_wide_gamut_has_no_part_in_how_a_picture_looks(image_root: Path) -> None:
    image = picture(5)
    scan = Image.fromarray(between_spaces(np.asarray(image), SRGB, PROPHOTO).round().astype(np.uint8))
    image.save(image_root / "image.png")
    scan.save(image_root / "scan.png", icc_profile=rgb_profile(PROPHOTO))
    scan.save(image_root / "stored.png")
    found = measure_images(table_of(image_root, "image.png", "scan.png", "stored.png"), ImageFolder(image_root))
    assert np.allclose(
        found.loc[0, ["brightness", "saturation"]], found.loc[1, ["brightness", "saturation"]], atol=0.01
    )
    assert found.loc[0, "saturation"] > found.loc[2, "saturation"] + 0.1


def test_size_has_no_part_in_how_a_picture_looks() -> None:
    """A large photograph is measured at the size that a small one has."""
    large = picture(3, (1600, 1200))
    small = large.resize((256, 192), Image.Resampling.BILINEAR)
    assert np.allclose(measure(large), measure(small), rtol=0.15, atol=0.01)


def test_each_file_is_looked_at_once_for_all_targets(
    image_root: Path, save_picture: Callable[..., Path], tmp_path: Path
) -> None:
    for seed, name in enumerate(("a.jpg", "b.png")):
        save_picture(name, seed)
    table, kept = table_of(image_root, "a.jpg", "b.png"), tmp_path / "looks.sqlite"
    first = measure_images(table, ImageFolder(image_root), kept=kept)
    assert first.notna().all(axis=None)
    for path in image_root.iterdir():
        path.unlink()
    pd.testing.assert_frame_equal(measure_images(table, ImageFolder(image_root), kept=kept), first)


def test_a_file_that_is_gone_changed_or_too_large_has_no_looks_and_the_first_is_named(
    image_root: Path, save_picture: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    for seed, name in enumerate(("good.png", "gone.png", "changed.png")):
        save_picture(name, seed)
    save_picture("large.png", 3, size=(200, 200))
    table = table_of(image_root, "good.png", "gone.png", "changed.png", "large.png")
    (image_root / "gone.png").unlink()
    save_picture("changed.png", 9)
    found = measure_images(table, ImageFolder(image_root, ImageLimits(max_pixels=10_000)))
    assert found.notna().all(axis=1).tolist() == [True, False, False, False]
    assert "3 of 4 images cannot be measured (brightness, colour, sharpness), the first is 'gone.png'" in caplog.text


@pytest.mark.parametrize("content", [b"no database", b""])
def test_a_damaged_database_is_started_anew(
    image_root: Path, save_picture: Callable[..., Path], tmp_path: Path, content: bytes
) -> None:
    save_picture("a.jpg", 0)
    kept = tmp_path / "looks.sqlite"
    kept.write_bytes(content * 100)
    found = measure_images(table_of(image_root, "a.jpg"), ImageFolder(image_root), kept=kept)
    assert found.notna().all(axis=None)
    with sqlite3.connect(kept) as database:
        assert database.execute("SELECT count(*) FROM memory").fetchone() == (1,)


def test_a_database_that_cannot_be_written_is_done_without(
    image_root: Path, save_picture: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_picture("a.jpg", 0)
    (tmp_path / "in the way").write_text("a file, no folder")
    kept = tmp_path / "in the way" / "looks.sqlite"
    found = measure_images(table_of(image_root, "a.jpg"), ImageFolder(image_root), kept=kept)
    assert found.notna().all(axis=None)
    assert "cannot be used" in caplog.text
