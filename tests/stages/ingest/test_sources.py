"""Every source gives the same manifest for the same collection, and says by file and row what is wrong with it."""

import hashlib
import io
import json
import os
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.core.errors import StageError
from stages.core.images.files import ImageFolder
from stages.core.progress import Progress
from stages.core.tables.columns import MANIFEST
from stages.core.tables.csv_files import read_table
from stages.core.tables.labels import clean_label, label_problem, normalise
from stages.core.tables.spreadsheet import escape_formula
from stages.ingest.ingest_labels import ingest_labels
from stages.ingest.label_cells import path_problem
from stages.ingest.match_names import identity, match_names
from stages.ingest.mojibake import misread, reread
from stages.ingest.settings import DatasetSettings
from tests.conftest import picture

COLLECTION = {
    "cubism/léger.png": ("cubism", "portrait"),
    "cubism/two.png": ("cubism", "still life"),
    "dada/three.png": ("dada", ""),
}


class Workplace:
    """A folder with images, and what ingest makes of them."""

    def __init__(self, root: Path) -> None:
        self.root, self.images = root, root / "images"
        for seed, name in enumerate(COLLECTION):
            (self.images / name).parent.mkdir(parents=True, exist_ok=True)
            picture(seed, (24, 20)).save(self.images / name)

    def write(self, name: str, text: str, encoding: str = "utf-8") -> str:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_bytes(text.encode(encoding))
        return str(self.root / name)

    def ingest(self, source: str, **settings: object) -> pd.DataFrame:
        settings = {"source": source, "images": str(self.images)} | settings
        self.summary = ingest_labels(
            settings=DatasetSettings(**settings), manifest=self.root / "manifest.csv",
            problems=self.root / "problems.csv",
        )  # fmt: skip
        return read_table(self.root / "manifest.csv", MANIFEST)

    def problems(self) -> list[tuple[int, str]]:
        table = pd.read_csv(self.root / "problems.csv", keep_default_na=False)
        return list(zip(table["row"], table["problem"], strict=True))


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


def expected(*columns: str) -> pd.DataFrame:
    rows = [(name, *labels) for name, labels in sorted(COLLECTION.items())]
    return pd.DataFrame(rows, columns=["image", "style", "genre"])[["image", *columns]]


