"""Train the heads of several targets on features that are loaded once: one after another, or side by side.

In: `data/features/` and `data/splits.csv`, read once. Out: `models/heads/TARGET/` each, as `train_head` writes it. An
interrupted run resumes: heads that it has finished are kept.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from joblib import Parallel, delayed

from stages.core.device import choose_device
from stages.core.errors import StageError
from stages.core.features.labelled import LabelledFeatures, load_collection
from stages.core.features.placement import FeatureArray, place
from stages.core.head.recipe import Recipe
from stages.core.parallel import process_backend, thread_count, threads_each
from stages.core.progress import Progress
from stages.train.finished import FinishedNote
from stages.train.train_head import attach_checked_labels, identify_files, train_on


@dataclass(frozen=True)
class Job:
    """What the trainings of all targets share; `heads` and `work` hold a folder per target."""

    recipe: Recipe
    features: Path
    splits: Path
    heads: Path
    work: Path

    def note(self, data: LabelledFeatures) -> FinishedNote:
        """Where a target's finished head is noted."""
        identity = identify_files(data, self.recipe, splits=self.splits)
        return FinishedNote(self.work / data.target, data.target, identity)


@dataclass(frozen=True)
class Outcome:
    """The summary of a trained head, or the problem that kept it from being trained."""

    summary: str = ""
    problem: str = ""


def train_heads(
    *,
    targets: Sequence[str],
    recipe: Recipe,
    features: Path,
    splits: Path,
    heads: Path,
    work: Path,
    manifest: Path | None = None,
    n_jobs: int = 1,
) -> Iterator[str]:
    """Train the head of every target; after an interrupted run, of those that it had not finished.

    Parameters
    ----------
    targets
        Label columns.
    recipe, features, splits, manifest
        As for `train_head`.
    heads, work
        The folders in which each target has a folder.
    n_jobs
        Heads side by side, sharing the cores; -1: as many as there are cores. Each process maps the same cache file, so
        that features are in memory once. A GPU also holds them once, and its heads are trained one after another.

    Yields
    ------
    str
        What `train_head` returns, as each head is done; of a head that an interrupted run has finished, the same again.

    Raises
    ------
    StageError
        If some targets do not allow training; the others have been trained by then.
    """
    collection = load_collection(features=features, splits=splits, targets=targets)
    ready, problems = [], []
    for target in targets:
        try:
            ready.append(attach_checked_labels(target, collection, splits=splits, manifest=manifest))
        except StageError as error:
            problems.append(str(error))
    job = Job(recipe, features, splits, heads, work)
    notes = {data.target: job.note(data) for data in ready}
    finished = {target: summary for target, note in notes.items() if (summary := note.read(heads / target))}
    yield from (f"{summary} (trained before the interruption)" for summary in finished.values())
    for outcome in _train_all([data for data in ready if data.target not in finished], job, n_jobs):
        if outcome.problem:
            problems.append(outcome.problem)
        else:
            yield outcome.summary
    if problems:
        raise StageError("; ".join(problems))
    for note in notes.values():
        note.remove()


def _train_all(ready: list[LabelledFeatures], job: Job, n_jobs: int) -> Iterator[Outcome]:
    workers = 1 if choose_device().type == "cuda" else min(thread_count(n_jobs), len(ready))
    return _train_side_by_side(ready, job, workers) if workers > 1 else _train_in_turn(ready, job)


def _train_in_turn(ready: list[LabelledFeatures], job: Job) -> Iterator[Outcome]:
    if ready:
        placed = place(ready[0].features, choose_device(), job.recipe.train.placement)
        for data in ready:
            yield _train_one(data, job, placed)


def _train_side_by_side(ready: list[LabelledFeatures], job: Job, workers: int) -> Iterator[Outcome]:
    with Progress(len(ready), "Training", "heads") as progress, process_backend():
        threads = threads_each(workers)
        ended = Parallel(n_jobs=workers, return_as="generator_unordered")(
            delayed(_train_one)(data, job, threads=threads) for data in ready
        )
        for outcome in ended:
            progress.advance(note=outcome.summary)
            yield outcome


def _train_one(
    data: LabelledFeatures, job: Job, placed: FeatureArray | None = None, threads: int | None = None
) -> Outcome:
    """Train one head; without `placed` it reads the mapped file."""
    if threads:
        torch.set_num_threads(threads)
    try:
        note, destination = job.note(data), job.heads / data.target
        summary = train_on(
            data,
            data.features if placed is None else placed,
            recipe=job.recipe,
            features=job.features,
            splits=job.splits,
            destination=destination,
            work=job.work / data.target,
            quiet=placed is None,
        )
        note.write(destination, summary)
    except StageError as error:
        return Outcome(problem=str(error))
    return Outcome(summary)
