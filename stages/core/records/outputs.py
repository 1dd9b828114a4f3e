"""Write all files of a stage, or none: they are staged, then put in place together, and the record comes last.

In: the stage, its folder, its settings and the digests of its inputs. Out: a place to write each file to. A run that
is killed leaves the old files, or new ones that the old record does not list: those are refused until the stage has run
again. The lock keeps a second writer out. What is written is left to the stage.
"""

import contextlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cache.atomic import flush_to_disk, make_folder
from cache.errors import BLOCK_BYTES, as_cache_error
from cache.lock import hold_lock
from stages.core.errors import StageError, explain_failure, is_about_room
from stages.core.records.artefacts import Artefact
from stages.core.records.contents import Content, digest_bytes_of
from stages.core.records.producers import Producer
from stages.core.records.record import Record, read_record, write_record

STAGING = ".{stage}.partial"


class Outputs:
    """The files of one run, until they are put in place.

    Parameters
    ----------
    home
        The folder of the stage.
    staging
        A folder in it, for the files of this run.
    inputs
        Digests of the files of other stages that were read; a stage may add to them.
    """

    def __init__(self, home: Path, staging: Path, inputs: dict[str, str]) -> None:
        self.home = home
        self.staging = staging
        self.inputs = inputs

    def path(self, destination: Path) -> Path:
        """Where to write a file or folder that will be `destination`, which lies under the folder of the stage."""
        staged = self.staging / destination.relative_to(self.home)
        staged.parent.mkdir(parents=True, exist_ok=True)
        return staged

    def names(self) -> list[str]:
        """The files written so far, relative to the folder of the stage, POSIX."""
        files = (path for path in self.staging.rglob("*") if path.is_file())
        return sorted(path.relative_to(self.staging).as_posix() for path in files)


@contextlib.contextmanager
def write_outputs(
    producer: Producer,
    home: Path,
    *,
    settings: Mapping[str, Any],
    inputs: Mapping[str, str],
    target: str = "",
    artefacts: Iterable[Artefact] = (),
) -> Iterator[Outputs]:
    """Put the files that the block writes in place when it ends without an error, and record them.

    Parameters
    ----------
    producer
        The stage.
    home
        Its folder. It is created if it does not exist.
    settings
        Its settings, as plain JSON values.
    inputs
        What `bind_inputs` returned for the files that it reads.
    target
        The label column, where there is a folder per target.
    artefacts
        Files with a digest of another kind than that of their bytes.

    Yields
    ------
    Outputs
        Where to write.

    Raises
    ------
    cache.CacheError
        If another process runs the same stage in the same folder: it is named.
    StageError
        If the disk is full: the room is named that the files of the last run take, or those written so far.
    """
    with as_cache_error(home):
        make_folder(home)
    staging = home / STAGING.format(stage=producer.stage)
    with hold_lock(home / f".{producer.stage}.lock", f"`{producer.command_for(target)}`"):
        shutil.rmtree(staging, ignore_errors=True)  # of a killed run
        with as_cache_error(staging):
            staging.mkdir()
        try:
            outputs = Outputs(home, staging, dict(inputs))
            yield outputs
            with as_cache_error(home):
                record = _describe(outputs, producer, settings, target, artefacts)
                _commit(outputs, producer, record)
        except Exception as error:
            needed_bytes = _room_of(outputs, _recorded(producer, home, producer.command_for(target)))
            shutil.rmtree(staging, ignore_errors=True)  # before the free room is looked at
            if is_about_room(error) and (message := explain_failure(error, home, needed_bytes)):
                raise StageError(message) from error
            raise
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _room_of(outputs: Outputs, recorded: Iterable[str]) -> int:
    """How many bytes a run takes: as many as the last one did, and more than it has written so far."""
    written_bytes = sum(_size_of(outputs.staging / name) for name in outputs.names())
    return BLOCK_BYTES + max(written_bytes, sum(_size_of(outputs.home / name) for name in recorded))


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _describe(
    outputs: Outputs,
    producer: Producer,
    settings: Mapping[str, Any],
    target: str,
    artefacts: Iterable[Artefact],
) -> Record:
    contents = _digest_all(outputs.staging, outputs.names(), artefacts)
    return Record(producer.stage, producer.command_for(target), dict(settings), outputs.inputs, contents)


def _digest_all(folder: Path, names: Iterable[str], artefacts: Iterable[Artefact]) -> dict[str, Content]:
    digests = {artefact.name: artefact.digest_of for artefact in artefacts}
    return {name: digests.get(name, digest_bytes_of)(folder / name) for name in names}


def _commit(outputs: Outputs, producer: Producer, record: Record) -> None:
    """Flush the files, rename them, flush their folders; only then write the record, in the same order."""
    for name in record.outputs:
        flush_to_disk(outputs.staging / name)
    stale = _recorded(producer, outputs.home, record.command) - set(record.outputs)
    for name in record.outputs:
        destination = outputs.home / name
        make_folder(destination.parent)
        (outputs.staging / name).replace(destination)
    for name in stale:
        (outputs.home / name).unlink(missing_ok=True)
    for folder in {(outputs.home / name).parent for name in {*record.outputs, *stale}}:
        flush_to_disk(folder)
    write_record(record, producer.record_in(outputs.home))


def _recorded(producer: Producer, home: Path, command: str) -> set[str]:
    """Names of the files that the last run wrote, as far as its record can be read."""
    try:
        record = read_record(producer.record_in(home), producer.stage, command)
    except StageError:
        return set()
    names = record.outputs if record else {}
    return {name for name in names if ".." not in Path(name).parts and (home / name).is_file()}


def adopt(path: Path, artefact: Artefact, target: str = "") -> None:
    """Record a file that another program wrote, so that later stages take it.

    The other files in the record of the same stage stay in it. It names no inputs and no settings any more.

    Parameters
    ----------
    path
        The file, where its stage would have written it.
    artefact
        Which file it is.
    target
        The label column, where there is a file per target.
    """
    home, producer = artefact.home_of(path), artefact.producer
    command, place = producer.command_for(target), producer.record_in(home)
    try:
        record = read_record(place, producer.stage, command)
    except StageError:
        record = None
    outputs = dict(record.outputs) if record else {}
    outputs[path.relative_to(home).as_posix()] = artefact.digest_of(path)
    write_record(Record(producer.stage, command, {}, {}, outputs), place)