def csv_text(end: str = "\n", separator: str = ",") -> str:
    rows = [separator.join(["image", "style", "genre"])]
    rows += [separator.join([name, *labels]) for name, labels in COLLECTION.items()]
    return end.join([*rows, ""])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("separator", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_csv_in_any_usual_writing(place, end, separator, encoding):
    labels = place.write("labels.csv", csv_text(end, separator), encoding)
    assert place.ingest("csv", labels=labels).equals(expected("style", "genre"))
    assert place.problems() == []


def test_windows_1252_is_read_and_said(place):
    labels = place.write("labels.csv", csv_text(), "latin-1")
    assert place.ingest("csv", labels=labels).equals(expected("style", "genre"))
    assert place.problems() == [(2, "file is not UTF-8: read as Windows-1252")]
    labels = place.write("labels.csv", csv_text("\r"), "latin-1")
    assert place.ingest("csv", labels=labels).equals(expected("style", "genre"))
    assert place.problems() == [(2, "file is not UTF-8: read as Windows-1252")]


def test_parquet_and_mapped_columns(place):
    table = pd.DataFrame(
        [(name, *labels) for name, labels in COLLECTION.items()], columns=["file", "Art Style", "kind"]
    )
    table["kind"] = table["kind"].replace("", None)
    table.to_parquet(place.root / "labels.parquet")
    mapped = {"image_column": "file", "columns": {"style": "Art Style", "genre": "kind"}}
    found = place.ingest("parquet", labels=str(place.root / "labels.parquet"), **mapped)
    assert found.equals(expected("style", "genre"))


def test_labels_as_indices_with_a_class_file(place):
    classes = place.write("classes.txt", "0 cubism\n1 dada\n")
    rows = ["image,style", "cubism/léger.png,0", "cubism/two.png,0", "dada/three.png,1", "cubism/two.png,9"]
    labels = place.write("labels.csv", "\n".join(rows))
    found = place.ingest("csv", labels=labels, class_files={"style": classes})
    assert found.equals(expected("style"))
    assert place.problems() == [(5, "class index is not in the class file")]


def test_folder_takes_the_folders_names_and_no_link_out(place, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "secret.png"
    picture(9).save(outside)
    (place.images / "dada" / "link.png").symlink_to(outside)
    (place.images / "loose.png").write_bytes(outside.read_bytes())
    (place.images / "dada" / "notes.txt").write_text("no image")
    assert place.ingest("folder").equals(expected("style"))
    assert sorted(problem for _, problem in place.problems()) == [
        "file has no image's ending",
        "file lies in no class's folder",
        "link leads out of dataset.images",
    ]


def test_a_listed_link_out_of_the_root_is_named_with_its_row(place, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    picture(9).save(outside / "secret.png")
    (place.images / "dada" / "link.png").symlink_to(outside / "secret.png")
    (place.images / "elsewhere").symlink_to(outside)
    (place.images / "within").symlink_to(place.images / "cubism")
    (place.images / "circle").symlink_to("circle")
    labels = (
        csv_text() + "dada/link.png,dada,\nelsewhere/secret.png,dada,\nwithin/two.png,cubism,\nwithin/no.png,cubism,\n"
    )
    place.ingest("csv", labels=place.write("labels.csv", labels))
    assert place.problems() == [
        (5, "link leads out of dataset.images"),
        (6, "link leads out of dataset.images"),
        (8, "no such file under dataset.images"),
    ]


@pytest.mark.parametrize("source", ["csv", "folder"])
def test_a_file_name_that_is_not_utf_8_is_named_and_opens(place, source):
    name = os.fsencode(place.images / "cubism") + "/léger.png".encode("latin-1")
    os.rename(place.images / "cubism" / "léger.png", name)
    found = place.ingest(source, labels=place.write("labels.csv", csv_text()))
    assert found["image"].tolist() == ["cubism/l\\xe9ger.png", "cubism/two.png", "dada/three.png"]
    assert ImageFolder(place.images).open(found["image"][0]).size == (24, 20)
    named = [(0, "file name is not UTF-8: its other bytes are written as \\x..")]
    matched = [(0, "file name differs from the list's (matched)")]
    assert place.problems() == named + (matched if source == "csv" else [])


def test_rows_are_counted_as_a_spreadsheet_counts_them(place):
    rows = ["image,style", "", "cubism/léger.png,cubism", "", "", "../x.png,dada", ",", "cubism/two.png,cubism", ""]
    found = place.ingest("csv", labels=place.write("labels.csv", "\n".join(rows)))
    assert len(found) == 2
    assert place.problems() == [(6, "image path has .. in it"), (0, "file is in no row of the labels")]


def test_a_sources_word_for_not_known_is_no_label(place):
    rows = ["image,artist,genre", "cubism/léger.png,unknown artist,n/a", "cubism/two.png,Unknown Artist,portrait"]
    labels = place.write("labels.csv", "\n".join(rows))
    assert place.ingest("csv", labels=labels)["artist"].tolist() == ["", ""]
    found = place.ingest("csv", labels=labels, no_label=["N/A"])
    assert found["artist"].tolist() == ["unknown artist", "Unknown Artist"]
    assert found["genre"].tolist() == ["", "portrait"]


# As the hub ships data sets: bytes in a struct, class names in the schema's metadata.
STYLES, GENRES = ["cubism", "dada"], ["portrait", "still life"]


def write_hub_files(place: Workplace, extra: list[dict] | None = None) -> str:
    def label(names: list[str], name: str) -> int:
        return names.index(name) if name in names else -1

    rows = [
        {
            "image": {"bytes": (place.images / name).read_bytes(), "path": name},
            "style": label(STYLES, style),
            "genre": label(GENRES, genre),
        }
        for name, (style, genre) in COLLECTION.items()
    ] + (extra or [])
    features = {"image": {"_type": "Image"}} | {
        name: {"names": names, "_type": "ClassLabel"} for name, names in (("style", STYLES), ("genre", GENRES))
    }
    schema = pyarrow.schema(
        [
            ("image", pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])),
            ("style", pyarrow.int64()),
            ("genre", pyarrow.int64()),
        ],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    (place.root / "hub" / "data").mkdir(parents=True, exist_ok=True)
    for number, part in enumerate((rows[:2], rows[2:])):
        path = place.root / "hub" / "data" / f"train-{number:05d}-of-00002.parquet"
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(part, schema), path, row_group_size=1)
    return str(place.root / "hub")


def test_huggingface_extracts_every_image_once_under_its_digest(place):
    hub = write_hub_files(place)
    out = place.root / "extracted"
    found = place.ingest("huggingface", labels=hub, images=str(out))
    digests = {
        hashlib.sha256((place.images / name).read_bytes()).hexdigest(): labels for name, labels in COLLECTION.items()
    }
    assert {Path(row["image"]).stem: (row["style"], row["genre"]) for _, row in found.iterrows()} == digests
    for name in found["image"]:
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == Path(name).stem
        assert name.endswith(".png")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    assert place.ingest("huggingface", labels=hub, images=str(out)).equals(found)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.png")} == before


def test_huggingface_rows_that_are_wrong_are_named(place):
    encoded = (place.images / "dada" / "three.png").read_bytes()
    extra = [
        {"image": None, "style": 0, "genre": 0},
        {"image": {"bytes": b"", "path": ""}, "style": 0, "genre": 0},
        {"image": {"bytes": encoded, "path": "x"}, "style": 1, "genre": 7},
    ]
    found = place.ingest("huggingface", labels=write_hub_files(place, extra), images=str(place.root / "out"))
    assert len(found) == 3
    assert [problem for problem in place.problems() if problem[1].startswith(("row", "class"))] == [
        (2, "row has no image"),
        (3, "row has no image"),
        (4, "class index is not in the schema"),
    ]


def test_huggingface_files_that_list_the_classes_in_another_order_are_refused(place):
    hub = Path(write_hub_files(place))
    first = hub / "data" / "train-00000-of-00002.parquet"
    table = pyarrow.parquet.read_table(first)
    features = json.loads(table.schema.metadata[b"huggingface"])
    features["info"]["features"]["style"]["names"].reverse()
    other = table.replace_schema_metadata({"huggingface": json.dumps(features)})
    pyarrow.parquet.write_table(other, hub / "data" / "train-00001-of-00002.parquet")
    with pytest.raises(StageError, match=r"train-00001-of-00002\.parquet has other columns or classes"):
        place.ingest("huggingface", labels=str(hub), images=str(place.root / "out"))


def test_huggingface_holds_a_row_group_at_a_time(place, monkeypatch):
    encoded = [np.random.default_rng(seed).bytes(100_000) for seed in range(120)]
    extra = [{"image": {"bytes": content, "path": ""}, "style": 0, "genre": 0} for content in encoded]
    hub = write_hub_files(place, extra)
    held, advance = [], Progress.advance

    def watched(progress: Progress, count: int) -> None:
        held.append(pyarrow.total_allocated_bytes())
        advance(progress, count)

    monkeypatch.setattr(Progress, "advance", watched)
    before = pyarrow.total_allocated_bytes()
    found = place.ingest("huggingface", labels=hub, images=str(place.root / "out"))
    assert len(found) == 123
    assert max(held) - before < 3_000_000  # of 12,000,000 in the file


def test_a_parquet_file_that_is_none_or_not_of_the_hub(place):
    with pytest.raises(StageError, match=r"no \.parquet files"):
        place.ingest("huggingface", labels=str(place.images))
    place.write("bad/x.parquet", "not parquet")
    with pytest.raises(StageError, match="cannot be read"):
        place.ingest("huggingface", labels=str(place.root / "bad"))
    pd.DataFrame({"a": [1]}).to_parquet(place.root / "bad" / "x.parquet")
    with pytest.raises(StageError, match=r"set dataset\.source to parquet"):
        place.ingest("huggingface", labels=str(place.root / "bad"))


HOSTILE = {
    "/etc/passwd": "image path is absolute; it must be relative to dataset.images",
    "C:\\\\images\\\\a.png": "image path is absolute; it must be relative to dataset.images",
    "../out.png": "image path has .. in it",
    "a/../../out.png": "image path has .. in it",
    "a\0b.png": "image path has control characters",
    "": "image path is empty",
    "x" * 5000: "image path is longer than a file system allows",
}


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: repr(name[:12]))
def test_a_hostile_path_costs_its_row_and_is_named(place, name):
    table = pd.DataFrame([(image, labels[0]) for image, labels in COLLECTION.items()], columns=["image", "style"])
    table.loc[3] = [name, "dada"]
    table.to_parquet(place.root / "labels.parquet")
    assert place.ingest("parquet", labels=str(place.root / "labels.parquet")).equals(expected("style"))
    assert place.problems() == [(5, HOSTILE[name])]


