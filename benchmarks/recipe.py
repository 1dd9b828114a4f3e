"""The default recipe on real features: LSTM heads next to the tuned logistic regression, and what each part is worth.

In: an HDF5 file (`features` (n, tokens, channels), `sha256`, `image`) and a CSV of labels by `image`. Out: a table, and
with `--ablation` one of variants; `--save` keeps every run as CSV, and runs only what the CSV lacks. Features pass
through the cache and the split stage. Everything is chosen on val; test is only scored.

    python benchmarks/recipe.py FEATURES.h5 LABELS.csv --splits 0 1 2 --n-jobs 2
    python benchmarks/recipe.py FEATURES.h5 LABELS.csv --ablation --seeds 3 --n-jobs 2
"""

import argparse
import itertools
import tempfile
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy.special import softmax

from cache import FeatureStore, publish
from stages.core.device import choose_device
from stages.core.features.artefact import FEATURES
from stages.core.features.labelled import LabelledFeatures, load_labelled_features
from stages.core.head.fit import fit_head
from stages.core.head.lstm import LSTMHead, without_probe
from stages.core.head.lstm_settings import LSTMSettings
from stages.core.head.predict_logits import predict_rows
from stages.core.head.recipe import Recipe
from stages.core.head.settings import TrainSettings
from stages.core.head.training_data import TrainingData
from stages.core.parallel import process_backend, threads_each
from stages.core.records.outputs import adopt
from stages.core.scoring.metrics import score
from stages.core.tables.columns import CLEAN
from stages.evaluate.baselines import fit_logistic_regression, predict_majority
from stages.evaluate.settings import EvaluateSettings
from stages.split.settings import SplitSettings
from stages.split.split_images import split_images

BLOCK = 256
ALONE = ", LSTM alone"
# What each variant changes of the default recipe: the head's settings, the training's, tokens (None: all there are).
VARIANTS: dict[str, tuple[dict, dict, int | None]] = {
    "default": ({}, {}, None),
    "1 token": ({}, {}, 1),
    "no square root": ({"power_norm": 1.0}, {}, None),
    "last state": ({"readout": "last"}, {}, None),
    "one direction": ({"bidirectional": False}, {}, None),
    "hidden size 32": ({"hidden_size": 32}, {}, None),
    "hidden size 128": ({"hidden_size": 128}, {}, None),
    "imbalance: none": ({}, {"imbalance": "none"}, None),
    "imbalance: balanced weights": ({}, {"imbalance": "balanced"}, None),
    "no feature dropout": ({"feature_dropout": 0.0}, {}, None),
    "no mix-up, no smoothing": ({}, {"mixup": 0.0, "label_smoothing": 0.0}, None),
    "weight decay 0.01": ({}, {"weight_decay": 0.01}, None),
    # The LSTM alone, with dropout, as the project had it first.
    "LSTM 2 x 256, nothing else": (
        {"hidden_size": 256, "bidirectional": False, "readout": "last", "power_norm": 1.0, "input_scale": 1.0}
        | {"projection": 0, "skip": "none", "feature_dropout": 0.0},
        {"batch_size": 64, "weight_decay": 0.01, "imbalance": "none", "label_smoothing": 0.0, "mixup": 0.0},
        None,
    ),
}


