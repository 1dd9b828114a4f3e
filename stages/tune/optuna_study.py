"""The search's memory: Optuna's study in a SQLite file, which a kill cannot tear.

In: what is searched, and for what. Out: trials to run, in an order that depends on the seed and on what has finished,
and on no clock. How a trial is run is left to `run`.
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
from filelock import FileLock, Timeout
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from stages.core.errors import StageError
from stages.tune.settings import Choices, Range, TuneSettings

FILE_NAME = "trials.sqlite"
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
# Trials that must be complete before one is given up for being worse than their median (Optuna's own default).
PRUNING_STARTUP_TRIALS = 5
SQLITE_TIMEOUT_S = 60


def study_name(target: str, identity: dict[str, Any]) -> str:
    """Name a study by everything that decides its scores, so that trials of other data or settings are left alone."""
    return f"{target}-{hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]}"


@contextlib.contextmanager
def one_search(folder: Path) -> Iterator[None]:
    """Hold the lock of a target's search: two at once would take each other's trials for those of a killed one."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise StageError(f"{folder}: another `pipeline tune` of this target is at work: wait for it") from None
    with lock:
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

    `fixed` are values to suggest in any case.
    The sampler is made anew for each trial: what it suggests is a function of the finished trials, the seed and the
    slot, so that a search that was killed goes on as it would have gone on.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = int(np.random.SeedSequence([settings.random_state, slot]).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(
            seed=seed, n_startup_trials=settings.startup_trials, constant_liar=parallel
        )
        if fixed:
            sampler = optuna.samplers.PartialFixedSampler(fixed, sampler)
    pruner = optuna.pruners.MedianPruner(PRUNING_STARTUP_TRIALS, n_warmup_steps=settings.pruning_warmup_epochs)
    storage = optuna.storages.RDBStorage("sqlite://", engine_kwargs={"creator": partial(_connect, folder / FILE_NAME)})
    return optuna.create_study(
        storage=storage, study_name=name, direction="maximize", sampler=sampler, pruner=pruner, load_if_exists=True
    )


def _connect(path: Path) -> sqlite3.Connection:
    """Open the file so that a kill loses nothing and a power cut no more than the last scores."""
    connection = sqlite3.connect(path, timeout=SQLITE_TIMEOUT_S, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def begin_search(study: optuna.Study) -> str:
    """Take a study over from searches that were killed; the token that its own trials will have to show.

    What was at work then is marked as failed and will be run again. A worker that outlived its search finds the token
    changed: it has no trial to write any more.
    """
    token = secrets.token_hex(8)
    study.set_user_attr("search", token)
    for trial in study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
        study.tell(trial.number, state=TrialState.FAIL)
    return token


def check_token(study: optuna.Study, token: str) -> None:
    """Refuse to go on with a trial whose search was killed and taken over by another."""
    if study.user_attrs.get("search") != token:
        raise StageError("this search was taken over by a later one")


def finished_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that ran to their end or were pruned."""
    return study.get_trials(deepcopy=False, states=FINISHED)


def distributions(space: dict[str, Range | Choices]) -> dict[str, BaseDistribution]:
    """The space in Optuna's terms."""
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
    """Whether the space has this point."""
    for name, distribution in distributions(space).items():
        if isinstance(distribution, CategoricalDistribution):
            if values[name] not in distribution.choices:
                return False
        elif not distribution._contains(distribution.to_internal_repr(values[name])):
            return False
    return True


def rounded(values: dict[str, Any], space: dict[str, Range | Choices]) -> dict[str, Any]:
    """Numbers a person can read: three significant digits, within the range. They are what a trial is run with."""
    return {
        name: min(max(float(f"{value:.3g}"), space[name].low), space[name].high)
        if isinstance(value, float) and isinstance(space[name], Range)
        else value
        for name, value in values.items()
    }
