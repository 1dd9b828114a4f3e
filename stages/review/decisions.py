"""Keep decisions in `data/review.csv`; each is on disk before it is acknowledged.

In: decisions, from any number of servers. Out: the file, one row per image and target, in the order in which they were
made. Applying decisions is left to ingest.
"""

import contextlib
import csv
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from cache.atomic import atomic_path
from cache.lock import hold_lock
from stages.core.errors import StageError
from stages.core.tables.decisions import COLUMNS, VERDICTS, Decision, read_decisions
from stages.core.tables.problems import Problems

LOCK_TIMEOUT_S = 20.0


class DecisionFile:
    """The decisions on one label column, in the file that all columns share.

    Every call reads the file again, and every change is made under a lock: servers see each other's decisions.

    Parameters
    ----------
    path
        The file; it need not exist.
    target
        The label column that decisions are about.

    Raises
    ------
    StageError
        If the file exists and rows cannot be added without changing it: not UTF-8, no CSV, or other columns.
    """

    def __init__(self, path: Path, target: str) -> None:
        self.path, self.target = path, target
        # Between threads of this process: they queue here instead of trying for the file's lock again and again.
        self._queue = threading.Lock()
        self._read()

    def decisions(self) -> dict[str, Decision]:
        """Read decisions by image: those on this target, and `image_bad` on any, which drops the image for all."""
        found = {}
        for decision in self._read():
            if self._concerns(decision):
                found[decision.image] = decision
        return found

    def record(self, *, image: str, sha256: str, decision: str, label: str = "") -> Decision:
        """Write one decision, replacing an earlier one on the same image; it is on disk when this returns."""
        when = datetime.now(UTC).isoformat(timespec="seconds")
        made = Decision(image, sha256, self.target, decision, label, when)
        with self._locked():
            kept = [row for row in self._read() if (row.image, row.target) != (image, self.target)]
            self._write([*kept, made])
        return made

    def undo(self, image: str) -> None:
        """Remove the decisions on an image, also `image_bad` under another target."""
        with self._locked():
            rows = self._read()
            kept = [row for row in rows if row.image != image or not self._concerns(row)]
            if len(kept) < len(rows):
                self._write(kept)

    def _concerns(self, decision: Decision) -> bool:
        return (decision.target == self.target and decision.decision in VERDICTS) or decision.decision == "image_bad"

    def _read(self) -> list[Decision]:
        problems = Problems()
        decisions = [decision for _, decision in read_decisions(self.path, problems)]
        if problems:
            first = problems[0]
            raise StageError(
                f"{self.path}, row {first.row}: {first.problem} ({first.detail}): fix or remove it; "
                f"the header must be {','.join(COLUMNS)}"
            )
        return decisions

    def _write(self, decisions: list[Decision]) -> None:
        with atomic_path(self.path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(decision.cells for decision in decisions)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = self.path.with_name(f".{self.path.name}.lock")
        with self._queue, hold_lock(lock, "review", wait_s=LOCK_TIMEOUT_S):
            yield