def main() -> None:
    """Read the command line, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("features", type=Path, help="HDF5: features (n, tokens, channels), sha256, image")
    parser.add_argument("labels", type=Path, help="CSV: image and a column per target")
    parser.add_argument("--targets", nargs="+", default=["style", "genre", "artist"])
    parser.add_argument("--min-images", type=int, default=30, help="smaller classes are left out (default 30)")
    parser.add_argument("--seeds", type=int, default=5, help="heads per target (default 5)")
    parser.add_argument("--splits", type=int, nargs="+", default=[0], help="seeds of the 60/20/20 split (default 0)")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=["default"])
    parser.add_argument("--ablation", action="store_true", help="all variants")
    parser.add_argument("--save", type=Path, help="CSV of every run; those that it has already are not run again")
    parser.add_argument("--n-jobs", type=int, default=1, help="heads side by side (default 1)")
    options = parser.parse_args()
    runs = pd.read_csv(options.save).to_dict("records") if options.save and options.save.exists() else []
    with tempfile.TemporaryDirectory() as folder:
        names = list(VARIANTS) if options.ablation else options.variants
        make = partial(make_project, Path(folder), options.features, options.labels, min_images=options.min_images)
        # Variants go seed by seed: whenever that is stopped, each has been tried on every target about as often.
        rounds = [[seed] for seed in range(options.seeds)] if len(names) > 1 else [list(range(options.seeds))]
        for random_state, seeds in itertools.product(options.splits, rounds):
            splits = make(targets=options.targets, random_state=random_state)
            for target in options.targets:
                data = load_labelled_features(target, features=Path(folder) / "features", splits=splits)
                found = pd.DataFrame(runs, columns=["target", "split", "variant", "seed"])
                found = found[(found["target"] == target) & (found["split"] == random_state)]
                done = set(zip(found["variant"], found["seed"], strict=True))
                for run in runs_of(data, names, seeds, done, options.n_jobs):
                    runs.append({"target": target, "split": random_state} | run)
                    print_run(runs[-1])
                    if options.save:
                        pd.DataFrame(runs).to_csv(options.save, index=False)
    print(as_table(pd.DataFrame(runs)))


def make_project(
    root: Path, features: Path, labels: Path, *, targets: list[str], min_images: int, random_state: int
) -> Path:
    """Write the features to a cache and the labels to a split; exact duplicates are one group.

    Returns
    -------
    Path
        The table of splits; the cache is `root/features`.
    """
    with h5py.File(features) as file:
        keys, images = file["sha256"].asstr()[:].tolist(), file["image"].asstr()[:].tolist()
        values = file["features"]
        if not (root / "features").exists():
            store = FeatureStore(root / "store", {"made by": "benchmarks/recipe.py"}, (1, *values.shape[1:]))
            first_rows = np.unique(np.array(keys), return_index=True)[1]
            with store.writer() as writer:
                for start in range(0, len(first_rows), BLOCK):
                    rows = np.sort(first_rows[start : start + BLOCK])
                    writer.append([keys[row] for row in rows], values[rows][:, None])
            publish(store, keys, images, root / "features")
            adopt(root / "features" / "features.h5", FEATURES)
    table = pd.read_csv(labels, dtype=str, keep_default_na=False).set_index("image").loc[images, targets].reset_index()
    for target in targets:
        sizes = table[target].map(table[target].value_counts())
        table.loc[sizes < min_images, target] = ""
    groups = [f"g{number:06d}" for number in pd.factorize(np.array(keys))[0]]
    table = table.assign(sha256=keys, width=0, height=0, mode="RGB", group=groups)
    table.to_csv(root / "clean.csv", index=False)
    adopt(root / "clean.csv", CLEAN)
    splits = root / f"splits-{random_state}" / "splits.csv"
    split_images(
        settings=SplitSettings(random_state=random_state),
        clean=root / "clean.csv",
        splits=splits,
        report=splits.with_name("report.json"),
    )
    return splits


def runs_of(
    data: LabelledFeatures, variants: list[str], seeds: list[int], done: Collection[tuple[str, int]], n_jobs: int
) -> Iterator[dict[str, object]]:
    """Score the baselines, then each variant's heads, on val and test; skip the variants and seeds in `done`."""
    train, val = data.rows("train"), data.rows("val")
    strengths = EvaluateSettings().logistic_regression_C
    all_tokens, one_token = data.features[np.arange(len(data.table))], np.concatenate(list(data.pooled_views()))
    roots = np.sqrt(all_tokens[:, 0].clip(min=0).astype(np.float32)).mean(axis=1)
    if ("majority class", 0) not in done:
        yield scores(data, "majority class", predict_majority(data.labels, train, len(data.classes)))
    for name, pooled in (("logistic regression", data.pooled()), ("logistic regression, square roots", roots)):
        if (name, 0) not in done:
            yield scores(data, name, fit_logistic_regression(pooled, data.labels, train, val, strengths)[0])
    with process_backend():
        for found in Parallel(n_jobs=n_jobs, return_as="generator")(
            delayed(score_heads)(data, one_token if VARIANTS[name][2] == 1 else all_tokens, name, seed, n_jobs)
            for name in variants
            for seed in seeds
            if (name, seed) not in done
        ):
            yield from found


