"""The score stage: every head of a protocol, over seeds and folds, and the table of their scores.

In: `data/features/`, `data/splits.csv`, `data/split_report.json`, the backbone's card. Out: `score.json`, `score.md`,
`score.tex` and `TARGET/predictions.csv` in `reports/scores/PROTOCOL/`. Features are computed by nobody here: they are
read from the published cache. Results of single heads are kept in `.scoring/`, from where an interrupted run resumes.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from cache.atomic import write_text
from stages.core.device import choose_device
from stages.core.errors import StageError
from stages.core.features.labelled import (
    CachedCollection,
    LabelledFeatures,
    attach_labels,
    check_labels_unchanged,
    collection_inputs,
    describe_not_finite,
    load_collection,
)
from stages.core.features.placement import CachedFeatures, place
from stages.core.head.fit import NotFiniteError
from stages.core.head.recipe import Recipe
from stages.core.parallel import process_backend, thread_count, threads_each
from stages.core.progress import Progress
from stages.core.records import producers
from stages.core.records.artefacts import BACKBONE_CARD, SPLIT_REPORT
from stages.core.records.outputs import write_outputs
from stages.core.records.reading import Input, bind_inputs, read_json, verify_record
from stages.core.tables.columns import MANIFEST
from stages.core.tables.csv_files import write_table
from stages.score.citation import describe_run
from stages.score.divisions import (
    Division,
    divide_by_split,
    divide_into_folds,
    find_leaking,
    without_small_classes,
)
from stages.score.protocols import PROTOCOLS, check_folds_allowed, check_lists_followed
from stages.score.runs import Run, plan_run, read_run, train_run
from stages.score.settings import ScoreSettings
from stages.score.summarise import Scored, summarise
from stages.score.tables import as_latex, as_markdown, as_text


@dataclass(frozen=True)
class ScorePaths:
    """Where the stage reads and writes.

    Attributes
    ----------
    features, manifest, splits, split_report, backbone
        The published cache, the tables of ingest and split, split's report, the backbone's card.
    work
        Folder of finished heads: `.scoring/PROTOCOL`.
    destination
        Folder to write: `reports/scores/PROTOCOL`.
    """

    features: Path
    manifest: Path
    splits: Path
    split_report: Path
    backbone: Path
    work: Path
    destination: Path


@dataclass(frozen=True)
class Task:
    """A target, its divisions, and the trainings on them."""

    data: LabelledFeatures
    divisions: list[Division]
    runs: list[Run]
    left_out: list[str]


def score_protocol(
    *,
    protocol: str,
    targets: Sequence[str],
    settings: ScoreSettings,
    recipe: Recipe,
    paths: ScorePaths,
    n_jobs: int = 1,
) -> str:
    """Train the heads of a protocol, and write the table of their test scores.

    Parameters
    ----------
    protocol
        A key of `PROTOCOLS`.
    targets
        Label columns of the protocol `own`; the others have one.
    settings
        Seeds, folds, resamples.
    recipe
        The settings of the heads; `train.random_state` is the first seed.
    paths
        Where files lie.
    n_jobs
        Heads side by side, sharing the cores; -1: as many as there are cores. It changes no bit of a result.

    Returns
    -------
    str
        The table, and the line that cites it.

    Raises
    ------
    StageError
        If the project's split is not the protocol's, or a target cannot be trained.
    """
    chosen = PROTOCOLS[protocol]
    columns = [chosen.attribute] if chosen.attribute else list(targets)
    report = read_json(paths.split_report, SPLIT_REPORT)
    check_lists_followed(chosen, verify_record(Input(paths.manifest, MANIFEST)).settings, report)
    card = read_json(paths.backbone, BACKBONE_CARD)
    check_folds_allowed(chosen, settings.folds, (card.get("finetuned_on") or {}).get("target"))
    inputs = _bind(paths, columns)
    collection = load_collection(features=paths.features, splits=paths.splits, targets=columns)
    recorded = {"score": settings.model_dump(mode="json"), **recipe.model_dump(mode="json")}
    with write_outputs(
        producers.SCORE, paths.destination, settings=recorded, inputs=inputs, target=protocol
    ) as outputs:
        tasks = [_plan(target, collection, settings, recipe, paths) for target in columns]
        _train_missing(tasks, protocol, paths.features, n_jobs)
        scored = {task.data.target: _collect(task) for task in tasks}
        summary = describe_run(
            chosen,
            settings,
            recipe,
            card=card,
            fingerprint=collection.fingerprint,
            features=paths.features,
            splits=paths.splits,
        )
        summary["split"] = report["settings"] | {"official_attribute": report.get("official_attribute")}
        summary["targets"] = {
            task.data.target: _summarise(task, scored[task.data.target], settings.resamples) for task in tasks
        }
        folder = outputs.path(paths.destination)
        write_text(folder / "score.json", json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
        write_text(folder / "score.md", as_markdown(summary))
        write_text(folder / "score.tex", as_latex(summary))
        for task in tasks:
            write_table(_tabulate(task, scored[task.data.target]), folder / task.data.target / "predictions.csv")
        return as_text(summary)


def _bind(paths: ScorePaths, targets: Sequence[str]) -> dict[str, str]:
    """Digests of all files that are read; a backbone that was fine-tuned on another split is refused here."""
    others = [Input(paths.split_report, SPLIT_REPORT), Input(paths.backbone, BACKBONE_CARD)]
    inputs: dict[str, str] = {}
    for target in targets:
        found = collection_inputs(features=paths.features, splits=paths.splits, target=target)
        inputs |= bind_inputs([*found, *others])
    return inputs


def _plan(
    target: str, collection: CachedCollection, settings: ScoreSettings, recipe: Recipe, paths: ScorePaths
) -> Task:
    """Divide a target's images, and describe a training for every fold and seed."""
    data = attach_labels(target, collection)
    left_out: list[str] = []
    check_labels_unchanged(data, splits=paths.splits, manifest=paths.manifest)
    if settings.folds:
        data, left_out = without_small_classes(data, settings.folds)
        divisions = divide_into_folds(data, settings.folds, recipe.train.random_state)
    else:
        divisions = divide_by_split(data)
    first = recipe.train.random_state
    runs = [
        plan_run(data, division, recipe, fold=fold, seed=first + number, folder=paths.work / target)
        for number in range(settings.seeds)
        for fold, division in enumerate(divisions)
    ]
    return Task(data, divisions, runs, left_out)


