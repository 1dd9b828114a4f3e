"""An image folder gives the bytes of files that lie in it, are those that were meant, and are within its limits."""

import hashlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from stages.core.images.files import ImageFolder, ImageLimits, UnusableImage

Save = Callable[..., Path]


def reason_of(read: Callable[[], object]) -> str:
    with pytest.raises(UnusableImage) as problem:
        read()
    return problem.value.reason


def test_a_file_is_read_whole_and_only_with_the_digest_that_is_asked_for(image_root: Path, save_picture: Save) -> None:
    encoded = save_picture("deep/a.png", 1).read_bytes()
    images = ImageFolder(image_root)
    assert images.read("deep/a.png") == encoded
    assert images.read("deep/a.png", sha256=hashlib.sha256(encoded).hexdigest()) == encoded
    for other in ("", hashlib.sha256(b"").hexdigest()):
        assert reason_of(lambda other=other: images.read("deep/a.png", sha256=other)) == "changed"
        assert reason_of(lambda other=other: images.open("deep/a.png", sha256=other)) == "changed"


@pytest.mark.parametrize("name", ["../outside.png", "link.png", "linked/outside.png"])
def test_no_way_leads_out_of_the_folder(image_root: Path, save_picture: Save, name: str) -> None:
    outside = save_picture("../outside.png", 1)
    (image_root / "link.png").symlink_to(outside)
    (image_root / "linked").symlink_to(outside.parent)
    assert reason_of(lambda: ImageFolder(image_root).read(name)) == "outside_root"


def test_a_link_within_the_folder_is_followed(image_root: Path, save_picture: Save) -> None:
    (image_root / "link.png").symlink_to(save_picture("a.png", 1))
    assert ImageFolder(image_root).open("link.png").size == (80, 64)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("gone.png", None, "missing"),
        ("empty.png", b"", "empty"),
        ("page.png", b"<html>", "not_an_image"),
        (".", None, "unreadable"),
        ("a\0b.png", None, "unreadable"),
    ],
)
def test_what_cannot_be_used_has_its_reason(image_root: Path, name: str, content: bytes | None, reason: str) -> None:
    if content is not None:
        (image_root / name).write_bytes(content)
    assert reason_of(lambda: ImageFolder(image_root).open(name)) == reason


def test_links_in_a_circle_are_unreadable(image_root: Path) -> None:
    os.symlink("b.png", image_root / "a.png")
    os.symlink("a.png", image_root / "b.png")
    assert reason_of(lambda: ImageFolder(image_root).read("a.png")) == "unreadable"


def test_the_limit_is_the_largest_size_that_is_taken(image_root: Path, save_picture: Save) -> None:
    save_picture("a.png", 1, (80, 64))
    assert ImageFolder(image_root, ImageLimits(max_pixels=80 * 64)).open("a.png").size == (80, 64)
    assert reason_of(lambda: ImageFolder(image_root, ImageLimits(80 * 64 - 1)).open("a.png")) == "too_large"


def test_a_worker_gets_the_same_folder(image_root: Path) -> None:
    folder = ImageFolder(image_root, ImageLimits(max_pixels=1000))
    assert pickle.loads(pickle.dumps(folder)) == folder
