"""A person's decisions about suspects, as `data/review.csv` holds them.

In: the file. Out: one `Decision` per row. Applying them is left to ingest, writing them to review.
"""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from stages.core.tables.columns import REVIEW
from stages.core.tables.labels import normalise
from stages.core.tables.problems import Problems
from stages.core.tables.spreadsheet import escape_formula, unescape_formula
from stages.core.tables.text_files import read_text

Verdict = Literal["label_wrong", "image_bad", "fine"]
VERDICTS = get_args(Verdict)
COLUMNS = REVIEW.names
DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Decision:
    """What a person decided about one image as an example of one label column.

    Attributes
    ----------
    image
        Path relative to the image root, as in the manifest.
    sha256
        Digest of the file that the person saw.
    target
        The label column.
    decision
        One of `VERDICTS`.
    label
        With label_wrong: the right label, or empty where the image has none.
    when
        UTC, ISO 8601; for people only.
    """

    image: str
    sha256: str
    target: str
    decision: str
    label: str = ""
    when: str = ""

    @property
    def cells(self) -> list[str]:
        """The row as it is written, in the order of `COLUMNS`, without what a spreadsheet would run."""
        return [escape_formula(getattr(self, column)) for column in COLUMNS]


def read_decisions(path: Path, problems: Problems) -> list[tuple[int, Decision]]:
    """Read every decision with its row (from 1, the header included); rows of another shape are noted."""
    if not path.exists():
        return []
    try:
        rows = list(csv.reader(io.StringIO(read_text(path, problems), newline="")))
    except csv.Error as error:
        problems.add(path, 0, "file is not a CSV table: no decision is applied", error)
        return []
    header = rows[0] if rows else []
    if missing := [column for column in COLUMNS if header.count(column) != 1]:
        problems.add(path, 1, "columns are missing or named twice: no decision is applied", ", ".join(missing))
        return []
    for column in header:
        if column not in COLUMNS:
            problems.add(path, 1, "unknown column", column)
    found = []
    for number, row in enumerate(rows[1:], start=2):
        if len(row) == len(header):
            cells = {column: unescape_formula(cell) for column, cell in zip(header, row, strict=True)}
            found.append((number, _decision(cells)))
        elif any(row):
            problems.add(path, number, "row has another number of cells than the header", ", ".join(row))
    return found


def _decision(cells: dict[str, str]) -> Decision:
    """Make a decision of a row's cells; the image keeps its exact name."""
    texts = {column: normalise(text) for column, text in cells.items() if column in COLUMNS}
    return Decision(**texts | {"image": cells["image"]})
