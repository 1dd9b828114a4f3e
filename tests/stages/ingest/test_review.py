"""What a person decided in review reaches the manifest, and what cannot be applied is said by file and row."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from stages.core.errors import StageError
from stages.core.tables.decisions import COLUMNS
from stages.ingest.ingest_labels import ingest_labels
from stages.ingest.settings import DatasetSettings

HEADER = ",".join(COLUMNS)
NAMES = ["a.png", "b.png", "c.png", "د 'é\".png"]
Ingest = Callable[..., tuple[pd.DataFrame, pd.DataFrame, str]]


@pytest.fixture
def digests(save_picture: Callable[..., Path]) -> dict[str, str]:
    """SHA-256 of four images, by name."""
    return {name: hashlib.sha256(save_picture(name, seed).read_bytes()).hexdigest() for seed, name in enumerate(NAMES)}


@pytest.fixture
def ingest(tmp_path: Path, image_root: Path, digests: dict[str, str]) -> Ingest:
    """Ingest four images with a review.csv of these rows; the manifest, the problems and the summary."""
    labels = pd.DataFrame({"image": NAMES, "genre": ["x", "x", "y", "y"], "style": "s", "split": "train"})
    labels.to_csv(tmp_path / "labels.csv", index=False)

    def run(*rows: str, header: str = HEADER) -> tuple[pd.DataFrame, pd.DataFrame, str]:
        review = tmp_path / "review.csv"
        text = "\n".join([header, *rows]).format(a=digests["a.png"], b=digests["b.png"], c=digests["c.png"])
        review.write_bytes(text.encode("utf-8", "surrogateescape"))
        summary = ingest_labels(
            settings=DatasetSettings(source="csv", images=str(image_root), labels=str(tmp_path / "labels.csv")),
            manifest=tmp_path / "manifest.csv",
            problems=tmp_path / "problems.csv",
            review=review,
        )
        manifest, problems = (
            pd.read_csv(tmp_path / name, dtype=str, keep_default_na=False) for name in ("manifest.csv", "problems.csv")
        )
        return manifest.set_index("image"), problems, summary

    return run


def test_without_decisions_the_manifest_is_the_source(ingest: Ingest, tmp_path: Path) -> None:
    manifest, problems, summary = ingest()
    assert manifest["genre"].tolist() == ["x", "x", "y", "y"]
    assert problems.empty
    assert "review" not in summary


def test_a_wrong_label_is_replaced_for_its_image_and_target_only(ingest: Ingest) -> None:
    manifest, problems, summary = ingest("a.png,{a},genre,label_wrong,NA,2026-01-01T00:00:00+00:00")
    assert manifest["genre"].tolist() == ["NA", "x", "y", "y"]
    assert set(manifest["style"]) == {"s"}
    assert problems.empty
    assert "review.csv: 1 labels corrected, 0 times image bad, 0 times fine, 0 decisions not applied" in summary


def test_a_wrong_label_may_be_no_label_at_all(ingest: Ingest) -> None:
    manifest, _, _ = ingest("a.png,{a},genre,label_wrong,,")
    assert manifest["genre"].tolist() == ["", "x", "y", "y"]


def test_a_bad_image_is_left_out_and_listed_with_its_row(ingest: Ingest) -> None:
    manifest, problems, _ = ingest("b.png,{b},style,image_bad,,")
    assert list(manifest.index) == ["a.png", "c.png", NAMES[3]]
    (problem,) = problems.to_dict("records")
    assert problem["problem"] == "image is left out: marked bad in review"
    assert (problem["row"], problem["detail"]) == ("2", "b.png")


def test_a_fine_image_stays_as_it_is(ingest: Ingest) -> None:
    manifest, problems, summary = ingest("a.png,{a},genre,fine,,")
    assert manifest["genre"].tolist() == ["x", "x", "y", "y"]
    assert problems.empty
    assert "1 times fine" in summary


def test_names_with_quotes_and_right_to_left_text_are_found(ingest: Ingest, digests: dict[str, str]) -> None:
    manifest, _, _ = ingest(f'"د \'é"".png",{digests[NAMES[3]]},genre,label_wrong,"عربي, ""x""",')
    assert manifest["genre"][NAMES[3]] == 'عربي, "x"'


