"""The ingest stage: labels from the source named in the settings, checked, merged per image, written as the manifest.

In: label files or folders, and `data/review.csv`. Out: `data/manifest.csv`, sorted by image, `data/ingest_problems.csv`
with file and row of whatever is wrong.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from stages.core.errors import StageError
from stages.core.images.files import LARGEST_PIXELS, ImageFolder, ImageLimits
from stages.core.patience import in_time
from stages.core.records import producers
from stages.core.records.contents import digest_bytes_of
from stages.core.records.outputs import Outputs, write_outputs
from stages.core.tables.columns import MANIFEST, REVIEW, is_source_split, label_columns, missing_label_columns
from stages.core.tables.csv_files import write_table
from stages.core.tables.problems import Problems
from stages.core.tables.text_files import GUESSED
from stages.ingest.apply_review import apply_decisions
from stages.ingest.find_files import FoundFiles, find_files
from stages.ingest.label_cells import (
    SourceLabels,
    check_paths,
    clean_cells,
    empty_no_labels,
    map_labels,
    merge_cells,
)
from stages.ingest.label_sources import SOURCES, LabelSource
from stages.ingest.settings import DatasetSettings
from stages.ingest.spellings import alike_lines, groups_alike, with_counts
from stages.ingest.split_columns import take_splits

# Where `pipeline paint-demo` writes the demo collection's labels.
DEMO_LABELS = "data/demo/labels.csv"

log = logging.getLogger(__name__)


def ingest_labels(
    *,
    settings: DatasetSettings,
    manifest: Path,
    problems: Path,
    review: Path | None = None,
    targets: Sequence[str] = (),
    require_targets: bool = False,
) -> str:
    """Read the labels of a collection into one manifest.

    Parameters
    ----------
    settings
        Which source, and where it lies.
    manifest
        The table to write: `image` (POSIX path relative to the image root, NFC), one column per attribute, and
        `split…` columns where the source has splits.
    problems
        The table to write of what was wrong: `file`, `row`, `problem`, `detail`.
    review
        Decisions of `pipeline review`, which win over the source; a file that is not there holds none.
    targets
        Label columns to train heads for, which the source should have.
    require_targets
        Refuse a source without one of them, before anything expensive; otherwise a warning names it.

    Returns
    -------
    str
        A table of labels and classes per attribute, what review changed, and the number of problems of each kind.

    Raises
    ------
    StageError
        If the image root or the labels are missing, lack a column or a required target, or list no image.
    """
    with write_outputs(
        producers.INGEST, manifest.parent, settings=settings.model_dump(mode="json"), inputs={}
    ) as outputs:
        return _ingest(settings, outputs, manifest, problems, review, targets, require_targets)


def _ingest(
    settings: DatasetSettings,
    outputs: Outputs,
    manifest: Path,
    problems: Path,
    review: Path | None,
    targets: Sequence[str],
    require_targets: bool,
) -> str:
    found = Problems()
    source = SOURCES[settings.source]
    _check_places(settings, source)
    outputs.inputs |= _digest_sources(settings, review)
    labels = _clean_labels(_read_source(settings, source, found), settings, found)
    _check_targets(targets, labels.attributes, settings, require=require_targets)
    if source.lists_files:
        files = find_files(labels.cells, Path(settings.images), settings.allow_missing, found, settings.timeout_s)
    else:
        files = FoundFiles(check_paths(labels.cells, found), Counter(), [])
    table = merge_cells(files.cells, labels.attributes, found)
    if table.empty:
        raise StageError(
            f"no images found: dataset.source is {settings.source} ({source.explanation}), "
            "check dataset.images and dataset.labels"
        )
    reviewed = ""
    if review is not None:
        images = ImageFolder(Path(settings.images), ImageLimits(LARGEST_PIXELS))  # digests alone are compared
        table, reviewed = apply_decisions(table, review=review, images=images, problems=found)
    alike = list(_alike_lines(table, found))
    write_table(table, outputs.path(manifest))
    found.write(outputs.path(problems))
    lines = [*_summary(table), *files.lines(), *alike, reviewed, *_problem_lines(found, problems)]
    return "\n".join(filter(None, lines))


def _digest_sources(settings: DatasetSettings, review: Path | None) -> dict[str, str]:
    """Digest the files that a person wrote: the label table, unless it is a folder, and the decisions of review."""
    files = {"dataset.labels": settings.labels and Path(settings.labels), REVIEW.path: review}
    return {name: digest_bytes_of(path).digest for name, path in files.items() if path and path.is_file()}


def _is_folder(settings: DatasetSettings) -> bool:
    images = Path(settings.images)
    return in_time(images.is_dir, images, settings.timeout_s)


def _check_places(settings: DatasetSettings, source: LabelSource) -> None:
    """Refuse settings that name no labels or no image root, and warn if DVC watches other labels."""
    if "labels" in source.needs:
        if settings.labels is None:
            raise StageError(
                f"dataset.source is {settings.source} ({source.title}), but dataset.labels names no file or folder: "
                f"set it to {source.explanation}"
            )
        if settings.labels == DEMO_LABELS and not Path(DEMO_LABELS).exists():
            raise StageError(
                f"{DEMO_LABELS} does not exist: paint the demo collection with `pipeline paint-demo` first"
            )
    if not source.writes_images and not settings.allow_missing and not _is_folder(settings):
        raise StageError(
            f"dataset.images is {settings.images}, which is not a folder: set it to the folder of the image files"
        )
    if "labels" in source.needs and settings.watch != settings.labels:
        log.warning(
            "dvc repro will not notice changes of %s: set dataset.watch to it (now %s)", settings.labels, settings.watch
        )


def _read_source(settings: DatasetSettings, source: LabelSource, problems: Problems) -> SourceLabels:
    """Call the source's reader with the settings that it needs."""
    return source.load_reader()(problems, **{key: getattr(settings, key) for key in source.needs})