def test_what_a_spreadsheet_would_run_is_kept_and_escaped_in_every_file(place):
    rows = [
        "image,style",
        "cubism/léger.png,=cmd|' /C calc'!A0",
        "=x.png,dada",
        "dada/three.png,  dada ",
        "no.png,-5",
    ]
    found = place.ingest("csv", labels=place.write("labels.csv", "\n".join(rows)))
    assert found.set_index("image")["style"].to_dict() == {
        "=x.png": "dada",
        "cubism/léger.png": "=cmd|' /C calc'!A0",
        "dada/three.png": "dada",
        "no.png": "-5",
    }
    for name in ("manifest.csv", "problems.csv"):
        written = pd.read_csv(place.root / name, keep_default_na=False, dtype=str)
        for cell in written.to_numpy().ravel():
            assert not cell.startswith(("=", "+", "@")), cell
    assert "'=x.png" in (place.root / "manifest.csv").read_text(encoding="utf-8")


def test_rows_that_disagree_leave_the_image_unlabelled_and_both_are_named(place):
    labels = place.write("labels.csv", csv_text() + "cubism/two.png,dada,still life\n")
    found = place.ingest("csv", labels=labels).set_index("image")
    assert found.loc["cubism/two.png"].to_dict() == {"style": "", "genre": "still life"}
    report = pd.read_csv(place.root / "problems.csv")
    assert report["row"].tolist() == [5, 5]
    assert "'dada', but 'cubism' in" in report["detail"][0] or "'cubism', but 'dada' in" in report["detail"][0]
    assert "row 3" in report["detail"][0]


