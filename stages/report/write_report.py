"""The report stage: a front page, the data's page, a map, and one page per target, each a file that needs no network.

In: the files of all other stages. Out: `reports/index.html`, `reports/data.html`, `reports/map.html`,
`reports/pages/TARGET.html`, and `reports/selfcheck.csv`. Equal inputs give equal bytes: no page holds a date.
"""

from collections.abc import Sequence
from pathlib import Path

from stages.core.images.files import ImageFolder
from stages.report.data_page import write_data_page
from stages.report.index_page import write_index
from stages.report.map_page import write_map
from stages.report.settings import ReportSettings
from stages.report.target_page import write_page

__all__ = ["write_data_page", "write_index", "write_map", "write_page", "write_report"]


def write_report(
    *,
    settings: ReportSettings,
    targets: Sequence[str],
    images: ImageFolder,
    manifest: Path,
    rejected: Path,
    splits: Path,
    backbone: Path,
    features: Path,
    heads: Path,
    results: Path,
    conflicts: Path,
    ingest_problems: Path,
    split_report: Path,
    coordinates: Path,
    destination: Path,
    answer_key: Path | None,
    n_jobs: int = -1,
) -> Path:
    """Write all pages.

    Parameters
    ----------
    settings
        How many pictures, and how large.
    targets
        The label columns that have a head.
    images
        The image root.
    manifest, rejected, splits
        The tables of ingest, clean and split.
    backbone
        The backbone's card, `backbone.json`.
    features
        The published cache, for its `fingerprint.json`.
    heads
        Folder of the trained heads.
    results
        Folder with what evaluate and find-outliers wrote per target.
    conflicts, ingest_problems, split_report
        What else clean, ingest and split found; the data's page does without those that are missing.
    coordinates
        Each image's place on the map, written by `write_coordinates`.
    destination
        Folder of the pages.
    answer_key
        The list of planted faults, or None for a collection that has none.
    n_jobs
        Threads that make thumbnails; -1 is one per core.

    Returns
    -------
    Path
        The index.

    Raises
    ------
    StageError
        If a file of another stage is missing; the message names the command that writes it.
    """
    shared = {"settings": settings, "images": images, "destination": destination, "n_jobs": n_jobs}
    cards = {"backbone": backbone, "features": features}
    listed = {"targets": list(targets), "manifest": manifest, "rejected": rejected, "splits": splits}
    for target in targets:
        write_page(target=target, heads=heads, results=results, **cards, **shared)
    write_data_page(
        conflicts=conflicts, ingest_problems=ingest_problems, split_report=split_report, **listed, **cards, **shared
    )
    write_map(targets=list(targets), splits=splits, coordinates=coordinates, results=results, **shared)
    return write_index(results=results, answer_key=answer_key, **listed, **cards, **shared)
