"""One trial: a head trained with suggested settings, its validation score reported after every epoch.

In: what all trials share, and a trial's place in the search. Out: its end is written to the study; a line comes back.
Runs in the process of the search or in a worker's.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from optuna import Study, Trial
from optuna.trial import TrialState

from stages.core.device import choose_device
from stages.core.features.placement import FeatureArray
from stages.core.head.fit import DivergedError, fit_head
from stages.core.head.settings import HeadSettings, TrainSettings
from stages.tune.optuna_study import check_token, contains, distributions, open_study, rounded
from stages.tune.settings import TuneSettings


class _PrunedError(Exception):
    """The trial is worse than half of the others were at its epoch."""


@dataclass(frozen=True)
class Job:
    """What every trial of a search shares.

    Attributes
    ----------
    features, labels, train, val, classes
        As `fit_head` takes them.
    head_settings, train_settings
        What is not searched, and where the search begins.
    settings, folder, study, token
        The search, where its file lies, under which name, and what it answers to as long as it runs.
    threads
        Of torch, in each worker; None leaves them as they are.
    parallel
        Whether other trials run at the same time.
    """

    features: FeatureArray
    labels: np.ndarray
    train: np.ndarray
    val: np.ndarray
    classes: int
    head_settings: HeadSettings
    train_settings: TrainSettings
    settings: TuneSettings
    folder: Path
    study: str
    token: str
    threads: int | None
    parallel: bool


def run_trial(job: Job, slot: int) -> None:
    """Run the trial with this place in the search and write how it ended; place 0 has the settings as they are.

    Raises
    ------
    stages.core.head.fit.NotFiniteError
        If the features are NaN or infinite, which no settings can mend.
    """
    if job.threads:
        torch.set_num_threads(job.threads)
    space = job.settings.space.flat()
    current = current_values(job.head_settings, job.train_settings, list(space))
    fixed = current if slot == 0 and contains(space, current) else None
    study = open_study(job.folder, job.study, job.settings, slot=slot, fixed=fixed, parallel=job.parallel)
    check_token(study, job.token)
    trial = study.ask(distributions(space))
    values = rounded(trial.params, space)
    epochs: list[dict[str, float]] = []
    started, state, value = time.perf_counter(), TrialState.COMPLETE, 0.0
    try:
        _fit(job, values, trial, study, epochs)
        value = max(epoch["val/f1_macro"] for epoch in epochs)
    except _PrunedError:
        state, value = TrialState.PRUNED, None
    except DivergedError:
        pass  # a bad place, which the search should learn: it scores 0
    best = max(range(len(epochs)), key=lambda index: epochs[index]["val/f1_macro"], default=None)
    found = {"epoch": 0, "accuracy": 0.0, "f1": 0.0}
    if best is not None:
        found = {"epoch": best + 1, "accuracy": epochs[best]["val/accuracy"], "f1": epochs[best]["val/f1_macro"]}
    found |= {"slot": slot, "values": values, "seconds": time.perf_counter() - started}
    trial.set_user_attr("found", found)
    check_token(study, job.token)
    study.tell(trial, value, state)


def current_values(head: HeadSettings, train: TrainSettings, names: list[str]) -> dict[str, Any]:
    """The values that these dotted settings have now."""
    sections = {"head": head, "train": train}
    return {name: getattr(sections[name.partition(".")[0]], name.partition(".")[2]) for name in names}


def with_values(head: HeadSettings, train: TrainSettings, values: dict[str, Any]) -> tuple[HeadSettings, TrainSettings]:
    """The settings with some replaced, checked anew."""
    changes: dict[str, dict[str, Any]] = {"head": {}, "train": {}}
    for dotted, value in values.items():
        section, _, key = dotted.partition(".")
        changes[section][key] = value
    return (
        HeadSettings(**head.model_dump() | changes["head"]),
        TrainSettings(**train.model_dump() | changes["train"]),
    )


def _fit(job: Job, values: dict[str, Any], trial: Trial, study: Study, epochs: list[dict[str, float]]) -> None:
    """Train, keeping each epoch's scores, and stop where Optuna's pruner says so."""

    def on_epoch(epoch: dict[str, float]) -> None:
        epochs.append(epoch)
        check_token(study, job.token)
        trial.report(epoch["val/f1_macro"], len(epochs))
        if trial.should_prune():
            raise _PrunedError

    head_settings, train_settings = with_values(job.head_settings, job.train_settings, values)
    if head_settings.skip == "probe":  # joins after the last epoch, whose scores are those of the LSTM alone
        head_settings = head_settings.model_copy(update={"skip": "none"})
    fit_head(
        job.features,
        job.labels,
        train=job.train,
        val=job.val,
        classes=job.classes,
        head_settings=head_settings,
        settings=train_settings,
        device=choose_device(),
        on_epoch=on_epoch,
    )
