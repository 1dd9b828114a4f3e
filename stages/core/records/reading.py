"""Read the files of other stages, verified: each is what its stage wrote, and each was made from the others.

In: paths, and which artefact each is. Out: bytes that match the record, or a `StageError` that names the file and the
command to run. What the bytes mean is left to the caller.
"""

import csv
import hashlib
import json
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stages.core.errors import StageError
from stages.core.records.artefacts import Artefact
from stages.core.records.contents import Content, digest_columns_of
from stages.core.records.record import Record, read_record


@dataclass(frozen=True)
class Input:
    """A file that a stage reads.

    Attributes
    ----------
    path
        Where it lies.
    artefact
        Which file of which stage it is.
    target
        The label column, where there is a file per target.
    columns
        The columns of a table that the stage uses; none stands for all. A change in another column is no change.
    """

    path: Path
    artefact: Artefact
    target: str = ""
    columns: tuple[str, ...] = ()

    @property
    def file_name(self) -> str:
        """The file's path in a project."""
        return self.artefact.path_for(self.target)

    @property
    def name(self) -> str:
        """By which the records of later stages name it.

        >>> from stages.core.records.artefacts import METRICS
        >>> Input(Path("reports/style/metrics.json"), METRICS, "style").name
        'reports/style/metrics.json'
        """
        return f"{self.file_name}[{','.join(self.columns)}]" if self.columns else self.file_name

    @property
    def home(self) -> Path:
        """The folder of the stage that writes it."""
        return self.artefact.home_of(self.path)

    @property
    def recorded_name(self) -> str:
        """By which the record of its own stage names it."""
        return self.path.relative_to(self.home).as_posix()

    @property
    def record_path(self) -> Path:
        """Where the record of the stage that writes it lies."""
        return self.artefact.producer.record_in(self.home)

    @property
    def command(self) -> str:
        """What writes it."""
        return self.artefact.command_for(self.target)


def read_verified(path: Path, artefact: Artefact, target: str = "") -> bytes:
    """Read a file of another stage in full.

    Raises
    ------
    StageError
        If it is missing, or is not the file that the stage's record lists.
    """
    source = Input(path, artefact, target)
    if artefact.may_lack_record and path.is_file():
        record = _find_record(source)
        if record is None or source.recorded_name not in record.outputs:
            return path.read_bytes()
    expected = _expect(source, _require_record(source))
    _check_size(source, expected)
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != expected.digest:
        raise _changed(source, "its bytes differ")
    return content


def read_json(path: Path, artefact: Artefact, target: str = "") -> dict[str, Any]:
    """Read a JSON object of another stage, verified.

    Raises
    ------
    StageError
        As `read_verified` does, and if it is no JSON object.
    """
    try:
        content = json.loads(read_verified(path, artefact, target))
        if not isinstance(content, dict):
            raise ValueError("no object")
        return content
    except (ValueError, RecursionError) as error:
        command = artefact.command_for(target)
        raise StageError(f"{path} is not readable JSON ({error}): run `{command}` again") from None


def bind_inputs(inputs: Sequence[Input], *, through: Sequence[Input] = ()) -> dict[str, str]:
    """Verify every file that a stage reads, and that none was made from an older version of another.

    Parameters
    ----------
    inputs
        The files.
    through
        Files that the stage does not read, between two of `inputs` in the chain: only their records are read.

    Returns
    -------
    dict
        Digest of each file's content by its path in a project: the `inputs` of the stage's own record.

    Raises
    ------
    StageError
        Naming the file and the command that writes it again.
    """
    digests = digest_inputs(inputs)
    check_links(inputs, digests, through=through)
    return {source.name: digests[source.name] for source in inputs}


def digest_inputs(inputs: Sequence[Input]) -> dict[str, str]:
    """Verify every file by itself; return the digests by `Input.file_name` and `Input.name`.

    Raises
    ------
    StageError
        Naming the file and the command that writes it again.
    """
    digests = {source.file_name: _verify(source, _require_record(source)) for source in inputs}
    paths = {source.file_name: source.path for source in inputs}
    return digests | {source.name: _digest_now(source.name, digests, paths) or "" for source in inputs}


def check_links(inputs: Sequence[Input], digests: Mapping[str, str], *, through: Sequence[Input] = ()) -> None:
    """Verify that no file was made from another version of one of the others; arguments as for `bind_inputs`.

    Raises
    ------
    StageError
        Naming the file and the command that writes it again.
    """
    records = {source.file_name: _require_record(source) for source in (*inputs, *through)}
    present = dict(digests) | {s.file_name: _expect(s, records[s.file_name]).digest for s in through}
    paths = {source.file_name: source.path for source in inputs}
    for source in (*inputs, *through):
        for name, digest in records[source.file_name].inputs.items():
            if _digest_now(name, present, paths) not in (None, digest):
                file, _, columns = name.rstrip("]").partition("[")
                which = f" (columns {columns})" if columns else ""
                raise StageError(
                    f"{source.path} was made from another {file}{which} than the present one: "
                    f"run `{source.command}` again"
                )


def _digest_now(name: str, present: dict[str, str], paths: Mapping[str, Path]) -> str | None:
    """Digest what `Input.name` stands for, as it is now; None if it is not among the inputs."""
    file, _, columns = name.rstrip("]").partition("[")
    if columns and name not in present and file in paths:
        try:
            present[name] = digest_columns_of(paths[file], columns.split(","))
        except (KeyError, UnicodeDecodeError, csv.Error):
            present[name] = ""  # without the column, or no table at all: its reader names the row
    return present.get(name)


def verify(path: Path, artefact: Artefact, target: str = "") -> str:
    """Compare a file of another stage with the stage's record, and return its digest.

    Raises
    ------
    StageError
        If it is missing or differs.
    """
    source = Input(path, artefact, target)
    return _verify(source, _require_record(source))


def verify_record(source: Input) -> Record:
    """Compare a file of another stage with the stage's record, and return the record.

    Raises
    ------
    StageError
        If it is missing or differs.
    """
    record = _require_record(source)
    _verify(source, record)
    return record


def _verify(source: Input, record: Record) -> str:
    expected = _expect(source, record)
    _check_size(source, expected)
    if source.artefact.digest_of(source.path) != expected:
        raise _changed(source, "its bytes differ")
    return expected.digest


def _find_record(source: Input) -> Record | None:
    return read_record(source.record_path, source.artefact.producer.stage, source.command)


def _require_record(source: Input) -> Record:
    if (record := _find_record(source)) is not None:
        return record
    if not source.path.exists():
        raise StageError(f"{source.path} does not exist: run `{source.command}` first")
    raise StageError(
        f"{source.path} has no record of the run that wrote it ({source.record_path} is missing): "
        f"run `{source.command}` again"
    )


def _expect(source: Input, record: Record) -> Content:
    expected = record.outputs.get(source.recorded_name)
    if expected is None:
        raise _changed(source, "its record does not list it")
    return expected


def _check_size(source: Input, expected: Content) -> None:
    """Compare the sizes, so that no file of another size, and nothing but a file, is read."""
    try:
        found = source.path.stat()
    except FileNotFoundError:
        raise StageError(f"{source.path} does not exist: run `{source.command}` first") from None
    if not stat.S_ISREG(found.st_mode):
        raise _changed(source, "it is no file")
    if found.st_size != expected.bytes:
        raise _changed(source, f"it has {found.st_size:,} bytes instead of {expected.bytes:,}")


def _changed(source: Input, how: str) -> StageError:
    return StageError(f"{source.path} is not what `{source.command}` wrote ({how}): run it again")
