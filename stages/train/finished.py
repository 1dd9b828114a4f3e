"""The heads that an interrupted `--target all` has finished: the resumed run keeps them in place of training again.

In: everything that decides a head's files, and their record. Out: a note per target, by its checkpoint; its summary
again, if the files are still those. The notes are removed when all heads are trained: a repeated run trains every head.
"""

import contextlib
import json
from pathlib import Path
from typing import Any

from cache.atomic import TEMPORARY_SUFFIX, write_text
from stages.core.errors import StageError
from stages.core.records import producers
from stages.core.records.contents import digest_bytes_of
from stages.core.records.record import read_record

FILE_NAME = "finished.json"


class FinishedNote:
    """The note of one target's head.

    Parameters
    ----------
    folder
        The training's work folder: `.training/TARGET`.
    target
        The label column.
    identity
        Everything that decides the head's bytes, as plain JSON values.
    """

    def __init__(self, folder: Path, target: str, identity: dict[str, Any]) -> None:
        self.path, self._target = folder / FILE_NAME, target
        self._identity = json.loads(json.dumps(identity))

    def write(self, head: Path, summary: str) -> None:
        """Note the finished head in the folder `head`, and what was reported of it."""
        record = digest_bytes_of(producers.TRAIN.record_in(head)).digest
        write_text(self.path, json.dumps({"identity": self._identity, "record": record, "summary": summary}))

    def read(self, head: Path) -> str:
        """Return the summary of a head that is finished and unchanged; empty if it must be trained."""
        try:
            note = json.loads(self.path.read_text(encoding="utf-8"))
            noted = {"identity": self._identity, "record": digest_bytes_of(producers.TRAIN.record_in(head)).digest}
            same = noted == {name: note[name] for name in noted} and self._is_unchanged(head)
            return str(note["summary"]) if same else ""
        except (OSError, ValueError, KeyError, TypeError, RecursionError, StageError):
            return ""

    def _is_unchanged(self, head: Path) -> bool:
        """Whether every file of the head is as its record says."""
        command = producers.TRAIN.command_for(self._target)
        record = read_record(producers.TRAIN.record_in(head), producers.TRAIN.stage, command)
        return record is not None and all(digest_bytes_of(head / name) == c for name, c in record.outputs.items())

    def remove(self) -> None:
        """Remove the note, any half-written one, and the folder if nothing else is in it."""
        self.path.unlink(missing_ok=True)
        for left in self.path.parent.glob(f".{FILE_NAME}.*{TEMPORARY_SUFFIX}"):
            left.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # TensorBoard's files may be there, or there was no folder
            self.path.parent.rmdir()
