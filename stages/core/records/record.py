"""The record of a stage's run: digests of what it wrote and of what that was made from, and the settings.

In: a stage's folder. Out: a `Record`, refused if it is missing, damaged or of another format. It holds no time and no
path of a machine, so equal inputs and settings give equal bytes. Which files are checked is left to `reading`.

    format_version  of this layout
    stage, command  the stage, and what a person runs
    settings        the stage's settings, as in params.yaml
    inputs          file → digest of its content, for every file of another stage that was read
    outputs         file → bytes and digest, relative to the folder of the stage
    digest          SHA-256 of all of the above as canonical JSON
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cache.atomic import write_text
from stages.core.errors import StageError
from stages.core.records.contents import Content

FORMAT_VERSION = 1
# A record lists a few dozen files: more bytes than these are no record.
MOST_BYTES = 16 * 2**20
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Record:
    """What one run of a stage wrote, and from what.

    Attributes
    ----------
    stage, command
        The stage, and the command that ran it.
    settings
        Its settings, as plain JSON values.
    inputs
        Digest of every file that was read, by its path in a project.
    outputs
        Content of every file that was written, by its path in the folder of the stage, POSIX.
    """

    stage: str
    command: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    outputs: Mapping[str, Content]

    def as_json(self) -> dict[str, Any]:
        """The plain values, as they are in the file."""
        values = {"format_version": FORMAT_VERSION} | asdict(self)
        values["outputs"] = {name: content._asdict() for name, content in self.outputs.items()}
        return values | {"digest": _digest_values(values)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Record":
        """Read what `as_json` gave.

        Raises
        ------
        ValueError, KeyError, TypeError
            If it is something else, or has been changed.
        """
        if values["format_version"] != FORMAT_VERSION:
            raise ValueError(f"format version {values['format_version']!r}, this program reads {FORMAT_VERSION}")
        if values["digest"] != _digest_values({key: value for key, value in values.items() if key != "digest"}):
            raise ValueError("it does not match its own digest")
        return cls(
            stage=values["stage"],
            command=values["command"],
            settings=values["settings"],
            inputs=values["inputs"],
            outputs={name: _content(found) for name, found in values["outputs"].items()},
        )


def _content(values: Mapping[str, Any]) -> Content:
    content = Content(int(values["bytes"]), str(values["digest"]))
    if not _DIGEST.fullmatch(content.digest):
        raise ValueError(f"{content.digest!r} is no digest")
    return content


def _digest_values(values: Mapping[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def read_record(path: Path, stage: str, command: str) -> Record | None:
    """Read the record of a stage; None if it has none.

    Raises
    ------
    StageError
        If it is unreadable, has been changed, has another format, or is of another stage or command.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"it is larger than {MOST_BYTES} bytes")
        record = Record.from_json(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StageError(f"{path} is no readable record ({_short(error)}): run `{command}` again") from None
    if (record.stage, record.command) != (stage, command):
        raise StageError(f"{path} is the record of `{record.command}`: run `{command}` again")
    return record


def _short(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def write_record(record: Record, path: Path) -> None:
    """Write a record, atomically."""
    write_text(path, json.dumps(record.as_json(), indent=2, ensure_ascii=False) + "\n")
