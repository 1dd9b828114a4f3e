"""Compare fine-tuned features with the frozen ones by the same probe, seed by seed.

In: a project folder in which `pipeline ingest`, `clean` and `split` have run. Out: a table of macro F1 on the screen.
It writes to the folder's `benchmark-finetune/` only and leaves the project's own files unchanged.

    python benchmarks/finetune.py --project FOLDER --target style --seeds 3 --set backbone.finetune.unfreeze=all

The probe is the logistic regression of `pipeline evaluate` on the pooled features of the centre crop. Val chooses the
epoch of fine-tuning and the C of the probe; test chooses nothing.
"""

import argparse
import logging
import os
import time
from pathlib import Path

import numpy as np

from pipeline.params import Params, load_params
from pipeline.paths import Paths
from stages.backbone.prepare_backbone import prepare_backbone
from stages.core.device import choose_device
from stages.core.features.labelled import load_labelled_features
from stages.core.head.fit import fit_head
from stages.core.head.predict_logits import predict_rows
from stages.core.head.recipe import Recipe
from stages.core.head.training_data import TrainingData
from stages.core.images.files import ImageFolder
from stages.core.scoring.metrics import score
from stages.evaluate.baselines import fit_logistic_regression
from stages.extract.extract_features import extract_features

Scores = dict[str, float]


def main() -> None:
    """Measure the frozen backbone once and a fine-tuned one per seed, and print the table as it grows."""
    arguments = parse_arguments()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    os.chdir(arguments.project)
    params = load_params(Path("params.yaml"), arguments.set)
    rows = [("frozen", measure(params, arguments.target, None, arguments.head))]
    print_table(rows, arguments.target)
    for seed in range(arguments.seeds):
        rows.append((f"fine-tuned, seed {seed}", measure(params, arguments.target, seed, arguments.head)))
        print_table(rows, arguments.target)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--project", type=Path, required=True, help="folder with params.yaml and data/splits.csv")
    parser.add_argument("--target", default="style", help="label column (default: style)")
    parser.add_argument("--seeds", type=int, default=3, help="fine-tuning runs (default: 3)")
    parser.add_argument("--head", action="store_true", help="train the LSTM head on each too")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    return parser.parse_args()


def measure(params: Params, target: str, seed: int | None, with_head: bool) -> Scores:
    """Prepare a backbone, frozen for seed None, extract its features and score a probe on them."""
    folder = Path("benchmark-finetune", "frozen" if seed is None else f"seed-{seed}")
    paths, started = Paths(), time.monotonic()
    tuning = {"target": None} if seed is None else {"target": target, "random_state": seed}
    backbone = params.backbone.model_copy(update={"finetune": params.backbone.finetune.model_copy(update=tuning)})
    shared = {"splits": paths.splits, "images": ImageFolder(Path(params.dataset.images))}
    weights = folder / "models" / "backbone.safetensors"
    n_jobs = params.parallel.n_jobs
    prepare_backbone(settings=backbone, features=params.features, weights=weights, n_jobs=n_jobs, **shared)
    prepared = time.monotonic()
    extract_features(
        settings=params.features, arch=backbone.arch, backbone=weights, store=folder / "store",
        destination=folder / "features", n_jobs=n_jobs, **shared,
    )  # fmt: skip
    data = load_labelled_features(target, features=folder / "features", splits=paths.splits)
    train, val, test = (data.rows(split) for split in ("train", "val", "test"))
    strengths = params.evaluate.logistic_regression_C
    probabilities, _ = fit_logistic_regression(data.pooled(), data.labels, train, val, strengths)
    scores = {
        f"probe {s}": score(data.labels[r], probabilities[r])["f1_macro"] for s, r in (("val", val), ("test", test))
    }
    if with_head:
        recipe = Recipe(head=params.head, train=params.train)
        fit = fit_head(TrainingData.of(data, data.features), recipe, device=choose_device())
        for split, rows in (("val", val), ("test", test)):
            logits = predict_rows(fit.head, data.features, rows)
            exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
            probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
            scores[f"head {split}"] = score(data.labels[rows], probabilities)["f1_macro"]
    return scores | {"prepare s": prepared - started}


def print_table(rows: list[tuple[str, Scores]], target: str) -> None:
    """A row per backbone, then the fine-tuned ones' mean gain over the frozen one with its standard deviation."""
    columns = list(rows[0][1])
    print(f"\n{'macro F1, ' + target:<24}" + "".join(f"{column:>13}" for column in columns))
    for name, scores in rows:
        print(f"{name:<24}" + "".join(f"{scores[column]:>13.3f}" for column in columns))
    tuned = [scores for _, scores in rows[1:]]
    if tuned:
        gains = {column: [scores[column] - rows[0][1][column] for scores in tuned] for column in columns[:-1]}
        for name, value in (("gain, mean", np.mean), ("gain, deviation", np.std)):
            print(f"{name:<24}" + "".join(f"{value(gain):>+13.3f}" for gain in gains.values()))
    print(flush=True)


if __name__ == "__main__":
    main()
