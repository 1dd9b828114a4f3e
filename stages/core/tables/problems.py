"""What is wrong with a source, row by row: collected, counted, shown in part and written in full.

In: one finding after another. Out: `data/ingest_problems.csv` and a few lines of log. What becomes of a bad row is
decided where it is found.
"""

import logging
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from stages.core.tables.csv_files import write_table

SHOWN_PER_KIND = 3
# A spreadsheet takes a cell that begins so for a formula, and may run it.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")

log = logging.getLogger(__name__)


class Problem(NamedTuple):
    """One finding: its file and row (from 1, the header included; 0: the file as a whole), what it is, and on what."""

    file: str
    row: int
    problem: str
    detail: str


class Problems(list[Problem]):
    """All findings of one run, in the order in which they were made."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def add(self, file: Path | str, row: int, problem: str, detail: object = "") -> None:
        """Note one, and log it if it is among the first of its kind."""
        self.append(Problem(str(file), int(row), problem, shown(str(detail))))
        self.counts[problem] += 1
        if self.counts[problem] <= SHOWN_PER_KIND:
            log.warning("%s, row %d: %s: %s", file, row, problem, self[-1].detail[:200])

    def write(self, path: Path) -> None:
        """Write the table, such that no cell is a formula."""
        table = pd.DataFrame(self, columns=list(Problem._fields))
        for column in ("file", "detail"):
            table[column] = [f"'{text}" if text.startswith(FORMULA_STARTS) else text for text in table[column]]
        write_table(table, path)


def shown(text: str) -> str:
    """A text that prints on one line: control characters and lone surrogates by their numbers, long ones cut."""
    safe = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text[:300])
    return safe if len(text) <= 300 else f"{safe}… ({len(text)} characters)"
