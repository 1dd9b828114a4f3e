"""Damage to the file of a search: a flipped bit must not change a result, nor a score that later trials learn from.

In: the study's file, and trials as they end. Out: a digest per trial. Damaged trials are dropped, a file that SQLite
cannot read is set aside, and both are logged. Running the missing trials again is left to `tune_head`.
"""

import contextlib
import hashlib
import itertools
import json
import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from stages.core.errors import naming

DIGEST = "sha256"
# SQLite's own files next to a database.
COMPANIONS = ("-wal", "-shm", "-journal")
# SQLite's messages that may be about a disk or its permissions, and may come from a damaged header.
PERHAPS_THE_DISK = ("disk", "readonly", "unable to open")
PROBE_BYTES = 2**16

log = logging.getLogger(__name__)


def digest_trial(
    study: str,
    state: TrialState,
    value: float | None,
    *,
    params: Mapping[str, Any],
    distributions: Mapping[str, BaseDistribution],
    scores: Mapping[int, float],
    found: Mapping[str, Any],
) -> str:
    """SHA-256 over everything of a finished trial that a result or a later trial depends on.

    Parameters
    ----------
    study
        The study's name: a trial of another study is not this one's.
    state, value
        How it ended, and its score; a pruned one has none.
    params, distributions
        What the sampler suggested, and from which ranges.
    scores
        The value after each epoch.
    found
        The result that the trial recorded.
    """
    content = {
        "study": study,
        "state": state.name,
        "value": value if state == TrialState.COMPLETE else None,
        "params": dict(params),
        "distributions": {name: distribution_to_json(kind) for name, kind in distributions.items()},
        "scores": {str(epoch): score for epoch, score in scores.items()},
        "found": dict(found),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def is_intact(study: str, trial: FrozenTrial) -> bool:
    """Whether a finished trial is what was written: it has its digest."""
    try:
        expected = digest_trial(
            study,
            trial.state,
            trial.value,
            params=trial.params,
            distributions=trial.distributions,
            scores=trial.intermediate_values,
            found=trial.user_attrs["found"],
        )
    except (KeyError, TypeError, ValueError):
        return False
    return bool(trial.user_attrs.get(DIGEST) == expected)


def drop_damaged_trials(study: optuna.Study) -> bool:
    """Keep the finished trials before the first that is damaged.

    Later trials were suggested from its score: run again after it, they are what an undisturbed search has. Optuna
    removes no single trial, so the study is written again.

    Returns
    -------
    bool
        Whether any were dropped: the study must then be opened again.
    """
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    trials = sorted(trials, key=lambda trial: trial.number)
    kept = list(itertools.takewhile(lambda trial: is_intact(study.study_name, trial), trials))
    turned = study.direction != optuna.study.StudyDirection.MAXIMIZE
    if len(kept) == len(trials) and not turned:
        return False
    message = "a trial does not match its digest: %d of %d trials, it and those after it, are dropped and run again"
    log.warning(message, len(trials) - len(kept), len(trials))
    storage, name = study._storage, study.study_name
    optuna.delete_study(study_name=name, storage=storage)
    optuna.create_study(study_name=name, storage=storage, direction="maximize").add_trials(kept)
    return True


def set_aside_if_unreadable(path: Path) -> None:
    """Rename a file that is no whole SQLite database, so that a search begins with a new one.

    It is read twice before it is called damaged: a disk may fail once.

    Raises
    ------
    StageError
        If the disk or another process keeps it from being read.
    """
    if path.exists() and _find_damage(path) and (damage := _find_damage(path)):
        set_aside(path, damage)


def _find_damage(path: Path) -> str:
    """What SQLite says about a damaged database; empty for a whole one."""
    with naming(path):
        try:
            with contextlib.closing(sqlite3.connect(path)) as connection:
                (answer,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        except (sqlite3.DatabaseError, UnicodeError) as error:  # a message may quote damaged names
            if is_about_the_disk(error, path.parent):
                raise
            return " ".join(str(error).split())
    return "" if answer == "ok" else str(answer)


def set_aside(path: Path, reason: str) -> None:
    """Rename a damaged database, and SQLite's files next to it, to names that nothing reads."""
    kept = next(other for number in range(1, 10_000) if not (other := _numbered(path, number)).exists())
    with naming(path):
        os.replace(path, kept)
        for companion in COMPANIONS:
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{path}{companion}", f"{kept}{companion}")
    log.warning("%s is damaged (%s): it is set aside as %s, and its trials run again", path, reason, kept.name)


@contextlib.contextmanager
def naming_database(path: Path) -> Iterator[None]:
    """Turn a database's error in the block into a `StageError` about its file; other errors pass.

    Raises
    ------
    StageError
        If the disk or another process keeps the file from being written, or it is damaged.
    """
    try:
        yield
    except (sqlite3.Error, SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        with naming(path):
            raise error from error.__cause__


def is_about_the_disk(error: BaseException, folder: Path) -> bool:
    """Whether a database's error is about the disk or a lock, and not about what the file holds.

    SQLite answers a flipped bit in a header with `disk I/O error` too. If a new database can be written in the
    folder, the disk is not at fault.
    """
    operational = any(base.__name__ == "OperationalError" for base in type(error).__mro__)
    if operational and "locked" in str(error):
        return True
    return operational and any(word in str(error) for word in PERHAPS_THE_DISK) and not _can_write_database(folder)


def _can_write_database(folder: Path) -> bool:
    probe = folder / f".probe-{os.getpid()}.sqlite"
    try:
        with contextlib.closing(sqlite3.connect(probe)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("CREATE TABLE probe (content BLOB)")
            connection.execute("INSERT INTO probe VALUES (zeroblob(?))", (PROBE_BYTES,))
            connection.commit()
    except sqlite3.DatabaseError:
        return False
    finally:
        for name in (str(probe), *(f"{probe}{companion}" for companion in COMPANIONS)):
            with contextlib.suppress(OSError):
                os.unlink(name)
    return True


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.damaged-{number}")