def score_heads(
    data: LabelledFeatures, features: np.ndarray, name: str, seed: int, n_jobs: int
) -> list[dict[str, object]]:
    """Train a variant's head, and score it and, if a linear probe was averaged with it, its LSTM alone."""
    import torch  # here, because what carries this function to the workers would take torch.classes along, and cannot

    torch.set_num_threads(threads_each(n_jobs))
    head_changes, train_changes, _ = VARIANTS[name]
    recipe = Recipe(head=LSTMSettings(**head_changes), train=TrainSettings(**{"random_state": seed} | train_changes))
    fit = fit_head(TrainingData.of(data, features), recipe, device=choose_device())
    rows = np.arange(len(features))
    found = [scores(data, name, softmax(predict_rows(fit.head, features, rows), axis=1), seed, fit.best_epoch)]
    if fit.finish_note and isinstance(fit.head, LSTMHead):
        alone = predict_rows(without_probe(fit.head), features, rows)
        found.append(scores(data, name + ALONE, softmax(alone, axis=1), seed, fit.best_epoch))
    return found


def scores(
    data: LabelledFeatures, name: str, probabilities: np.ndarray, seed: int = 0, epoch: int = 0
) -> dict[str, object]:
    """The scores of one run on val and test."""
    run: dict[str, object] = {"variant": name, "seed": seed, "epoch": epoch}
    for split in ("val", "test"):
        rows = data.rows(split)
        found = score(data.labels[rows], probabilities[rows])
        run |= {f"{split}_{key}": found[key] for key in ("accuracy", "f1_macro", "log_loss", "n")}
    return run


def print_run(run: dict[str, object]) -> None:
    """Print one line when a run ends."""
    print(
        f"split {run['split']} {run['target']:<8}{run['variant']:<40} seed {run['seed']}: "
        f"val {run['val_accuracy']:.3f} / {run['val_f1_macro']:.3f}, "
        f"test {run['test_accuracy']:.3f} / {run['test_f1_macro']:.3f}, epoch {run['epoch']}",
        flush=True,
    )


def as_table(runs: pd.DataFrame) -> str:
    """Accuracy / macro F1 in percent, mean ± standard deviation over seeds (then the mean over splits)."""
    lines = []
    names = list(dict.fromkeys(runs["variant"]))
    names = [name for name in names if not name.endswith(ALONE)] + [name for name in names if name.endswith(ALONE)]
    for split in ("val", "test"):
        columns = {}
        for target, of_target in runs.groupby("target", sort=False):
            columns[target] = {
                name: " / ".join(
                    _mean_and_deviation(100 * found.groupby("split")[f"{split}_{key}"].agg(["mean", "std"]).mean())
                    for key in ("accuracy", "f1_macro")
                )
                for name, found in of_target.groupby("variant", sort=False)
            }
        header = f"{split}, accuracy / macro F1"
        lines += [f"\n| {header:<40} | " + " | ".join(columns) + " |", "| --- " * (len(columns) + 1) + "|"]
        lines += [
            f"| {name:<40} | " + " | ".join(column.get(name, "") for column in columns.values()) + " |"
            for name in names
        ]
    return "\n".join(lines)


def _mean_and_deviation(found: pd.Series) -> str:
    return f"{found['mean']:.1f}" if np.isnan(found["std"]) else f"{found['mean']:.1f} ± {found['std']:.1f}"


if __name__ == "__main__":
    main()
