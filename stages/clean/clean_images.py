"""The clean stage: decode every image in full once, keep what can be used, group what is the same picture.

In: `data/manifest.csv` and the image files. Out: `data/clean.csv` (the good rows with `sha256`, `width`, `height`,
`mode`, `group`), `data/rejected.csv` (`image`, `reason`, `detail`) and `data/conflicts.csv` (labels that duplicates
disagree on).
"""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
import pandas as pd

from stages.clean.check_image import CheckedImage
from stages.clean.decoder import check_batch
from stages.clean.duplicates import Groups, group_duplicates, label_conflicts
from stages.clean.findings import Findings
from stages.clean.scan_memory import FileState, ScanMemory, file_state
from stages.clean.settings import CleanSettings
from stages.core.errors import StageError
from stages.core.patience import each_in_time, in_time
from stages.core.progress import Progress
from stages.core.records import producers
from stages.core.records.outputs import write_outputs
from stages.core.records.reading import Input, bind_inputs
from stages.core.tables.columns import MANIFEST, label_columns
from stages.core.tables.csv_files import read_table, write_table

BATCH_SIZE = 16
LOOK_UP_SIZE = 4096
# Names of files with several pages that the summary shows.
MOST_NAMES = 10
MISSING = CheckedImage(reason="missing", detail="no such file")


def clean_images(
    *,
    settings: CleanSettings,
    manifest: Path,
    images: Path,
    clean: Path,
    rejected: Path,
    conflicts: Path,
    scan: Path | None = None,
) -> str:
    """Check every image of the manifest and write the good and the rejected ones.

    Parameters
    ----------
    settings
        Limits of size and time, and how alike duplicates are.
    manifest
        The table of ingest.
    images
        The image root.
    clean, rejected, conflicts
        The tables to write.
    scan
        What earlier runs found in each file, so that only changed files are decoded; None decodes all.

    Returns
    -------
    str
        Counts by reason, and of duplicates.

    Raises
    ------
    StageError
        If the image root is missing, its disk does not answer, or no image at all can be used.
    """
    if not settings.allow_missing and not in_time(images.is_dir, images, settings.timeout_s):
        raise StageError(f"dataset.images is {images}, which is not a folder: set it to the folder of the image files")
    inputs = bind_inputs([Input(manifest, MANIFEST)])
    with write_outputs(
        producers.CLEAN, clean.parent, settings=settings.model_dump(mode="json"), inputs=inputs
    ) as outputs:
        places = Tables(*map(outputs.path, (clean, rejected, conflicts)))
        return _clean(read_table(manifest, MANIFEST), settings, images, places, scan, manifest)


class Tables(NamedTuple):
    """Where to write the tables of clean."""

    clean: Path
    rejected: Path
    conflicts: Path


def _clean(
    table: pd.DataFrame, settings: CleanSettings, images: Path, places: Tables, scan: Path | None, manifest: Path
) -> str:
    names = table["image"].tolist()
    findings, unchanged = _check_all(names, images, settings, scan)
    rejections = findings.rejected(table["image"], allow_missing=settings.allow_missing)
    kept = findings.good | (findings.missing & settings.allow_missing)
    if not kept.any():
        counts = ", ".join(f"{n} {reason}" for reason, n in rejections["reason"].value_counts().items())
        raise StageError(f"none of the {len(table)} images in {manifest} can be used ({counts}): check dataset.images")
    attributes = label_columns(table.columns)
    table, groups = _with_groups(table, findings, kept, settings)
    disagreements = label_conflicts(table, attributes)
    write_table(rejections, places.rejected)
    write_table(disagreements, places.conflicts)
    write_table(table, places.clean)
    lines = [*_summary(table, rejections, disagreements, groups, unchanged), *_page_lines(findings.pages(names))]
    return "\n".join(lines)


def _check_all(names: list[str], images: Path, settings: CleanSettings, scan: Path | None) -> tuple[Findings, int]:
    """Check files on all workers; also count those not decoded, since they have not changed since an earlier run."""
    findings = Findings(len(names))
    with contextlib.ExitStack() as stack:
        memory = stack.enter_context(ScanMemory(scan, images, settings)) if scan else None
        waiting = _take_known(names, images, settings, memory, findings)
        unchanged = len(names) - len(waiting) - int(findings.missing.sum())
        progress = stack.enter_context(Progress(len(names), "Checking", done=len(names) - len(waiting)))
        batches = [waiting[start : start + BATCH_SIZE] for start in range(0, len(waiting), BATCH_SIZE)]
        results = joblib.Parallel(return_as="generator")(
            joblib.delayed(_check)(images, [names[row] for row in batch], settings) for batch in batches
        )
        for batch, found in zip(batches, results, strict=True):
            for row, (_, _, answer) in zip(batch, found, strict=True):
                findings.put(row, CheckedImage.from_json(answer))
            if memory:
                memory.remember(_lasting(found))
            progress.advance(len(batch))
    return findings, unchanged


