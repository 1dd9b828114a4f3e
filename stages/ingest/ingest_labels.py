"""The ingest stage: labels from the source named in the settings, checked, merged per image, written as the manifest.

In: label files or folders, and `data/review.csv`. Out: `data/manifest.csv`, sorted by image, `data/ingest_problems.csv`
with file and row of whatever is wrong, and for `demo` the painted collection.
"""

import logging
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pandas as pd

from stages.core.errors import StageError
from stages.core.images.files import ImageFolder
from stages.core.tables.csv_files import is_own_split, write_table
from stages.core.tables.problems import Problems
from stages.ingest.apply_review import apply_decisions
from stages.ingest.artgan import read_artgan
from stages.ingest.cells import checked, merged, without_no_labels
from stages.ingest.disk import files_under, match_names
from stages.ingest.folder import read_folders
from stages.ingest.huggingface import read_huggingface
from stages.ingest.settings import DatasetSettings
from stages.ingest.table import read_label_table

NOT_PAINTED = "Empty because dataset.source in params.yaml is not `demo`.\n"

log = logging.getLogger(__name__)


def ingest_labels(
    *,
    settings: DatasetSettings,
    manifest: Path,
    problems: Path,
    demo: Path,
    review: Path | None = None,
    n_jobs: int = -1,
) -> str:
    """Read the labels of a collection into one manifest.

    Parameters
    ----------
    settings
        Which source, and where it lies.
    manifest
        The table to write: `image` (POSIX path relative to the image root, NFC), one column per attribute, and
        `split…` columns where the source has splits of its own.
    problems
        The table to write of what was wrong: `file`, `row`, `problem`, `detail`.
    demo
        The folder that the demo collection is painted into; for other sources it only says why it is empty.
    review
        Decisions of `pipeline review`, which win over the source; a file that is not there holds none.
    n_jobs
        Workers that paint.

    Returns
    -------
    str
        A table of labels and classes per attribute, what review changed, and how many problems of each kind there are.

    Raises
    ------
    StageError
        If the image root or the labels are missing, lack a column, or list no image.
    """
    found = Problems()
    cells, attributes = _read_source(settings, demo, found, n_jobs)
    cells = without_no_labels(checked(cells, found), settings.no_label)
    if settings.source in ("artgan", "csv", "parquet"):
        cells = _named_as_on_disk(cells, Path(settings.images), settings.allow_missing, found)
    table = merged(cells, attributes, found)
    if table.empty:
        raise StageError(
            f"no images found: dataset.source is {settings.source}, check dataset.images and dataset.labels"
        )
    reviewed = ""
    if review is not None:
        table, reviewed = apply_decisions(
            table, attributes, review=review, images=ImageFolder(Path(settings.images)), problems=found
        )
    write_table(table, manifest)
    found.write(problems)
    return "\n".join([*_summary(table), *filter(None, [reviewed]), *_problem_lines(found, problems)])


def _read_source(
    settings: DatasetSettings, demo: Path, problems: Problems, n_jobs: int
) -> tuple[pd.DataFrame, list[str]]:
    """Label cells and attributes of whichever source."""
    by_name = {"image_column": "image", "columns": None, "class_files": {}}
    if settings.source == "demo":
        from stages.ingest.demo.collection import paint_collection

        paint_collection(demo, settings=settings.demo, n_jobs=n_jobs)
        return read_label_table(demo / "labels.csv", problems, **by_name)
    _leave_demo_empty(demo)
    images = Path(settings.images)
    if settings.source == "huggingface":
        return read_huggingface(_labels(settings), images, problems)
    if not images.is_dir() and not settings.allow_missing:
        raise StageError(f"dataset.images is {images}, which is not a folder: set it to the folder of the image files")
    if settings.source == "folder":
        return read_folders(images, settings.folder_attribute, problems)
    if settings.source == "artgan":
        return read_artgan(_labels(settings), problems)
    by_name = {name: getattr(settings, name) for name in by_name}
    return read_label_table(_labels(settings), problems, **by_name)


def _leave_demo_empty(demo: Path) -> None:
    """`dvc repro` expects the folder whatever the source is."""
    demo.mkdir(parents=True, exist_ok=True)
    (demo / "README.txt").write_text(NOT_PAINTED, encoding="utf-8")


def _labels(settings: DatasetSettings) -> Path:
    if settings.labels is None:
        raise StageError(f"dataset.source is {settings.source}, but dataset.labels names no file or folder")
    if settings.watch != settings.labels:
        log.warning(
            "dvc repro will not notice changes of %s: set dataset.watch to it (now %s)", settings.labels, settings.watch
        )
    return Path(settings.labels)


def _named_as_on_disk(cells: pd.DataFrame, images: Path, allow_missing: bool, problems: Problems) -> pd.DataFrame:
    """Give every image the name that its file has; those without a file keep theirs, and are noted.

    They stay in the manifest: `clean` gives the reason `missing` for each, or, with `allow_missing`, keeps them. So do
    links that leave the image root, which `clean` refuses as `outside_root`.
    """
    listed = list(cells["image"].unique())
    files = files_under(images)
    for problem, name in files.problems:
        problems.add(images, 0, problem, name)
    names = match_names(listed, [*files.names, *files.leading_out])
    links = {name for name in listed if names[name] in files.leading_out or _behind(name, files.leading_out)}
    absent = {name for name in listed if names[name] is None} - links
    if files.inner_folder_links:
        absent = {name for name in absent if not (images / name).is_file()}
    if len(absent) == len(listed) and listed and not allow_missing:
        raise StageError(
            f"none of the {len(listed)} listed images is under {images}, {sorted(absent)[0]!r} for one: "
            "check dataset.images, or take the labels alone with --allow-missing"
        )
    _note_rows(cells, links, "link leads out of dataset.images", problems)
    if not allow_missing:
        _note_rows(cells, absent, "no such file under dataset.images", problems)
    for name, found in names.items():
        if found is not None and found != name:
            problems.add(images, 0, "file name differs from the list's (matched)", f"{name} is {found}")
    return cells.assign(image=cells["image"].map(lambda name: names[name] or name))


def _behind(name: str, links: set[str]) -> bool:
    """Whether a folder on the way to a file is one of the links."""
    return bool(links) and any(parent.as_posix() in links for parent in PurePosixPath(name).parents)


def _note_rows(cells: pd.DataFrame, images: set[str], problem: str, problems: Problems) -> None:
    """Note the first row of each image."""
    first = cells[cells["image"].isin(images)].drop_duplicates("image")
    for file, row, image in zip(first["file"], first["row"], first["image"], strict=True):
        problems.add(file, row, problem, image)


def _summary(table: pd.DataFrame) -> Iterator[str]:
    yield f"{len(table):,} images"
    yield f"{'attribute':<16}{'labels':>8}{'classes':>9}  rarest class"
    for attribute in table.columns.drop("image"):
        counts = table.loc[table[attribute] != "", attribute].value_counts()
        if is_own_split(attribute):
            yield f"{attribute:<16}{counts.sum():>8}           {', '.join(f'{n} {c}' for n, c in counts.items())}"
        else:
            rarest = f"{counts.index[-1]} ({counts.iloc[-1]})" if len(counts) else "-"
            yield f"{attribute:<16}{counts.sum():>8}{len(counts):>9}  {rarest}"


def _problem_lines(problems: Problems, path: Path) -> Iterator[str]:
    for problem, count in problems.counts.most_common():
        yield f"{count:>8} x {problem}"
    if problems:
        yield f"each with file and row in {path}"
