"""What is wrong with a label source, row by row: collected, counted, logged in part and written in full.

In: one problem after another. Out: `data/ingest_problems.csv` and a few lines of log. Whoever finds a problem decides
what becomes of the row.
"""

import logging
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from stages.core.tables.columns import INGEST_PROBLEMS
from stages.core.tables.csv_files import write_table

LOGGED_PER_KIND = 3

log = logging.getLogger(__name__)


class Problem(NamedTuple):
    """One problem.

    Attributes
    ----------
    file
        Where it stands.
    row
        From 1, the header included; 0 for the file as a whole.
    problem
        What is wrong: one of a few texts, so that problems can be counted.
    detail
        The image, label or text that it concerns.
    """

    file: str
    row: int
    problem: str
    detail: str


class Problems(list[Problem]):
    """All problems of one run, in the order in which they were found."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def add(self, file: Path | str, row: int, problem: str, detail: object = "") -> None:
        """Note a problem, and log it if it is among the first of its kind."""
        self.append(Problem(str(file), int(row), problem, one_line(str(detail))))
        self.counts[problem] += 1
        if self.counts[problem] <= LOGGED_PER_KIND:
            log.warning("%s, row %d: %s: %s", file, row, problem, self[-1].detail[:200])

    def write(self, path: Path) -> None:
        """Write the table."""
        write_table(pd.DataFrame(self, columns=INGEST_PROBLEMS.names), path)


def one_line(text: str) -> str:
    """Make a text print on one line: control characters and lone surrogates by their numbers, long texts cut.

    >>> print(one_line("a" + chr(10) + "b"))
    a\\x0ab
    """
    safe = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text[:300])
    return safe if len(text) <= 300 else f"{safe}… ({len(text)} characters)"
