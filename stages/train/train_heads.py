"""Heads of several targets from one pass of loading: one after another, or side by side.

In: `data/features/` and `data/splits.csv`, read once. Out: `models/heads/TARGET/` each, as `train_head` writes it.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from joblib import Parallel, delayed

from stages.core.device import choose_device
from stages.core.errors import StageError
from stages.core.features.labelled import LabelledFeatures, load_collection
from stages.core.features.placement import place
from stages.core.head.settings import HeadSettings, TrainSettings
from stages.core.parallel import process_backend, thread_count, threads_each
from stages.core.progress import Progress
from stages.train.train_head import checked_labels, train_on


def train_heads(
    *,
    targets: Sequence[str],
    head_settings: HeadSettings,
    train_settings: TrainSettings,
    features: Path,
    splits: Path,
    heads: Path,
    work: Path,
    manifest: Path | None = None,
    n_jobs: int = 1,
    on_head: Callable[[str], None] = lambda summary: None,
) -> None:
    """Train the head of every target.

    Parameters
    ----------
    targets
        Label columns.
    head_settings, train_settings, features, splits, manifest
        As for `train_head`.
    heads, work
        The folders in which each target has one of its own.
    n_jobs
        Heads side by side, sharing the cores; -1: as many as there are cores. Each process maps the one cache file, so
        that features are in memory once. A GPU holds them once too, and its heads are trained one after another.
    on_head
        Called with what `train_head` returns, as each head is done.

    Raises
    ------
    StageError
        If some targets do not allow training; the others have been trained by then.
    """
    collection = load_collection(features=features, splits=splits, targets=targets)
    ready, problems = [], []
    for target in targets:
        try:
            ready.append(checked_labels(target, collection, splits=splits, manifest=manifest))
        except StageError as error:
            problems.append(str(error))
    shared = {
        "head_settings": head_settings, "train_settings": train_settings, "features": features, "splits": splits,
        "heads": heads, "work": work,
    }  # fmt: skip
    workers = 1 if choose_device().type == "cuda" else min(thread_count(n_jobs), len(ready))
    for summary, problem in (_side_by_side if workers > 1 else _in_turn)(ready, workers, shared):
        if problem:
            problems.append(problem)
        else:
            on_head(summary)
    if problems:
        raise StageError("; ".join(problems))


def _in_turn(ready: list[LabelledFeatures], workers: int, shared: dict) -> Iterator[tuple[str, str]]:
    if ready:
        placed = place(ready[0].features, choose_device(), shared["train_settings"].placement)
        for data in ready:
            yield _train_one(data, shared, placed)


def _side_by_side(ready: list[LabelledFeatures], workers: int, shared: dict) -> Iterator[tuple[str, str]]:
    with Progress(len(ready), "Training", "heads") as progress, process_backend():
        threads = threads_each(workers)
        ended = Parallel(n_jobs=workers, return_as="generator_unordered")(
            delayed(_train_one)(data, shared, threads=threads) for data in ready
        )
        for result in ended:
            progress.advance(note=result[0])
            yield result


def _train_one(
    data: LabelledFeatures, shared: dict, placed: object = None, threads: int | None = None
) -> tuple[str, str]:
    """Train one head; its summary, or what is wrong with it. Without `placed` it reads the mapped file."""
    if threads:
        torch.set_num_threads(threads)
    folders = {"destination": shared["heads"] / data.target, "work": shared["work"] / data.target}
    settings = {name: shared[name] for name in ("head_settings", "train_settings", "features", "splits")}
    try:
        values = data.features if placed is None else placed
        return train_on(data, values, **settings, **folders, quiet=placed is None), ""
    except StageError as error:
        return "", str(error)
