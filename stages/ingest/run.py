"""The ingest stage: labels from the source named in the settings, checked, merged per image, written as the manifest.

In: label files or folders. Out: `data/manifest.csv`, sorted by image, and for `demo` the painted collection.
"""

import logging
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pandas as pd

from stages.errors import StageError
from stages.ingest.settings import DatasetSettings
from stages.tables import write_table

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif"}
# What later stages add to the table; a label column of the same name would be overwritten.
RESERVED_COLUMNS = {"image", "sha256", "width", "height", "mode", "group", "split"}
ATTRIBUTE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
NOT_PAINTED = "Empty because dataset.source in params.yaml is not `demo`.\n"

log = logging.getLogger(__name__)


def ingest_labels(*, settings: DatasetSettings, manifest: Path, demo: Path, n_jobs: int = -1) -> str:
    """Read the labels of a collection into one manifest.

    Parameters
    ----------
    settings
        Which source, and where it lies.
    manifest
        The table to write: `image` (POSIX path relative to the image root, NFC) and one column per attribute.
    demo
        The folder that the demo collection is painted into; for other sources it only says why it is empty.
    n_jobs
        Workers that paint.

    Returns
    -------
    str
        A table of labels and classes per attribute.

    Raises
    ------
    StageError
        If the image root or the label file is missing, lacks a column, or lists no image.
    """
    if settings.source == "demo":
        from stages.ingest.demo.collection import paint_collection

        paint_collection(demo, settings=settings.demo, n_jobs=n_jobs)
        table = _read_csv(demo / "labels.csv", image_column="image", columns=None)
    else:
        _leave_demo_empty(demo)
        images = Path(settings.images)
        if not images.is_dir():
            raise StageError(
                f"dataset.images is {images}, which is not a folder: set it to the folder of the image files"
            )
        table = _read_folders(images, settings) if settings.source == "folder" else _read_labels(settings)
    table = _merge_rows_of_an_image(table).sort_values("image", ignore_index=True)
    if table.empty:
        raise StageError(
            f"no images found: dataset.source is {settings.source}, check dataset.images and dataset.labels"
        )
    write_table(table, manifest)
    return _summary(table)


def _leave_demo_empty(demo: Path) -> None:
    """`dvc repro` expects the folder whatever the source is."""
    demo.mkdir(parents=True, exist_ok=True)
    (demo / "README.txt").write_text(NOT_PAINTED, encoding="utf-8")


def _read_folders(images: Path, settings: DatasetSettings) -> pd.DataFrame:
    """One sub-folder per class; files in sub-folders of it belong to the class too."""
    _check_attribute(settings.folder_attribute, "dataset.folder_attribute")
    rows = [
        (path.relative_to(images).as_posix(), path.relative_to(images).parts[0])
        for path in sorted(images.rglob("*"))
        if path.suffix.lower() in IMAGE_SUFFIXES and len(path.relative_to(images).parts) > 1
    ]
    if not rows:
        raise StageError(
            f"{images} has no sub-folders with image files: `folder` takes the sub-folders' names as classes"
        )
    return pd.DataFrame(rows, columns=["image", settings.folder_attribute])


def _read_labels(settings: DatasetSettings) -> pd.DataFrame:
    if settings.labels is None:
        raise StageError("dataset.source is csv, but dataset.labels names no file")
    if settings.watch != settings.labels:
        log.warning(
            "dvc repro will not notice changes of %s: set dataset.watch to it (now %s)", settings.labels, settings.watch
        )
    return _read_csv(Path(settings.labels), image_column=settings.image_column, columns=settings.columns)


def _read_csv(path: Path, *, image_column: str, columns: dict[str, str] | None) -> pd.DataFrame:
    """Read a label table and give its columns the attributes' names."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError:
        raise StageError(f"{path} does not exist: set dataset.labels to the label table") from None
    except pd.errors.EmptyDataError:
        raise StageError(f"{path} is empty: it needs a header line and a row per image") from None
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise StageError(f"{path} is not a UTF-8 CSV table: {error}") from None
    if columns is None:
        columns = {name: name for name in table.columns if name != image_column}
    for name in (image_column, *columns.values()):
        if name not in table.columns:
            raise StageError(f"{path} has no column {name!r}; it has: {', '.join(table.columns)}")
    for attribute in columns:
        _check_attribute(attribute, path)
    picked = pd.DataFrame({"image": table[image_column]} | {a: table[name] for a, name in columns.items()})
    return _drop_unusable_paths(picked.map(_normalise), path)


def _check_attribute(name: str, where: Path | str) -> None:
    if name in RESERVED_COLUMNS:
        raise StageError(f"{where}: a label column cannot be called {name!r}: rename it with dataset.columns")
    if not ATTRIBUTE_NAME.fullmatch(name):
        raise StageError(
            f"{where}: column {name!r} cannot be an attribute (letters, digits, _ and - only): "
            "map the columns you need with dataset.columns, such as {style: 'Art Style'}"
        )


def _normalise(text: str) -> str:
    """One spelling per label and path: NFC, no spaces around."""
    return unicodedata.normalize("NFC", text).strip()


def _drop_unusable_paths(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Leave out rows that cannot name a file under the image root, naming each."""
    reasons = table["image"].map(_path_problem)
    for index, reason in reasons[reasons != ""].items():
        log.warning("%s, row %d: left out, the image path %s", path, index + 2, reason)
    table = table[reasons == ""].copy()
    table["image"] = table["image"].map(lambda image: PurePosixPath(image).as_posix())
    return table


def _path_problem(image: str) -> str:
    if not image:
        return "is empty"
    # Names that were mis-decoded somewhere hold C1 controls (0x80 to 0x9f) and are names all the same.
    if min(image) < " ":
        return "has control characters"
    if PurePosixPath(image).is_absolute():
        return "is absolute; it must be relative to dataset.images"
    if ".." in PurePosixPath(image).parts:
        return "has .. in it"
    if max(len(part.encode()) for part in image.split("/")) > 255 or len(image.encode()) > 4095:
        return "is longer than a file system allows"
    return ""


def _merge_rows_of_an_image(table: pd.DataFrame) -> pd.DataFrame:
    """One row per image; where rows disagree about an attribute, it is left unlabelled and named."""
    repeated = table["image"].duplicated(keep=False)
    merged = [_merge(image, rows) for image, rows in table[repeated].groupby("image", sort=True)]
    return pd.concat([table[~repeated], pd.DataFrame(merged, columns=table.columns)], ignore_index=True)


def _merge(image: str, rows: pd.DataFrame) -> dict[str, str]:
    merged = {"image": image}
    for attribute in rows.columns.drop("image"):
        labels = sorted(set(rows[attribute]) - {""})
        if len(labels) > 1:
            log.warning("%s has conflicting labels for %s (%s): left unlabelled", image, attribute, ", ".join(labels))
        merged[attribute] = labels[0] if len(labels) == 1 else ""
    return merged


def _summary(table: pd.DataFrame) -> str:
    return "\n".join([f"{len(table)} images", *_summary_rows(table)])


def _summary_rows(table: pd.DataFrame) -> Iterator[str]:
    yield f"{'attribute':<16}{'labels':>8}{'classes':>9}  rarest class"
    for attribute in table.columns.drop("image"):
        counts = table.loc[table[attribute] != "", attribute].value_counts()
        rarest = f"{counts.index[-1]} ({counts.iloc[-1]})" if len(counts) else "-"
        yield f"{attribute:<16}{counts.sum():>8}{len(counts):>9}  {rarest}"