def test_the_last_of_several_decisions_holds(ingest: Ingest) -> None:
    rows = ["a.png,{a},genre,image_bad,,", "a.png,{a},genre,label_wrong,z,", "a.png,{a},genre,nonsense,,"]
    manifest, problems, _ = ingest(*rows)
    assert manifest["genre"]["a.png"] == "z"
    assert problems["row"].tolist() == ["2", "4"]
    assert "a later row" in problems["problem"][0]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("nowhere.png,{a},genre,fine,,", "no such image"),
        ("../a.png,{a},genre,image_bad,,", "no such image"),
        ("a.png,{a},artist,fine,,", "no such label column"),
        ("a.png,{a},split,label_wrong,test,", "no such label column"),
        ("a.png,{a},image,label_wrong,b.png,", "no such label column"),
        ("a.png,{a},genre,remove,,", "decision must be one of"),
        ("a.png,,genre,image_bad,,", "sha256 is no digest"),
        ("a.png,{b},genre,label_wrong,z,", "the file has changed since"),
        ("a.png,{b},genre,image_bad,,", "the file has changed since"),
        ("a.png,{a},genre,fine,z,", "only label_wrong has a label"),
        ('a.png,{a},genre,label_wrong,"z\nz",', "label is no plain name"),
        ("a.png,{a},genre,label_wrong,z\x1b[31m,", "label is no plain name"),
        ("a.png,{a},genre,label_wrong,=z(),", "label is no plain name"),
        ("a.png,{a},genre,label_wrong," + "z" * 201 + ",", "label is no plain name"),
        ("a.png,{a},genre,label_wrong", "another number of cells"),
        ("a.png,{a},genre,label_wrong,z,,,", "another number of cells"),
        ('"a.png,{a},genre,label_wrong,z,', "another number of cells"),
        (",,,,,", "decision must be one of"),
    ],
)
def test_a_row_that_cannot_be_applied_is_listed_and_changes_nothing(ingest: Ingest, row: str, reason: str) -> None:
    manifest, problems, _ = ingest("b.png,{b},genre,label_wrong,w,", row)
    assert manifest["genre"].tolist() == ["x", "w", "y", "y"]
    (problem,) = problems.to_dict("records")
    assert reason in problem["problem"]
    assert problem["file"].endswith("review.csv")
    assert problem["row"] == "3"


@pytest.mark.parametrize(
    ("header", "applied", "reason"),
    [
        (HEADER + ",note", True, "unknown column"),
        (HEADER.replace("label,", ""), False, "columns are missing"),
        (HEADER + ",label", False, "columns are missing or named twice"),
        (HEADER.replace(",", ";"), False, "columns are missing"),
        ("", False, "columns are missing"),
    ],
)
def test_columns_that_should_not_be_as_they_are_are_said(
    ingest: Ingest, header: str, applied: bool, reason: str
) -> None:
    row = "a.png,{a},genre,label_wrong,z," + "," * (header.count(",") - HEADER.count(","))
    manifest, problems, _ = ingest(row, header=header)
    assert manifest["genre"]["a.png"] == ("z" if applied else "x")
    assert reason in problems["problem"][0]
    assert problems["row"][0] == "1"


@pytest.mark.parametrize("junk", ["\x00" * 40, "x" * 200_000, '"' * 9, "\udcff\udcfe", "\r\r\n\r"])
def test_a_file_of_junk_never_stops_ingest(ingest: Ingest, junk: str) -> None:
    manifest, _, _ = ingest(junk, junk)
    assert manifest["genre"].tolist() == ["x", "x", "y", "y"]


def test_a_file_from_a_spreadsheet_with_byte_order_mark_and_crlf_is_read(ingest: Ingest) -> None:
    manifest, problems, _ = ingest("a.png,{a},genre,label_wrong,z,\r", header="\ufeff" + HEADER + "\r")
    assert manifest["genre"]["a.png"] == "z"
    assert problems.empty


def test_an_image_whose_file_is_gone_keeps_its_label(ingest: Ingest, image_root: Path) -> None:
    (image_root / "a.png").unlink()
    manifest, problems, _ = ingest("a.png,{a},genre,label_wrong,z,")
    assert manifest["genre"]["a.png"] == "x"
    assert "the file cannot be read (missing)" in problems["problem"].iloc[-1]


def test_a_review_that_leaves_no_image_is_an_error(ingest: Ingest, digests: dict[str, str]) -> None:
    quoted = {name: '"' + name.replace('"', '""') + '"' for name in NAMES}
    with pytest.raises(StageError, match="marks every image as bad"):
        ingest(*(f"{quoted[name]},{digests[name]},genre,image_bad,," for name in NAMES))
