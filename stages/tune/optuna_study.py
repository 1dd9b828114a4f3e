"""The study of a search: Optuna's, in a SQLite file that survives a kill.

In: the space and everything that decides the scores. Out: trials to run, which depend on the seed and on the finished
trials, and on no clock. Running a trial is left to `trial`.
"""

import contextlib
import hashlib
import json
import secrets
import sqlite3
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from cache import LockedError, hold_lock
from cache.atomic import make_folder
from stages.core.errors import StageError, naming
from stages.tune.damage import drop_damaged_trials, is_about_the_disk, is_intact, set_aside, set_aside_if_unreadable
from stages.tune.settings import Choices, Range, TuneSettings

FILE_NAME = "trials.sqlite"
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
# Trials that must be complete before one is pruned for being worse than their median (Optuna's own default).
PRUNING_STARTUP_TRIALS = 5
SQLITE_TIMEOUT_S = 60


def name_study(target: str, identity: dict[str, Any]) -> str:
    """Name a study by everything that decides its scores, so that trials of other data or settings are not used."""
    return f"{target}-{hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]}"


@contextlib.contextmanager
def lock_search(folder: Path) -> Iterator[None]:
    """Hold the lock of a target's search: two at once would take each other's trials for those of a killed search."""
    make_folder(folder)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(hold_lock(folder / ".lock", "`pipeline tune`"))
        except LockedError as error:
            raise StageError(f"another `pipeline tune` of this target is running: {error}") from None
        yield


def open_study(
    folder: Path,
    name: str,
    settings: TuneSettings,
    *,
    slot: int = 0,
    fixed: dict[str, Any] | None = None,
    parallel: bool = False,
) -> optuna.Study:
    """Open or start a study; `slot` is the trial's place in the search, which decides its random numbers.

    `fixed` are values that the sampler suggests whatever it has learned. Each trial has a new sampler: it suggests
    a function of the finished trials, the seed and the slot, so that a killed search resumes to the same trials.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = int(np.random.SeedSequence([settings.random_state, slot]).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler: optuna.samplers.BaseSampler = optuna.samplers.TPESampler(
            seed=seed, n_startup_trials=settings.startup_trials, constant_liar=parallel
        )
        if fixed:
            sampler = optuna.samplers.PartialFixedSampler(fixed, sampler)
    pruner = optuna.pruners.MedianPruner(PRUNING_STARTUP_TRIALS, n_warmup_steps=settings.pruning_warmup_epochs)
    storage = optuna.storages.RDBStorage("sqlite://", engine_kwargs={"creator": partial(_connect, folder / FILE_NAME)})
    return optuna.create_study(
        storage=storage, study_name=name, direction="maximize", sampler=sampler, pruner=pruner, load_if_exists=True
    )


def open_checked_study(folder: Path, name: str, settings: TuneSettings) -> optuna.Study:
    """Open or start a study whose finished trials are all as they were written. The search's lock must be held.

    Raises
    ------
    StageError
        If the disk or another process keeps the file from being read or written.
    """
    path = folder / FILE_NAME
    set_aside_if_unreadable(path)
    with naming(path):
        for attempt in (1, 2):  # a disk may fail once
            try:
                study = open_study(folder, name, settings)
                return open_study(folder, name, settings) if drop_damaged_trials(study) else study
            except Exception as error:  # whatever a damaged table makes SQLAlchemy and Optuna raise
                if is_about_the_disk(error, folder) or isinstance(error, OSError | MemoryError):
                    raise
                if attempt == 2:
                    set_aside(path, " ".join(str(error).split())[:200])
        return open_study(folder, name, settings)


def _connect(path: Path) -> sqlite3.Connection:
    """Open the file so that a kill loses nothing and a power cut only the last scores."""
    connection = sqlite3.connect(path, timeout=SQLITE_TIMEOUT_S, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def begin_search(study: optuna.Study) -> str:
    """Take over a study from killed searches; return the token that the trials of this search must present.

    Trials that were running then are marked as failed and will be run again. A worker that outlived its search finds
    the token changed, and its trial is refused.
    """
    token = secrets.token_hex(8)
    study.set_user_attr("search", token)
    for trial in study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
        study.tell(trial.number, state=TrialState.FAIL)
    return token


def check_token(study: optuna.Study, token: str) -> None:
    """Refuse a trial whose search was killed and taken over by another."""
    if study.user_attrs.get("search") != token:
        raise StageError("this search was taken over by a later one")


def get_finished_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Get the trials that ran to their end or were pruned, and are as they were written."""
    trials = study.get_trials(deepcopy=False, states=FINISHED)
    return [trial for trial in trials if is_intact(study.study_name, trial)]


def make_distributions(space: dict[str, Range | Choices]) -> dict[str, BaseDistribution]:
    """Translate the space into Optuna's distributions."""
    found: dict[str, BaseDistribution] = {}
    for name, domain in space.items():
        if isinstance(domain, list):
            found[name] = CategoricalDistribution(domain)
        elif domain.whole:
            found[name] = IntDistribution(int(domain.low), int(domain.high), domain.log, int(domain.step or 1))
        else:
            found[name] = FloatDistribution(float(domain.low), float(domain.high), domain.log, domain.step)
    return found


def contains(space: dict[str, Range | Choices], values: dict[str, Any]) -> bool:
    """Whether the space contains this point."""
    for name, distribution in make_distributions(space).items():
        if isinstance(distribution, CategoricalDistribution):
            if values[name] not in distribution.choices:
                return False
        elif not distribution._contains(distribution.to_internal_repr(values[name])):
            return False
    return True


def round_values(values: dict[str, Any], space: dict[str, Range | Choices]) -> dict[str, Any]:
    """Round numbers to three significant digits within their range; a trial is run with the rounded ones.

    Examples
    --------
    >>> round_values({"train.lr": 0.0123456}, {"train.lr": Range(low=0.001, high=0.1)})
    {'train.lr': 0.0123}
    """
    return {name: _round_within(value, space[name]) for name, value in values.items()}


def _round_within(value: Any, domain: Range | Choices) -> Any:
    if isinstance(value, float) and isinstance(domain, Range):
        return min(max(float(f"{value:.3g}"), domain.low), domain.high)
    return value
