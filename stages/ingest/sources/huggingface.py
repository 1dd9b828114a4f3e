"""Data sets as the Hugging Face hub ships them: parquet files with the images' bytes inside, such as huggan/wikiart.

In: a folder of parquet files. Out: the images as files named by their digest, and label cells. Row groups are read one
after the other, and what was extracted before is not written again. The files' names tell the data set's own split.
"""

import hashlib
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from cache.atomic import TEMPORARY_SUFFIX
from stages.core.errors import StageError
from stages.core.progress import Progress
from stages.core.tables.problems import Problems
from stages.ingest.hub_schema import HubColumns, read_hub_columns
from stages.ingest.label_cells import SourceLabels, make_cells
from stages.ingest.split_names import clean_split
from stages.ingest.tables.cells import NoText, cell_text
from stages.ingest.tables.parquet import check_sizes, one_sentence, open_parquet

BATCH_ROWS = 64
ENDINGS = {
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG": ".png",
    b"GIF8": ".gif",
    b"BM": ".bmp",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
}


class HubFile(NamedTuple):
    """One of a data set's files: where it lies, and the part of the split that it is named after (or empty)."""

    path: Path
    parquet: Any
    split: str


def read_huggingface(
    problems: Problems, *, labels: str, images: str, columns: Mapping[str, str] | None
) -> SourceLabels:
    """Extract the images of every parquet file and read their labels.

    Parameters
    ----------
    problems
        Where rows without an image, and unknown class indices, are noted.
    labels
        The folder that holds the parquet files, at any depth.
    images
        The image root: files are written to `images/ab/abcdef….jpg`, by the SHA-256 of their bytes.
    columns
        Attribute to column; None takes the class-label columns, in the schema's order.

    Returns
    -------
    SourceLabels
        With the column `split` too, if the files are named after two parts of one or more.

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
        files = [HubFile(path, open_parquet(path), _split_of(path, folder)) for path in paths]
        found = read_hub_columns(files[0].parquet.schema_arrow, paths[0], columns, problems)
        _check_alike(files, found, columns)
        has_split = len({file.split for file in files}) > 1 and all(file.split for file in files)
        parts = []
        with Progress(sum(file.parquet.metadata.num_rows for file in files), "Extracting images") as progress:
            for file in files:
                parts += list(_cells(file, found, Path(images), has_split, problems, progress))
    except (pyarrow.ArrowException, OSError, KeyError, ValueError, OverflowError, MemoryError) as error:
        raise StageError(f"{folder} has a parquet file that cannot be read: {one_sentence(error)}") from None
    attributes = [*found.labels, *(["split"] if has_split and "split" not in found.labels else [])]
    return SourceLabels(pd.concat(parts, ignore_index=True), attributes)


def _split_of(path: Path, folder: Path) -> str:
    """The part of the split in a file's name (`train-00000-of-00002.parquet`), else in its folder's."""
    names = [path.name.split(".")[0].split("-")[0], *(parent for parent in path.relative_to(folder).parts[-2::-1])]
    return next((part for name in names if (part := clean_split(name))), "")


def _check_alike(files: list[HubFile], expected: HubColumns, columns: Mapping[str, str] | None) -> None:
    """Refuse files that list the classes in another order: an index would mean another class."""
    for file in files[1:]:
        if read_hub_columns(file.parquet.schema_arrow, file.path, columns, Problems()) != expected:
            raise StageError(
                f"{file.path} has other columns or classes in its schema than {files[0].path}: "
                "keep the files of one data set, and of one configuration of it, in dataset.labels"
            )


def _cells(
    file: HubFile, columns: HubColumns, images: Path, has_split: bool, problems: Problems, progress: Progress
) -> Iterator[pd.DataFrame]:
    first = 1
    check_sizes(file.parquet, list(columns.labels.values()), file.path)
    for rows in _batches(file.parquet, [columns.image, *columns.labels.values()]):
        numbers = list(range(first, first + len(rows)))
        numbered = list(zip(numbers, rows, strict=True))
        names = [_extracted(row[columns.image], images, file.path, number, problems) for number, row in numbered]
        values = {
            attribute: pd.Series(
                [_label(row[column], columns.classes.get(attribute), attribute, file.path, number, problems)
                 for number, row in numbered],
                dtype=str,
            )
            for attribute, column in columns.labels.items()
        }  # fmt: skip
        if has_split and "split" not in values:
            values["split"] = pd.Series([file.split] * len(rows))
        cells = make_cells(pd.Series(names), values, file.path, pd.Series(numbers))
        yield cells[cells["image"] != ""]
        first += len(rows)
        progress.advance(len(rows))


def _batches(file: Any, columns: list[str]) -> Iterator[list[dict[str, Any]]]:
    """Rows in order. Asked for one row group after the other, pyarrow does not keep those that were read."""
    for row_group in range(file.num_row_groups):
        for batch in file.iter_batches(batch_size=BATCH_ROWS, row_groups=[row_group], columns=columns):
            yield batch.to_pylist()


def _extracted(cell: dict[str, Any] | bytes | None, images: Path, path: Path, row: int, problems: Problems) -> str:
    """Write one image's bytes unless they are there already; its name, or nothing if there are no bytes."""
    encoded = cell.get("bytes") if isinstance(cell, dict) else cell
    if not encoded or not isinstance(encoded, bytes):
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


def _label(cell: object, classes: list[str] | None, attribute: str, path: Path, row: int, problems: Problems) -> str:
    """A cell's label: the text, or the class of an index; -1 is how such data sets say "no label"."""
    try:
        text = cell_text(cell)
    except NoText as error:
        problems.add(path, row, "cell is no label", f"{attribute}: {error}")
        return ""
    if classes is None or text in ("", "-1"):
        return "" if classes is not None else text
    if text.isdecimal() and int(text) < len(classes):
        return classes[int(text)]
    if text in classes:  # in some versions a cell holds the name itself
        return text
    problems.add(path, row, "class index is not in the schema", f"{attribute} {text}")
    return ""
