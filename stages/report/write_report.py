"""The report stage: an index, the data's page, a map, and one page per target, each a file that needs no network.

In: the files of all other stages. Out: `reports/index.html`, `reports/data.html`, `reports/map.html`,
`reports/pages/TARGET.html`, and `reports/selfcheck.csv`. Equal inputs give equal bytes: no page holds a date.
"""

from collections.abc import Sequence
from pathlib import Path

from stages.report.data_page import write_data_page
from stages.report.index_page import write_index
from stages.report.inputs import ReportInputs
from stages.report.map_page import write_map
from stages.report.settings import ReportSettings
from stages.report.target_page import write_target_page


def write_report(
    *, settings: ReportSettings, inputs: ReportInputs, targets: Sequence[str], destination: Path, n_jobs: int = -1
) -> Path:
    """Write all pages.

    Parameters
    ----------
    settings
        How many pictures the pages hold, and how large.
    inputs
        Paths of the files of the other stages.
    targets
        The label columns with a head.
    destination
        Folder of the pages.
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
    for target in targets:
        write_target_page(settings=settings, inputs=inputs, target=target, destination=destination, n_jobs=n_jobs)
    write_data_page(settings=settings, inputs=inputs, targets=targets, destination=destination, n_jobs=n_jobs)
    write_map(settings=settings, inputs=inputs, targets=targets, destination=destination, n_jobs=n_jobs)
    return write_index(settings=settings, inputs=inputs, targets=targets, destination=destination, n_jobs=n_jobs)
