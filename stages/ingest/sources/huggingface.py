"""Data sets as the Hugging Face hub ships them: parquet files with the images' bytes inside, such as huggan/wikiart.

In: a folder of parquet files. Out: the images as files named by their digest, and label cells. Row groups are read one
after the other, and what was extracted before is not written again.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from cache.atomic import TEMPORARY_SUFFIX
from stages.core.errors import StageError
from stages.core.progress import Progress
from stages.core.tables.problems import Problems
from stages.ingest.label_cells import SourceLabels, check_attribute, make_cells

BATCH_ROWS = 64
ENDINGS = {
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG": ".png",
    b"GIF8": ".gif",
    b"BM": ".bmp",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
}


def read_huggingface(problems: Problems, *, labels: str, images: str) -> SourceLabels:
    """Extract the images of every parquet file and read their labels.

    Parameters
    ----------
    problems
        Where rows without an image, and unknown class indices, are noted.
    labels
        The folder that holds the parquet files, at any depth.
    images
        The image root: files are written to `images/ab/abcdef….jpg`, by the SHA-256 of their bytes.

    Returns
    -------
    SourceLabels
        Its attributes are the class-label columns, in the schema's order.

    Raises
    ------
    StageError
        If there is no parquet file, or one has no image column or no class labels, or not those of the first.
    """
    import pyarrow
    import pyarrow.parquet

    folder = Path(labels)
    paths = sorted(folder.rglob("*.parquet")) if folder.is_dir() else []
    if not paths:
        raise StageError(f"dataset.labels is {folder}, where there are no .parquet files: set it to their folder")
    try:
        files = [(path, pyarrow.parquet.ParquetFile(path)) for path in paths]
        image_column, classes = _columns(files[0][1].schema_arrow, paths[0])
        _check_alike(files, (image_column, classes))
        parts = []
        with Progress(sum(file.metadata.num_rows for _, file in files), "Extracting images") as progress:
            for path, file in files:
                parts += list(_cells(path, file, image_column, classes, Path(images), problems, progress))
    except (pyarrow.ArrowException, KeyError) as error:
        raise StageError(f"{folder} has a parquet file that cannot be read: {error}") from None
    return SourceLabels(pd.concat(parts, ignore_index=True), list(classes))


def _columns(schema: Any, path: Path) -> tuple[str, dict[str, list[str]]]:
    """The image column, and the names of the classes of every class-label column."""
    metadata = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = metadata.get("info", {}).get("features", {})
    of_images = [name for name, feature in features.items() if feature.get("_type") == "Image"]
    classes = {name: feature["names"] for name, feature in features.items() if feature.get("_type") == "ClassLabel"}
    if not of_images or not classes:
        raise StageError(
            f"{path} describes no image column or no class labels in its schema: it is not as the hub ships data sets "
            "(for a plain table of paths and labels set dataset.source to parquet)"
        )
    for name in classes:
        check_attribute(name, path)
    return of_images[0], classes


def _check_alike(files: list[tuple[Path, Any]], expected: tuple[str, dict[str, list[str]]]) -> None:
    """Refuse files that list the classes in another order: an index would mean another class."""
    for path, file in files[1:]:
        if _columns(file.schema_arrow, path) != expected:
            raise StageError(
                f"{path} has other columns or classes in its schema than {files[0][0]}: "
                "keep the files of one data set, and of one configuration of it, in dataset.labels"
            )


def _cells(
    path: Path,
    file: Any,
    image_column: str,
    classes: dict[str, list[str]],
    images: Path,
    problems: Problems,
    progress: Progress,
) -> Iterator[pd.DataFrame]:
    first = 1
    for rows in _batches(file, [image_column, *classes]):
        numbers = range(first, first + len(rows))
        names = [
            _extracted(row[image_column], images, path, number, problems)
            for number, row in zip(numbers, rows, strict=True)
        ]
        values = {
            attribute: pd.Series(
                [
                    _label(row[attribute], known, attribute, path, number, problems)
                    for number, row in zip(numbers, rows, strict=True)
                ]
            )
            for attribute, known in classes.items()
        }
        cells = make_cells(pd.Series(names), values, path, pd.Series(numbers))
        yield cells[cells["image"] != ""]
        first += len(rows)
        progress.advance(len(rows))


def _batches(file: Any, columns: list[str]) -> Iterator[list[dict[str, Any]]]:
    """Rows in order. Asked for one row group after the other, pyarrow does not keep those that were read."""
    for row_group in range(file.num_row_groups):
        for batch in file.iter_batches(batch_size=BATCH_ROWS, row_groups=[row_group], columns=columns):
            yield batch.to_pylist()


def _extracted(cell: dict[str, Any] | None, images: Path, path: Path, row: int, problems: Problems) -> str:
    """Write one image's bytes unless they are there already; its name, or nothing if there are no bytes."""
    encoded = (cell or {}).get("bytes")
    if not encoded:
        problems.add(path, row, "row has no image")
        return ""
    digest = hashlib.sha256(encoded).hexdigest()
    name = f"{digest[:2]}/{digest}{_ending(encoded)}"
    target = images / name
    if not target.is_file() or target.stat().st_size != len(encoded):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
        try:  # without a flush per file: whatever a power cut leaves has another size, and is written again
            temporary.write_bytes(encoded)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    return name


def _ending(encoded: bytes) -> str:
    if encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP":
        return ".webp"
    return next((ending for start, ending in ENDINGS.items() if encoded.startswith(start)), ".img")


def _label(index: int | None, names: list[str], attribute: str, path: Path, row: int, problems: Problems) -> str:
    if index is None or index == -1:  # -1 is how such data sets say "no label"
        return ""
    if not 0 <= index < len(names):
        problems.add(path, row, "class index is not in the schema", f"{attribute} {index}")
        return ""
    return names[index]
