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
from optuna import Trial
from optuna.trial import TrialState

from stages.device import choose_device
from stages.errors import StageError
from stages.train.fit import NotFiniteError, fit_head
from stages.train.placement import FeatureArray
from stages.train.settings import HeadSettings, TrainSettings
from stages.tune.settings import TuneSettings
from stages.tune.study import contains, distributions, open_study, rounded


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
    settings, folder, study
        The search, where its file lies and under which name.
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
    threads: int | None
    parallel: bool


def run_trial(job: Job, slot: int) -> None:
    """Run the trial with this place in the search and write how it ended; place 0 has the settings as they are.

    Raises
    ------
    NotFiniteError
        If the features are NaN or infinite, which no settings can mend.
    """
    if job.threads:
        torch.set_num_threads(job.threads)
    space = job.settings.space.flat()
    current = current_values(job.head_settings, job.train_settings, list(space))
    fixed = current if slot == 0 and contains(space, current) else None
    study = open_study(job.folder, job.study, job.settings, slot=slot, fixed=fixed, parallel=job.parallel)
    trial = study.ask(distributions(space))
    trial.set_user_attr("slot", slot)
    values = rounded(trial.params, space)
    trial.set_user_attr("values", values)
    started, scores = time.perf_counter(), []
    try:
        _fit(job, values, trial, scores)
        state, value = TrialState.COMPLETE, max(scores)
    except _PrunedError:
        state, value = TrialState.PRUNED, None
    except NotFiniteError:
        raise
    except StageError as error:  # it diverged: a bad place, which the search should learn
        trial.set_user_attr("error", str(error))
        state, value = TrialState.COMPLETE, 0.0
    trial.set_user_attr("seconds", time.perf_counter() - started)
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


def _fit(job: Job, values: dict[str, Any], trial: Trial, scores: list[float]) -> None:
    """Train, writing each epoch's validation macro F1 to the study and the best epoch's to the trial."""

    def on_epoch(epoch: dict[str, float]) -> None:
        scores.append(epoch["val/f1_macro"])
        if scores[-1] > max(scores[:-1], default=-1.0):
            trial.set_user_attr("best", {"epoch": len(scores), "accuracy": epoch["val/accuracy"], "f1": scores[-1]})
        trial.report(scores[-1], len(scores))
        if trial.should_prune():
            raise _PrunedError

    head_settings, train_settings = with_values(job.head_settings, job.train_settings, values)
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
