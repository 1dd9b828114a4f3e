"""The search: trials side by side until there are enough, then the best ones as a table and a page.

In: `data/features/`, `data/splits.csv`, the settings to start from. Out: `.tuning/TARGET/` with the trials, a table of
them and a page of plots. The test split is not read. Writing the best settings to params.yaml is left to the caller.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import torch
from joblib import Parallel, delayed
from optuna.trial import TrialState

from stages.core.device import choose_device
from stages.core.errors import StageError
from stages.core.features.labelled import (
    LabelledFeatures,
    check_labels_unchanged,
    describe_not_finite,
    load_labelled_features,
)
from stages.core.features.placement import place
from stages.core.head.fit import NotFiniteError
from stages.core.head.recipe import Recipe
from stages.core.head.training_data import TrainingData
from stages.core.parallel import process_backend, thread_count, threads_each
from stages.core.progress import Progress
from stages.tune.damage import naming_database
from stages.tune.optuna_study import (
    FILE_NAME,
    begin_search,
    get_finished_trials,
    lock_search,
    name_study,
    open_checked_study,
)
from stages.tune.results import format_trials, tabulate_trials, write_page, write_trials
from stages.tune.settings import TuneSettings
from stages.tune.trial import Job, get_values, run_trial


@dataclass(frozen=True)
class SearchResult:
    """The result of a search.

    Attributes
    ----------
    values
        The best trial's settings, `{"train.lr": …}`.
    better
        Whether they differ from the current settings.
    text
        The table of the best trials, with the uncertainty of their scores.
    """

    values: dict[str, Any]
    better: bool
    text: str


def tune_head(
    *,
    target: str,
    settings: TuneSettings,
    recipe: Recipe,
    features: Path,
    splits: Path,
    work: Path,
    manifest: Path | None = None,
    n_jobs: int = 1,
) -> SearchResult:
    """Search the settings that give one target's head the best macro F1 on val.

    Parameters
    ----------
    target
        The label column.
    settings
        The space, the number of trials, the seed.
    recipe
        The settings that are not searched; the first trial has the recipe unchanged, if the space contains it.
    features, splits, manifest
        As for `train_head`.
    work
        The folder to write: `.tuning/TARGET`. A killed search resumes from there; trials that were running then are run
        again.
    n_jobs
        Trials side by side, each with its share of the cores; -1: one per core. With 1 the seed decides every trial.
        With more, a suggestion depends on which trials have finished; a trial's own score is still reproducible.

    Raises
    ------
    StageError
        If the target's labels do not allow training, or another search of the target is running.
    """
    data = load_labelled_features(target, features=features, splits=splits)
    if manifest:
        check_labels_unchanged(data, splits=splits, manifest=manifest)
    space = settings.space.flat()
    name = name_study(target, _identify(data, settings, recipe))
    device = choose_device()
    # One GPU holds the features once, and trials take turns on it.
    workers = 1 if device.type == "cuda" else thread_count(n_jobs)
    with lock_search(work), naming_database(work / FILE_NAME):
        study = open_checked_study(work, name, settings)
        token = begin_search(study)
        missing = _missing_slots(study, settings.trials)
        if missing:
            workers = min(workers, len(missing))
            # Workers map the same file: the features are in memory once.
            placed = data.features if workers > 1 else place(data.features, device, recipe.train.placement)
            job = Job(
                data=TrainingData.of(data, placed),
                recipe=recipe,
                settings=settings,
                folder=work,
                study=name,
                token=token,
                threads=threads_each(workers) if workers > 1 else None,
                parallel=workers > 1,
            )
            try:
                _run_trials(job, study, missing, workers, target)
            except NotFiniteError as error:
                raise StageError(describe_not_finite(data, error.row, features)) from None
        table = tabulate_trials(study)
        write_trials(table, work)
        page = write_page(study, table, target, work)
    current = get_values(recipe, list(space))
    best = table.iloc[0]["values"]
    text = format_trials(table, target, images=len(data.rows("val"))) + f"\nOpen {page} in a browser."
    return SearchResult(best, best != current, text)


def _run_trials(job: Job, study: optuna.Study, slots: list[int], workers: int, target: str) -> None:
    """Run the missing trials, with a bar."""
    done = job.settings.trials - len(slots)
    with (
        Progress(job.settings.trials, f"Tuning {target}", "trials", done=done) as progress,
        process_backend(),
    ):
        ended = Parallel(n_jobs=workers, return_as="generator_unordered")(
            delayed(run_trial)(job, slot) for slot in slots
        )
        for _ in ended:
            progress.advance(note=_summarise_trials(study))


def _summarise_trials(study: optuna.Study) -> str:
    trials = get_finished_trials(study)
    pruned = sum(trial.state == TrialState.PRUNED for trial in trials)
    scores = [trial.value for trial in trials if trial.state == TrialState.COMPLETE and trial.value is not None]
    return f"best macro F1 {max(scores, default=math.nan):.3f}, {pruned} pruned"


def _missing_slots(study: optuna.Study, trials: int) -> list[int]:
    """Find the places in the search that no finished trial has."""
    done = {trial.user_attrs["found"]["slot"] for trial in get_finished_trials(study)}
    return [slot for slot in range(trials) if slot not in done]


def _identify(data: LabelledFeatures, settings: TuneSettings, recipe: Recipe) -> dict[str, Any]:
    """Collect everything that decides the trials: a search resumes only from trials of the same."""
    return {
        "classes": data.classes,
        "fingerprint": data.fingerprint,
        "labels": data.digest("train", "val"),
        "recipe": recipe.decisive(),
        "shape": list(data.features.shape[1:]),
        "tune": settings.model_dump(exclude={"trials"}),
        "torch": torch.__version__,
    }
