"""The search: trials side by side until there are enough, then the best ones as a table and a page.

In: `data/features/`, `data/splits.csv`, the settings to start from. Out: `.tuning/TARGET/` with the trials, a table of
them and a page of plots. The test split is not looked at. Writing the winner to params.yaml is left to the caller.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import torch
from joblib import Parallel, delayed

from stages.core.device import choose_device
from stages.core.errors import StageError
from stages.core.features.labelled import (
    LabelledFeatures,
    load_labelled_features,
    not_finite_message,
    refuse_stale_labels,
)
from stages.core.features.placement import place
from stages.core.head.fit import NotFiniteError
from stages.core.head.settings import HeadSettings, TrainSettings
from stages.core.parallel import process_backend, thread_count, threads_each
from stages.core.progress import Progress
from stages.tune.optuna_study import begin_search, finished_trials, one_search, open_study, study_name
from stages.tune.results import as_text, trial_table, write_page, write_trials
from stages.tune.settings import TuneSettings
from stages.tune.trial import Job, current_values, run_trial


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes
    ----------
    values
        The best trial's settings, `{"train.lr": …}`.
    better
        Whether they differ from those that the search began with.
    text
        The table of the best trials and what to make of it.
    """

    values: dict[str, Any]
    better: bool
    text: str


def tune_head(
    *,
    target: str,
    settings: TuneSettings,
    head_settings: HeadSettings,
    train_settings: TrainSettings,
    features: Path,
    splits: Path,
    work: Path,
    manifest: Path | None = None,
    n_jobs: int = 1,
) -> Found:
    """Search the settings that give one target's head the best macro F1 on val.

    Parameters
    ----------
    target
        The label column.
    settings
        The space, the number of trials, the seed.
    head_settings, train_settings
        What is not searched; the first trial has them as they are, if the space holds them.
    features, splits, manifest
        As for `train_head`.
    work
        The folder to write: `.tuning/TARGET`. A search that was killed goes on from there; trials that were at work
        then are run again.
    n_jobs
        Trials side by side, each with its share of the cores; -1: one per core. With 1 the seed decides every trial.
        With more, what a trial learns from is what happened to be finished; its own score is reproducible still.

    Raises
    ------
    StageError
        If the target's labels do not allow training, or another search of the target is at work.
    """
    data = load_labelled_features(target, features=features, splits=splits)
    if manifest:
        refuse_stale_labels(data, splits=splits, manifest=manifest)
    space = settings.space.flat()
    name = study_name(target, _identity(data, settings, head_settings, train_settings))
    device = choose_device()
    # One GPU holds the features once, and trials take turns on it.
    workers = 1 if device.type == "cuda" else thread_count(n_jobs)
    with one_search(work):
        study = open_study(work, name, settings)
        token = begin_search(study)
        missing = _missing_slots(study, settings.trials)
        if missing:
            workers = min(workers, len(missing))
            job = Job(
                # Workers map the same file: the features are in memory once.
                features=data.features if workers > 1 else place(data.features, device, train_settings.placement),
                labels=data.labels,
                train=data.rows("train"),
                val=data.rows("val"),
                classes=len(data.classes),
                head_settings=head_settings,
                train_settings=train_settings,
                settings=settings,
                folder=work,
                study=name,
                token=token,
                threads=threads_each(workers) if workers > 1 else None,
                parallel=workers > 1,
            )
            try:
                _run(job, study, missing, workers, target)
            except NotFiniteError as error:
                raise StageError(not_finite_message(data, error.row, features)) from None
        table = trial_table(study)
        write_trials(table, work)
        page = write_page(study, table, target, work)
    current = current_values(head_settings, train_settings, list(space))
    best = table.iloc[0]["values"]
    text = as_text(table, target, images=len(data.rows("val"))) + f"\nOpen {page} in a browser."
    return Found(best, best != current, text)


def _run(job: Job, study: optuna.Study, slots: list[int], workers: int, target: str) -> None:
    """Run the trials that are missing, with a bar."""
    done = job.settings.trials - len(slots)
    with (
        Progress(job.settings.trials, f"Tuning {target}", "trials", done=done) as progress,
        process_backend(),
    ):
        ended = Parallel(n_jobs=workers, return_as="generator_unordered")(
            delayed(run_trial)(job, slot) for slot in slots
        )
        for _ in ended:
            progress.advance(note=_so_far(study))


def _so_far(study: optuna.Study) -> str:
    trials = finished_trials(study)
    pruned = sum(trial.state == optuna.trial.TrialState.PRUNED for trial in trials)
    best = max((trial.value for trial in trials if trial.state != optuna.trial.TrialState.PRUNED), default=math.nan)
    return f"best macro F1 {best:.3f}, {pruned} pruned"


def _missing_slots(study: optuna.Study, trials: int) -> list[int]:
    """Places in the search that no finished trial has."""
    done = {trial.user_attrs["found"]["slot"] for trial in finished_trials(study)}
    return [slot for slot in range(trials) if slot not in done]


def _identity(
    data: LabelledFeatures, settings: TuneSettings, head: HeadSettings, train: TrainSettings
) -> dict[str, object]:
    """Everything that decides the trials: a search goes on only from trials of the same."""
    ignored = {"trials"}
    return {
        "classes": data.classes,
        "fingerprint": data.fingerprint,
        "labels": data.digest("train", "val"),
        "head": head.model_dump(),
        "train": train.model_dump(exclude={"placement", "tensorboard"}),
        "shape": list(data.features.shape[1:]),
        "tune": settings.model_dump(exclude=ignored),
        "torch": torch.__version__,
    }
