"""A row gets the file it names, or none: exactly, or by one forgiving step with one fit in both directions."""

import os
import unicodedata
import urllib.parse
from pathlib import Path

import pytest

from stages.core.errors import StageError
from stages.core.images.files import ImageFolder
from stages.core.tables.file_names import disk_names, image_names
from stages.ingest.image_files import files_under, is_system
from stages.ingest.match_names import match_names
from tests.stages.ingest.conftest import Workplace


def nfd(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def found(listed: list[str], on_disk: list[str], root: str = "/data/images") -> dict[str, str | None]:
    return {name: match.file for name, match in match_names(listed, on_disk, Path(root)).items()}


# Listed name, file, and the step that finds it.
FORGIVEN = [
    ("é.jpg", nfd("é.jpg"), "Unicode form"),
    (nfd("é.jpg"), "é.jpg", "Unicode form"),
    ("Å.jpg", "\u212b.jpg", "Unicode form"),
    (" a.jpg", "a.jpg", "Unicode form"),
    ("./x//a.jpg", "x/a.jpg", "Unicode form"),
    ("a.jpg", " a.jpg", "spaces"),
    ("a b.jpg", "a\u00a0b.jpg", "spaces"),
    ("a  b.jpg", "a b.jpg", "spaces"),
    ("a.JPG", "A.jpg", "case"),
    ("STRASSE.jpg", "straße.jpg", "case"),
    ("zoë.jpg", "zoÃ«.jpg", "mis-decoded"),
    ("ZoÃ«.jpg", "zoë.jpg", "mis-decoded"),
    ("zoë.jpg", "zo├½.jpg", "mis-decoded"),
    ("zoë.jpg", "zo\udceb.jpg", "mis-decoded"),
    ("zoë.jpg", "zoÃƒÂ«.jpg", "mis-decoded"),
    ("a%20b.jpg", "a b.jpg", "URL-encoded"),
    ("zo%C3%AB.jpg", "zoë.jpg", "URL-encoded"),
    ("a b.jpg", "a%20b.jpg", "URL-encoded"),
    ("x\\a.jpg", "x/a.jpg", "backslashes"),
    (".\\X\\a.jpg", "x/a.jpg", "backslashes"),
    ("x/a", "x/a.jpg", "missing ending"),
    ("x/a.jpg", "x/a", "missing ending"),
    ("x\\zoÃ«", "x/zoë.jpg", "missing ending"),
    ("images/x/a.jpg", "x/a.jpg", "root in front"),
    ("data/images/x/a.jpg", "x/a.jpg", "root in front"),
    ("/home/me/images/x/a.jpg", "x/a.jpg", "root in front"),
    ("C:\\scans\\images\\x\\a.jpg", "x/a.jpg", "root in front"),
    ("../images/x/a.jpg", "x/a.jpg", "root in front"),
]


@pytest.mark.parametrize(("listed", "file", "how"), FORGIVEN)
def test_a_name_is_forgiven_by_the_first_step_that_fits(listed: str, file: str, how: str) -> None:
    assert match_names([listed], [file, "other.png"], Path("/data/images"))[listed] == (file, how)


@pytest.mark.parametrize(("listed", "file", "how"), FORGIVEN)
def test_a_file_that_another_row_names_outright_is_not_given_away(listed: str, file: str, how: str) -> None:
    if how != "Unicode form":
        assert found([listed, file], [file])[listed] is None


@pytest.mark.parametrize(("listed", "file", "how"), FORGIVEN)
def test_a_file_that_two_rows_may_mean_is_given_to_neither(listed: str, file: str, how: str) -> None:
    other = listed.swapcase()
    if how not in ("Unicode form", "spaces", "mis-decoded") and other != file:
        assert set(found([listed, other], [file]).values()) == {None}


NOT_ALIKE = [
    ("шишкин_1.jpg", "репин_1.jpg"),
    ("大はしあたけの夕立.jpg", "神奈川沖浪裏.jpg"),
    ("møller.jpg", "müller.jpg"),
    ("a.jpg", "a.png"),
    ("a1.jpg", "a2.jpg"),
    ("x/a.jpg", "y/a.jpg"),
    ("Ã\x81.jpg", "Ã\x82.jpg"),
    ("e.jpg", "é.jpg"),
    ("a", "b/a.jpg"),
]


@pytest.mark.parametrize(("listed", "file"), NOT_ALIKE)
def test_another_picture_is_never_a_match(listed: str, file: str) -> None:
    assert found([listed], [file])[listed] is None
    assert found([file], [listed])[file] is None


def test_two_forms_on_the_disk_are_two_files_and_each_row_gets_its_own(place: Workplace) -> None:
    names = ["é.png", nfd("é.png")]
    place.add(*names)
    labels = place.write("labels.csv", f"image,style\n{names[0]},a\n{names[1]},b\n")
    table = place.ingest("csv", labels=labels)
    assert dict(zip(table["image"], table["style"], strict=True)) == dict(zip(names, "ab", strict=True))
    assert [ImageFolder(place.images).read(name) for name in names] == [(place.images / n).read_bytes() for n in names]


HARD_NAMES = [
    f"{nfd('é')}/é.png", f"é/{nfd('é')}2.png", "Kuni/\u212bngstrom.png", "Kuni/歌川国\uf9dc.png", "x\u0307\u0323y.png",
    " leading.png", "trailing .png", "a'b\"c.png", "=cmd.png", "-5.png", "a\\b.png", "l\udce9ger.png", "%41.png",
    "\u200bzero.png", "a\u00a0b.png", "🎨.png", "a,b;c.png", "Ã\x81.png", "a  b.png", "Ⅻ.png",
]  # fmt: skip


@pytest.mark.parametrize("source", ["csv", "folder"])
def test_whatever_the_disk_holds_can_be_opened(place: Workplace, source: str) -> None:
    hard = [f"dada/{name}" for name in HARD_NAMES]
    for name in hard:
        place.add(name)
    rows = "".join(f'"{name.replace(chr(34), chr(34) * 2)}",a\n' for name in hard if "\udce9" not in name)
    table = place.ingest(source, labels=place.write("labels.csv", f"image,style\n{rows}"))
    for name in table["image"]:
        assert ImageFolder(place.images).open(name).size == (24, 20)
    assert len(table) >= len(hard) - 1
    if source == "folder":
        assert len(table) == len(hard) + 3


@pytest.mark.parametrize("name", HARD_NAMES)
def test_a_name_in_a_table_leads_back_to_its_file(name: str) -> None:
    (image,) = image_names([name]).values()
    assert image is not None
    image.encode()
    assert name in disk_names(image)


def test_what_matched_how_is_counted_and_unlisted_files_are_listed(place: Workplace) -> None:
    place.add("new.png", ".thumbs/new.png", "@eaDir/x.png")
    rows = "cubism/LÉGER.png,a\ncubism/two.png,a\ndada%2Fthree.png,b\n"
    table = place.ingest("csv", labels=place.write("labels.csv", f"image,style\n{rows}"))
    assert set(table["image"]) == {"cubism/léger.png", "cubism/two.png", "dada/three.png"}
    assert "files: 1 by URL-encoded, 1 by case, 1 by exact name" in place.summary
    assert "unlisted: 1 image files are in no row (new.png)" in place.summary
    listed = [detail for _, problem, detail in place.details() if problem == "file is in no row of the labels"]
    assert listed == ["new.png"]


def test_an_absolute_path_under_the_root_is_read_and_another_refused(place: Workplace) -> None:
    rows = f"{place.images}/cubism/two.png,a\n/etc/passwd,b\n{urllib.parse.quote('cubism/léger.png')},c\n"
    table = place.ingest("csv", labels=place.write("labels.csv", f"image,style\n{rows}"))
    assert table["image"].tolist() == ["cubism/léger.png", "cubism/two.png"]
    assert (3, "image path is absolute; it must be relative to dataset.images") in place.problems()


SYSTEM = [
    ".ipynb_checkpoints/0.png", ".Trash-1000/files/x.png", "@eaDir/2.png/SYNO.png", "__MACOSX/y.png",
    "cubism/._two.png",
    "cubism/.ipynb_checkpoints/2.png", "cubism/@eaDir/4.png/XL.png", "$RECYCLE.BIN/a.png", "#recycle/a.png",
    "lost+found/a.png", "System Volume Information/a.png", "cubism/Thumbs.db", ".@__thumb/a.png", "__pycache__/a.png",
]  # fmt: skip


def test_hidden_and_system_folders_are_no_classes_and_are_listed(place: Workplace) -> None:
    place.add(*SYSTEM)
    assert all(map(is_system, SYSTEM))
    table = place.ingest("folder")
    assert set(table["style"]) == {"cubism", "dada"}
    assert len(table) == 3
    noted = {detail for _, problem, detail in place.details() if problem.startswith("hidden or system")}
    assert {"@eaDir", "__MACOSX", ".ipynb_checkpoints", "._two.png", "Thumbs.db"} <= noted


def test_a_listed_file_in_a_hidden_folder_is_found_by_its_exact_name_only(place: Workplace) -> None:
    place.add(".hidden/a.png")
    labels = place.write("labels.csv", "image,style\n.hidden/a.png,x\n.HIDDEN/a.png,y\n")
    table = place.ingest("csv", labels=labels)
    assert dict(zip(table["image"], table["style"], strict=True)) == {".hidden/a.png": "x", ".HIDDEN/a.png": "y"}
    assert (3, "no such file under dataset.images") in place.problems()


@pytest.mark.parametrize("layout", ["train/{}/{}", "{}/train/{}"])
def test_folders_of_a_split_are_the_sources_split(place: Workplace, tmp_path: Path, layout: str) -> None:
    root = tmp_path / "divided"
    place.images = root
    names = {}
    for number in range(12):
        part = ("train", "val", "Test_Set")[number % 3]
        name = layout.replace("train", part).format(("Cubism", "Rococo")[number // 3 % 2], f"{number}.png")
        names[name] = {"train": "train", "val": "val", "Test_Set": "test"}[part]
        place.add(name)
    table = place.ingest("folder")
    assert set(table["style"]) == {"Cubism", "Rococo"}
    assert dict(zip(table["image"], table["split"], strict=True)) == names


def test_folders_of_a_split_without_classes_are_refused_and_one_among_classes_is_noted(place: Workplace) -> None:
    place.add("train/a.png")
    assert set(place.ingest("folder")["style"]) == {"cubism", "dada", "train"}
    assert (0, "class is called as a part of a split", "train") in place.details()
    place.images = place.root / "flat"
    place.add("train/a.png", "valid/b.png")
    with pytest.raises(StageError, match="called as a split's parts"):
        place.ingest("folder")


def test_every_file_of_a_walk_is_listed_under_one_name(place: Workplace) -> None:
    place.add(*(f"dada/{name}" for name in HARD_NAMES))
    walked = {
        os.path.relpath(os.path.join(folder, name), place.images)
        for folder, _, names in os.walk(place.images)
        for name in names
    }
    files = files_under(place.images)
    assert set(files.names) == walked
    assert len(set(files.names.values())) == len(walked)
