"""Hugging Face data sets in the spellings of every version, damaged and hostile ones, and their own split."""

import io
import json
import struct
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from stages.core.errors import StageError
from tests.conftest import picture
from tests.stages.ingest.conftest import Workplace, picture_bytes

CLASSES = ["cubism", "dada"]
IMAGE = {"_type": "Image"}


def write(
    place: Workplace, features: object, columns: dict[str, object], name: str = "data/train.parquet", seed: int = 0
) -> str:
    """Write a file with three images and the columns."""
    images = [{"bytes": picture_bytes(seed + number), "path": None} for number in range(3)]
    metadata = {"huggingface": features if isinstance(features, str) else json.dumps({"info": {"features": features}})}
    table = pyarrow.table({"image": images, **columns}).replace_schema_metadata(metadata)
    path = place.root / "hub" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(table, path)
    return str(place.root / "hub")


def styles(place: Workplace, hub: str, **settings: object) -> list[str]:
    place.ingest("huggingface", labels=hub, images=str(place.root / "out"), **settings)
    table = place.ingest("huggingface", labels=hub, images=str(place.root / "out"), **settings)
    return sorted(table["style"])


LABEL = {"names": CLASSES, "_type": "ClassLabel"}
SPELLINGS = {
    "present": LABEL,
    "with an id": {"num_classes": 2, "names": CLASSES, "names_file": None, "id": None, "_type": "ClassLabel"},
    "without a type": {"num_classes": 2, "names": CLASSES},
    "of a data set's card": {"class_label": {"names": {"0": "cubism", "1": "dada"}}},
    "names by index": {"names": {"1": "dada", "0": "cubism"}, "_type": "ClassLabel"},
}


@pytest.mark.parametrize("feature", SPELLINGS.values(), ids=SPELLINGS)
def test_class_labels_in_older_spellings(place: Workplace, feature: dict) -> None:
    hub = write(place, {"image": IMAGE, "style": feature}, {"style": [0, 1, None]})
    assert styles(place, hub) == ["", "cubism", "dada"]


@pytest.mark.parametrize(
    "feature", [{"feature": LABEL, "_type": "Sequence"}, {"feature": LABEL, "_type": "List"}, [LABEL]]
)
def test_lists_of_class_labels_with_one_are_labels_and_with_more_are_noted(place: Workplace, feature: object) -> None:
    hub = write(place, {"image": IMAGE, "style": feature}, {"style": [[0], [0, 1], []]})
    assert styles(place, hub) == ["", "", "cubism"]
    assert (2, "cell is no label") in place.problems()


def test_features_as_a_list_and_float_indices(place: Workplace) -> None:
    features = [{"name": "image", "dtype": "image"}, {"name": "style", "dtype": {"class_label": {"names": CLASSES}}}]
    assert styles(place, write(place, features, {"style": [0.0, 1.0, None]})) == ["", "cubism", "dada"]


def test_texts_are_labels_where_there_are_no_class_labels(place: Workplace) -> None:
    value = {"dtype": "string", "_type": "Value"}
    features = {"image": IMAGE, "style": [value], "Other Title": value}
    columns = {"style": [["a"], ["b"], None], "Other Title": ["x", "y", "z"]}
    assert styles(place, write(place, features, columns)) == ["", "a", "b"]
    assert (0, "column is left out") in place.problems()


def test_a_column_that_is_asked_for_is_taken_beside_class_labels(place: Workplace) -> None:
    features = {"image": IMAGE, "genre": LABEL, "Art Style": {"dtype": "string", "_type": "Value"}}
    hub = write(place, features, {"genre": [0, 1, 9], "Art Style": ["a", "b", None]})
    assert styles(place, hub, columns={"style": "Art Style"}) == ["", "a", "b"]
    with pytest.raises(StageError, match="has no column 'period'; it has: image, genre, Art Style"):
        styles(place, hub, columns={"style": "period"})


def test_a_class_label_whose_name_cannot_be_one_is_left_out_by_name(place: Workplace) -> None:
    hub = write(place, {"image": IMAGE, "style": LABEL, "Art Genre": LABEL}, {"style": [0, 1, 1], "Art Genre": [0] * 3})
    assert styles(place, hub) == ["cubism", "dada", "dada"]
    assert (0, "column is left out") in place.problems()


@pytest.mark.parametrize("metadata", ["{", "[]", '{"info": 3}', "[" * 50_000, '{"info": {"features": {"style": 7}}}'])
def test_a_damaged_description_is_refused_by_name(place: Workplace, metadata: str) -> None:
    with pytest.raises(StageError, match="describes no image column or no class labels"):
        styles(place, write(place, metadata, {"style": [0, 1, 0]}))


def test_the_split_in_the_files_names_is_the_sources(place: Workplace) -> None:
    features = {"image": IMAGE, "style": LABEL}
    for seed, name in enumerate(("train-00000-of-00002", "train-00001-of-00002", "validation-00000-of-00001", "test")):
        hub = write(place, features, {"style": [0, 1, 0]}, f"data/{name}.parquet", seed * 10)
    table = place.ingest("huggingface", labels=hub, images=str(place.root / "out"))
    assert table["split"].value_counts().to_dict() == {"train": 6, "val": 3, "test": 3}


def test_one_part_alone_is_no_split(place: Workplace) -> None:
    hub = write(place, {"image": IMAGE, "style": LABEL}, {"style": [0, 1, 0]}, "data/train-00000-of-00001.parquet")
    table = place.ingest("huggingface", labels=hub, images=str(place.root / "out"))
    assert list(table.columns) == ["image", "style"]


def test_images_that_are_plain_bytes_are_extracted(place: Workplace) -> None:
    buffer = io.BytesIO()
    picture(3).save(buffer, "PNG")
    metadata = {"huggingface": json.dumps({"info": {"features": {"image": IMAGE, "style": LABEL}}})}
    table = pyarrow.table({"image": [buffer.getvalue()], "style": [1]}).replace_schema_metadata(metadata)
    (place.root / "hub").mkdir()
    pyarrow.parquet.write_table(table, place.root / "hub" / "a.parquet")
    assert styles(place, str(place.root / "hub")) == ["dada"]


@pytest.mark.parametrize("source", ["parquet", "huggingface"])
@pytest.mark.parametrize("size", [0, 1, 2**31 - 1, 2**32 - 1])
def test_a_footer_of_a_hostile_size_is_refused_in_little_memory(place: Workplace, source: str, size: int) -> None:
    hub = Path(write(place, {"image": IMAGE, "style": LABEL}, {"style": [0, 1, 0]}))
    path = hub / "data" / "train.parquet"
    content = path.read_bytes()
    path.write_bytes(content[:-8] + struct.pack("<I", size) + b"PAR1")
    before = pyarrow.total_allocated_bytes()
    with pytest.raises(StageError, match="parquet"):
        place.ingest(source, labels=str(path if source == "parquet" else hub), images=str(place.images))
    assert pyarrow.total_allocated_bytes() - before < 10_000_000
