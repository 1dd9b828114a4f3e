"""One trial: a head trained with suggested settings, its validation score reported after every epoch.

In: what all trials share, and a trial's place in the search. Out: its result is written to the study. A trial runs in
the process of the search or in a worker.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from optuna import Study, Trial
from optuna.trial import TrialState

from stages.core.device import choose_device
from stages.core.head.fit import DivergedError, fit_head
from stages.core.head.recipe import Recipe
from stages.core.head.training_data import TrainingData
from stages.tune.damage import DIGEST, digest_trial
from stages.tune.optuna_study import check_token, contains, make_distributions, open_study, round_values
from stages.tune.settings import TuneSettings


class _PrunedError(Exception):
    """The trial is worse than half of the others were at its epoch."""


@dataclass(frozen=True)
class Job:
    """What every trial of a search shares.

    Attributes
    ----------
    data
        The images.
    recipe
        The settings that are not searched, and those of the first trial.
    settings, folder, study, token
        The search, the folder of its file, its name there, and the token that it accepts results with.
    threads
        Of torch, in each worker; None leaves them unchanged.
    parallel
        Whether other trials run at the same time.
    """

    data: TrainingData
    recipe: Recipe
    settings: TuneSettings
    folder: Path
    study: str
    token: str
    threads: int | None
    parallel: bool


def run_trial(job: Job, slot: int) -> None:
    """Run the trial with this place in the search and write its result; place 0 has the current settings.

    Raises
    ------
    stages.core.head.fit.NotFiniteError
        If the features are NaN or infinite, which no settings can fix.
    """
    if job.threads:
        torch.set_num_threads(job.threads)
    space = job.settings.space.flat()
    current = get_values(job.recipe, list(space))
    fixed = current if slot == 0 and contains(space, current) else None
    study = open_study(job.folder, job.study, job.settings, slot=slot, fixed=fixed, parallel=job.parallel)
    check_token(study, job.token)
    trial = study.ask(make_distributions(space))
    values = round_values(trial.params, space)
    epochs: list[dict[str, float]] = []
    started, state = time.perf_counter(), TrialState.COMPLETE
    value: float | None = 0.0
    try:
        _train(job, values, trial, study, epochs)
        value = max(epoch["val/f1_macro"] for epoch in epochs)
    except _PrunedError:
        state, value = TrialState.PRUNED, None
    except DivergedError:
        pass  # a bad point of the space, from which the search should learn: it scores 0
    best = max(range(len(epochs)), key=lambda index: epochs[index]["val/f1_macro"], default=None)
    found: dict[str, Any] = {"epoch": 0, "accuracy": 0.0, "f1": 0.0}
    if best is not None:
        found = {"epoch": best + 1, "accuracy": epochs[best]["val/accuracy"], "f1": epochs[best]["val/f1_macro"]}
    found |= {"slot": slot, "values": values, "seconds": time.perf_counter() - started}
    trial.set_user_attr("found", found)
    digest = digest_trial(
        job.study,
        state,
        value,
        params=trial.params,
        distributions=trial.distributions,
        scores={number: epoch["val/f1_macro"] for number, epoch in enumerate(epochs, start=1)},
        found=found,
    )
    trial.set_user_attr(DIGEST, digest)
    check_token(study, job.token)
    study.tell(trial, value, state)


def get_values(recipe: Recipe, names: list[str]) -> dict[str, Any]:
    """Get the current values of dotted settings, `train.lr`."""
    sections = recipe.model_dump()
    return {name: sections[name.partition(".")[0]][name.partition(".")[2]] for name in names}


def replace_values(recipe: Recipe, values: dict[str, Any]) -> Recipe:
    """Replace some dotted settings of a recipe, and check them."""
    sections = recipe.model_dump()
    for dotted, value in values.items():
        section, _, key = dotted.partition(".")
        sections[section][key] = value
    return Recipe.model_validate(sections)


def _train(job: Job, values: dict[str, Any], trial: Trial, study: Study, epochs: list[dict[str, float]]) -> None:
    """Train, keep each epoch's scores, and stop where Optuna's pruner asks for it.

    A trial is scored by its epochs, so that what a head adds after the last one is left out.
    """

    def on_epoch(epoch: dict[str, float]) -> None:
        epochs.append(epoch)
        check_token(study, job.token)
        trial.report(epoch["val/f1_macro"], len(epochs))
        if trial.should_prune():
            raise _PrunedError

    recipe = replace_values(job.recipe, values)
    fit_head(job.data, recipe, device=choose_device(), on_epoch=on_epoch, finish=False)