def test_files_that_are_not_there_stay_listed_and_are_named(place):
    labels = place.write("labels.csv", csv_text() + "gone.png,dada,\n")
    assert "gone.png" in set(place.ingest("csv", labels=labels)["image"])
    assert place.problems() == [(5, "no such file under dataset.images")]
    place.ingest("csv", labels=labels, allow_missing=True)
    assert place.problems() == []
    (place.root / "empty").mkdir()
    with pytest.raises(StageError, match="none of the 4 listed images"):
        place.ingest("csv", labels=labels, images=str(place.root / "empty"))


def test_the_sources_own_split_is_kept_under_one_set_of_names(place):
    rows = [
        "image,style,split",
        "cubism/léger.png,cubism,Training",
        "cubism/two.png,cubism,valid",
        "dada/three.png,dada,x",
    ]
    found = place.ingest("csv", labels=place.write("labels.csv", "\n".join(rows)))
    assert found["split"].tolist() == ["train", "val", ""]


def test_the_summary_names_labels_classes_and_the_rarest(place):
    place.ingest("csv", labels=place.write("labels.csv", csv_text()))
    assert place.summary.splitlines()[0] == "3 images"
    assert place.summary.splitlines()[2].split() == ["style", "3", "2", "dada", "(1)"]


# The ArtGAN lists, small, with every quirk of the published ones.