def _train_missing(tasks: list[Task], protocol: str, features: Path, n_jobs: int) -> None:
    """Train the heads that no earlier run has finished, the first seed of every target first, with a bar."""
    runs = [run for task in tasks for run in task.runs]
    missing = sorted((run for run in runs if read_run(run) is None), key=lambda run: run.seed)
    if not missing:
        return
    workers = 1 if choose_device().type == "cuda" else min(thread_count(n_jobs), len(missing))
    data = tasks[0].data
    ended = _train_side_by_side(missing, workers) if workers > 1 else _train_in_turn(missing, data.features)
    try:
        with Progress(len(runs), f"Scoring {protocol}", "heads", done=len(runs) - len(missing)) as progress:
            for run in ended:
                progress.advance(note=f"{run.target}, fold {run.fold + 1}, seed {run.seed}")
    except NotFiniteError as error:
        raise StageError(describe_not_finite(data, error.row, features)) from None


def _train_in_turn(runs: list[Run], features: CachedFeatures) -> Iterator[Run]:
    placed = place(features, choose_device(), runs[0].recipe.train.placement)
    for run in runs:
        train_run(run, placed)
        yield run


def _train_side_by_side(runs: list[Run], workers: int) -> Iterator[Run]:
    """Workers map the same cache file: the features are in memory once."""
    with process_backend():
        threads = threads_each(workers)
        yield from Parallel(n_jobs=workers, return_as="generator_unordered")(
            delayed(_train_and_return)(run, threads) for run in runs
        )


def _train_and_return(run: Run, threads: int) -> Run:
    train_run(run, threads=threads)
    return run


def _collect(task: Task) -> Scored:
    """Put the folds of each seed together: every test image once, in the order of the table."""
    data, divisions = task.data, task.divisions
    rows = np.concatenate([division.test for division in divisions])
    order = np.argsort(rows)
    leaking = np.concatenate([find_leaking(data, division) for division in divisions])[order]
    probabilities = {}
    for seed in dict.fromkeys(run.seed for run in task.runs):
        found = [read_run(run) for run in task.runs if run.seed == seed]
        if any(part is None for part in found):
            raise StageError(f"{task.runs[0].folder}: a finished head is gone: run `pipeline score` again")
        probabilities[seed] = np.concatenate([part for part in found if part is not None])[order]
    counts = [np.bincount(data.labels[division.train], minlength=len(data.classes)) for division in divisions]
    return Scored(
        classes=data.classes,
        y_true=data.labels[rows][order],
        groups=data.table["group"].to_numpy()[rows][order],
        leaking=leaking,
        probabilities=probabilities,
        train_counts=np.mean(counts, axis=0).round().astype(int),
    )


def _summarise(task: Task, scored: Scored, resamples: int) -> dict[str, Any]:
    images = {
        "train": round(float(np.mean([len(division.train) for division in task.divisions]))),
        "val": round(float(np.mean([len(division.val) for division in task.divisions]))),
        "test": len(scored.y_true),
        "leaking": int(scored.leaking.sum()),
    }
    return {"images": images, "notes": list(_notes(task, scored)), **summarise(scored, resamples)}


def _notes(task: Task, scored: Scored) -> Iterator[str]:
    """What a reader of the table must know of a target."""
    target = task.data.target
    if count := int(scored.leaking.sum()):
        yield (
            f"{target}: {count} of {len(scored.y_true)} test images repeat a train or val image (one duplicate group, "
            "or the same bytes). The first row counts them, the second leaves them out."
        )
    if task.left_out:
        yield f"{target}: too few distinct pictures for {len(task.divisions)} folds, left out: " + ", ".join(
            task.left_out
        )


def _tabulate(task: Task, scored: Scored) -> pd.DataFrame:
    """A row per test image: its truth, whether it leaks, and each seed's prediction."""
    rows = np.sort(np.concatenate([division.test for division in task.divisions]))
    names = np.array(scored.classes, dtype=object)
    table = task.data.table.iloc[rows][["image", "sha256", "group"]].reset_index(drop=True)
    table = table.assign(leaking=scored.leaking.astype(int), y_true=names[scored.y_true])
    seeds = {f"seed_{seed}": names[p.argmax(axis=1)] for seed, p in scored.probabilities.items()}
    return table.assign(**seeds)