def _check_targets(
    targets: Sequence[str], attributes: Sequence[str], settings: DatasetSettings, *, require: bool
) -> None:
    """Refuse targets that are no label columns of the source, or warn of them."""
    where = settings.labels if "labels" in SOURCES[settings.source].needs else settings.images
    problem = missing_label_columns(targets, attributes, where)
    if problem and require:
        raise StageError(f"targets: {problem}. Set `targets` in params.yaml to label columns")
    if problem:
        log.warning("targets: %s. Set `targets` in params.yaml before `dvc repro`", problem)


def _clean_labels(labels: SourceLabels, settings: DatasetSettings, problems: Problems) -> SourceLabels:
    """Give labels one spelling, then the names that the settings have for them; take the source's split apart."""
    for attribute in settings.map:
        if attribute not in labels.attributes:
            raise StageError(
                f"dataset.map names {attribute!r}, which is no label column; it has: {', '.join(labels.attributes)}"
            )
    cells = map_labels(clean_cells(labels.cells, problems), settings.map, problems)
    return take_splits(labels._replace(cells=empty_no_labels(cells, settings.no_label, problems)), problems)


def _summary(table: pd.DataFrame) -> Iterator[str]:
    yield f"{len(table):,} images"
    yield f"{'attribute':<16}{'labels':>8}{'classes':>9}  rarest class"
    for attribute in table.columns.drop("image"):
        counts = table.loc[table[attribute] != "", attribute].value_counts()
        if is_source_split(attribute):
            yield f"{attribute:<16}{counts.sum():>8}           {', '.join(f'{n} {c}' for n, c in counts.items())}"
        else:
            rarest = f"{counts.index[-1]} ({counts.iloc[-1]})" if len(counts) else "-"
            yield f"{attribute:<16}{counts.sum():>8}{len(counts):>9}  {rarest}"


def _alike_lines(table: pd.DataFrame, problems: Problems) -> Iterator[str]:
    """Lines on labels of one column that are spelled alike; each group is noted as well."""
    for attribute in label_columns(table.columns):
        counts = {label: int(count) for label, count in table[attribute].value_counts().items() if label}
        for group in groups_alike(counts):
            detail = f"{attribute}: {with_counts(group, counts)}"
            problems.add(MANIFEST.path, 0, "labels are spelled alike", detail)
        yield from alike_lines(attribute, counts)


def _problem_lines(problems: Problems, path: Path) -> Iterator[str]:
    for problem, count in problems.counts.most_common():
        yield f"{count:>8} x {problem}"
    if problems:
        yield f"each with file and row in {path}"
    if any(problem.startswith(GUESSED) for problem in problems.counts):
        yield "an encoding is a guess: if letters are wrong, set dataset.encoding, or save the file as UTF-8"