def write_artgan(place: Workplace, train: str = "cubism/grã©goire_one-1950.jpg,0\ncubism/two.jpg,0\n") -> str:
    place.write("lists/style_class.txt", "0 Cubism\n1 Art_Nouveau\n")
    place.write("lists/style_train.csv", train)
    place.write("lists/style_val.csv", "Art_Nouveau_Modern/three, with a comma.jpg,1\n")
    place.write("lists/genre_class", "0 portrait\n1 landscape\n")
    place.write("lists/genre_train.csv", "cubism/two.jpg,1\ncubism/two.jpg,1\ncubism/four.jpg,8\n")
    place.write("lists/genre_val.csv", "Art_Nouveau_Modern/three, with a comma.jpg,0\n")
    place.write("lists/artist_class", "0 Léger\n")
    place.write("lists/artist_train", "(Path to image),, (Groundtruth class) \n\ncubism/two.jpg,,0\n")
    place.write("lists/artist_val", "(Path to image),, (Groundtruth class) \n\ncubism/grã©goire_one-1950.jpg,,0\n")
    return str(place.root / "lists")


def test_artgan_lists_with_all_their_quirks(place):
    found = place.ingest("artgan", labels=write_artgan(place), allow_missing=True).set_index("image")
    assert found.loc["cubism/two.jpg"].to_dict() == {
        "style": "Cubism", "genre": "landscape", "artist": "Léger",
        "split_style": "train", "split_genre": "train", "split_artist": "train",
    }  # fmt: skip
    three = found.loc["Art_Nouveau_Modern/three, with a comma.jpg"]
    assert (three["style"], three["split_style"], three["artist"]) == ("Art_Nouveau", "val", "")
    assert found.loc["cubism/grã©goire_one-1950.jpg", "split_artist"] == "val"
    assert (found.loc["cubism/four.jpg"] == "").all()
    assert place.problems() == [(3, "class index is not in the class file"), (2, "image is listed again")]


@pytest.mark.parametrize(
    ("encoding", "end"), [("utf-8-sig", "\n"), ("utf-8", "\r\n"), ("utf-8", "\r"), ("latin-1", "\n")]
)
def test_artgan_lists_in_any_writing_give_the_same_manifest(place, encoding, end):
    labels = write_artgan(place)
    plain = place.ingest("artgan", labels=labels, allow_missing=True)
    for path in Path(labels).iterdir():
        path.write_bytes(path.read_text(encoding="utf-8").replace("\n", end).encode(encoding))
    assert place.ingest("artgan", labels=labels, allow_missing=True).equals(plain)
    assert (encoding == "latin-1") == any("read as Windows-1252" in problem for _, problem in place.problems())


# One invented name as it should be, as other systems decompose it, and as the archive mangled it.
SPELLINGS = ["zoë-årud_the-quay-1931.jpg", "ZoÃ«-Ã¥rud_the-quay-1931.jpg", "zoã«-ã¥rud_the-quay-1931.jpg"]
ASCII = ["dora-lind_still-life.jpg", "dora-lind_still-life(1).jpg"]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("on_disk", SPELLINGS)
@pytest.mark.parametrize("listed", SPELLINGS)
def test_a_name_finds_its_file_whichever_of_the_two_is_mangled(place, listed, on_disk, form):
    for name in [unicodedata.normalize(form, on_disk), *ASCII]:
        (place.images / "cubism" / name).write_bytes(b"x")
    rows = [f"cubism/{name},0" for name in (listed, *ASCII, "zoë-brud_the-quay-1931.jpg")]
    folder = write_artgan(place, train="\n".join(rows))
    found = set(place.ingest("artgan", labels=folder)["image"])
    assert f"cubism/{unicodedata.normalize('NFC', on_disk)}" in found
    report = pd.read_csv(place.root / "problems.csv")
    missing = report[report["problem"] == "no such file under dataset.images"]
    assert "cubism/zoë-brud_the-quay-1931.jpg" in set(missing["detail"])
    assert not missing["detail"].str.contains("rud_the-quay").sum() > 1


def test_a_name_that_two_files_may_mean_is_listed_and_matched_to_neither(place):
    for name in ("zoë_quay.jpg", "Zoë_quay.jpg"):
        (place.images / "cubism" / name).write_bytes(b"x")
    found = place.ingest("artgan", labels=write_artgan(place, train="cubism/zoã«_quay.jpg,0\ncubism/two.png,0"))
    assert "cubism/zoã«_quay.jpg" in set(found["image"])
    assert (1, "no such file under dataset.images") in place.problems()