def _take_known(
    names: list[str], images: Path, settings: CleanSettings, memory: ScanMemory | None, findings: Findings
) -> list[int]:
    """Note what is known without opening a file; return the rows of the other files."""
    waiting = []
    for start in range(0, len(names), LOOK_UP_SIZE):
        part = names[start : start + LOOK_UP_SIZE]
        states = _look_at(images, part, settings.timeout_s)
        answers = memory.known(part, states) if memory else [None] * len(part)
        for row, (state, answer) in enumerate(zip(states, answers, strict=True), start):
            if state is not None and state.missing:
                findings.put(row, MISSING)
            elif answer is not None:
                findings.put(row, CheckedImage.from_json(answer))
            else:
                waiting.append(row)
    return waiting


def _look_at(images: Path, names: list[str], timeout_s: float) -> list[FileState | None]:
    """The state of each file, from a disk that answers."""
    return list(each_in_time((file_state(images, name) for name in names), images, timeout_s))


def _check(images: Path, names: list[str], settings: CleanSettings) -> list[tuple[str, FileState | None, str]]:
    """Check a batch of files, with the state that each had before."""
    states = _look_at(images, names, settings.timeout_s)
    return list(zip(names, states, check_batch(images, names, settings), strict=True))


def _lasting(found: list[tuple[str, FileState | None, str]]) -> Iterator[tuple[str, FileState | None, str]]:
    """Keep what the file itself decides; a busy machine or a lost permission may be gone in the next run."""
    passing = {"missing", "unreadable", "outside_root", "decoder_crashed", "decoder_timeout"}
    for name, state, answer in found:
        if CheckedImage.from_json(answer).reason not in passing:
            yield name, state, answer


def _with_groups(
    table: pd.DataFrame, findings: Findings, kept: np.ndarray, settings: CleanSettings
) -> tuple[pd.DataFrame, Groups]:
    """The rows to keep with what was found in them; rows without a file are grouped by their names."""
    described = findings.described()
    groups = group_duplicates(
        described["sha256"].tolist(),
        findings.hashes(),
        max_bits=settings.near_duplicate_bits,
        confirm_bits=settings.confirm_bits,
    )
    described = described.assign(group=groups.names).astype(str)
    table = table[kept].join(described.reindex(np.flatnonzero(kept), fill_value=""))
    without_file = table["group"] == ""
    names = table.loc[without_file, "image"]
    if settings.missing_groups == "file_name":
        names = names.map(lambda image: image.rpartition("/")[2])
    table.loc[without_file, "group"] = names.map(_group_of_name)
    return table, groups


def _group_of_name(name: str) -> str:
    return hashlib.sha256(b"name\0" + name.encode(errors="surrogateescape")).hexdigest()[:16]


def _summary(
    table: pd.DataFrame, rejections: pd.DataFrame, conflicts: pd.DataFrame, groups: Groups, unchanged: int
) -> list[str]:
    lines = [
        f"{len(table)} images kept, {len(rejections)} rejected, {unchanged} unchanged since they were last decoded"
    ]
    lines += [f"  {reason:<16}{count:>6}" for reason, count in rejections["reason"].value_counts().items()]
    without_file = int((table["sha256"] == "").sum())
    if without_file:
        lines.append(f"  {without_file} of those kept have no file (clean.allow_missing)")
    with_file = _duplicates_line(table[table["sha256"] != ""])
    lines.append(f"{with_file}: {groups.near_pairs} near pairs, the others are equal byte for byte")
    if without_file:
        lines.append(_duplicates_line(table[table["sha256"] == ""]) + " by name alone, since they have no file")
    if groups.chains_cut:
        lines.append(f"{groups.chains_cut} chains of near pairs drifted too far and were cut")
    for attribute, rows in conflicts.groupby("attribute"):
        lines.append(f"{rows['group'].nunique()} groups disagree on {attribute}, see conflicts.csv")
    return lines


def _page_lines(pages: list[str]) -> list[str]:
    if not pages:
        return []
    shown = ", ".join(pages[:MOST_NAMES]) + (f" and {len(pages) - MOST_NAMES} more" if len(pages) > MOST_NAMES else "")
    return [f"{len(pages)} TIFFs have several pages; the largest that is no reduced copy was taken: {shown}"]


def _duplicates_line(table: pd.DataFrame) -> str:
    sizes = table["group"].value_counts()
    several = sizes[sizes > 1]
    return f"{len(several)} groups of duplicates hold {several.sum()} images"