@pytest.mark.parametrize("missing", ["style_class.txt", "genre_val.csv", "artist_train"])
def test_an_incomplete_set_of_lists_is_refused_by_name(place, missing):
    folder = write_artgan(place)
    (Path(folder) / missing).unlink()
    with pytest.raises(StageError, match=missing.partition(".")[0]):
        place.ingest("artgan", labels=folder, allow_missing=True)


NAMES = st.lists(st.text("aAeéÉ\u0301ã©Ã.jpg/\\\\% 2", min_size=1, max_size=8), max_size=12)


@given(NAMES, NAMES)
def test_a_file_is_matched_by_one_name_or_none(listed, on_disk):
    found = match_names(listed, on_disk)
    assert set(found) == set(listed)
    by_file: dict[str, set[str]] = {}
    for name, match in found.items():
        assert match.file is None or match.file in on_disk
        assert name not in on_disk or match == (name, "exact name")
        by_file.setdefault(match.file or "", set()).add(identity(name))
    for file, names in by_file.items():
        assert not file or len(names) == 1


@given(st.text())
def test_a_mis_decoded_name_is_what_misread_gives_and_reread_undoes(text):
    name = unicodedata.normalize("NFC", text)
    mangled = name.encode("utf-8").decode("latin-1")
    assert name.isascii() or mangled in misread(name)
    if not name.isascii() and not reread(name):
        assert reread(mangled) == name


@given(st.text())
def test_a_cleaned_label_has_no_control_characters_and_stays_as_it_is(text):
    label = clean_label(normalise(text))
    assert all(ord(char) >= 32 for char in label)
    assert clean_label(label) == label
    if not label_problem(label):
        assert escape_formula(label) == label


@given(st.text(max_size=40))
def test_a_path_that_passes_stays_under_the_root(text):
    name = normalise(text)
    if not path_problem(name):
        assert Path("/root/of/images", name).resolve().is_relative_to("/root/of/images")


def test_the_bytes_of_an_image_are_those_of_the_parquet_file(place):
    buffer = io.BytesIO()
    picture(3).save(buffer, "JPEG")
    extra = [{"image": {"bytes": buffer.getvalue(), "path": "../../evil.jpg"}, "style": 0, "genre": 0}]
    found = place.ingest("huggingface", labels=write_hub_files(place, extra), images=str(place.root / "out"))
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    assert f"{digest[:2]}/{digest}.jpg" in set(found["image"])
    assert not list(place.root.rglob("evil*"))


def test_a_target_that_is_no_label_column_is_refused_before_anything_is_written(place):
    labels = place.write("labels.csv", csv_text())
    places = {name: place.root / f"{name}.csv" for name in ("manifest", "problems")}
    settings = DatasetSettings(source="csv", images=str(place.images), labels=labels)
    message = r"targets: .*labels\.csv has no label column 'genres', 'artist'; it has: style, genre \(nearest: genre\)"
    with pytest.raises(StageError, match=message + r"\. Set `targets` in params\.yaml"):
        ingest_labels(settings=settings, targets=["style", "genres", "artist"], require_targets=True, **places)
    assert not places["manifest"].exists()
    ingest_labels(settings=settings, targets=["style", "genre"], require_targets=True, **places)
    assert places["manifest"].exists()


def test_without_the_check_a_target_that_is_no_label_column_is_one_line_of_warning(place, caplog):
    labels = place.write("labels.csv", csv_text())
    places = {name: place.root / f"{name}.csv" for name in ("manifest", "problems")}
    settings = DatasetSettings(source="csv", images=str(place.images), labels=labels, watch=labels)
    ingest_labels(settings=settings, targets=["style", "artist"], **places)
    assert [record.getMessage() for record in caplog.records] == [
        f"targets: {labels} has no label column 'artist'; it has: style, genre. "
        "Set `targets` in params.yaml before `dvc repro`"
    ]
    assert places["manifest"].exists()
