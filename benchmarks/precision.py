"""Measure what lower precision and the fast decoder change in the features and in the heads trained on them.

In: a project folder in which `pipeline ingest`, `clean`, `split` and `prepare-backbone` have run. Out: a table on the
screen. It writes to the folder's `benchmark-precision/` only and leaves the project's own files unchanged.

    python benchmarks/precision.py --project FOLDER --targets style genre --seeds 3

The reference is fp32 with the exact decoder. Scores are those of the test split, mean and standard deviation over the
head's seeds.
"""

import argparse
import logging
import os
from pathlib import Path

import numpy as np
from scipy.special import softmax

from cache import FeatureCache
from pipeline.params import Params, load_params
from pipeline.paths import Paths
from stages.core.device import choose_device
from stages.core.features.labelled import load_labelled_features
from stages.core.head.fit import fit_head
from stages.core.head.predict_logits import predict_rows
from stages.core.head.recipe import Recipe
from stages.core.head.training_data import TrainingData
from stages.core.images.files import ImageFolder
from stages.core.scoring.metrics import score
from stages.extract.extract_features import extract_features

VARIANTS = [("fp32", "exact"), ("fp32", "fast"), ("bf16", "exact"), ("bf16", "fast")]


def main() -> None:
    """Extract every variant's features, compare them with the first's, and train heads on each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--project", type=Path, required=True, help="folder with params.yaml, data/ and models/")
    parser.add_argument("--targets", nargs="+", default=["style"], help="label columns (default: style)")
    parser.add_argument("--seeds", type=int, default=3, help="heads per target (default: 3)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    os.chdir(arguments.project)
    params = load_params(Path("params.yaml"), arguments.set)
    folders = [extract(params, precision, decoder) for precision, decoder in VARIANTS]
    scores = "".join(f"{target + ', accuracy / macro F1':>38}" for target in arguments.targets)
    print(f"{'features':<14}{'cosine: mean':>14}{'1 % worst':>11}{'worst':>9}{scores}")
    for (precision, decoder), folder in zip(VARIANTS, folders, strict=True):
        similarity = cosines(folders[0], folder)
        cells = [similarity.mean(), np.quantile(similarity, 0.01), similarity.min()]
        line = f"{precision + ' ' + decoder:<14}{cells[0]:>14.5f}{cells[1]:>11.5f}{cells[2]:>9.5f}"
        for target in arguments.targets:
            found = np.array([test_scores(params, target, folder, seed) for seed in range(arguments.seeds)])
            pairs = zip(found.mean(axis=0), found.std(axis=0), strict=True)
            line += f"{' / '.join(f'{mean:.3f} ± {deviation:.3f}' for mean, deviation in pairs):>38}"
        print(line, flush=True)


def extract(params: Params, precision: str, decoder: str) -> Path:
    """Compute the features of one variant; those of an earlier run are reused."""
    paths, folder = Paths(), Path("benchmark-precision")
    extract_features(
        settings=params.features.model_copy(update={"precision": precision, "decoder": decoder}),
        arch=params.backbone.arch,
        splits=paths.splits,
        images=ImageFolder(Path(params.dataset.images)),
        backbone=paths.backbone,
        store=folder / "store",
        destination=folder / f"{precision}-{decoder}",
        n_jobs=params.parallel.n_jobs,
    )
    return folder / f"{precision}-{decoder}"


def cosines(reference: Path, other: Path) -> np.ndarray:
    """Cosine between the two features of every image, view and token, shape `(n, views, tokens)`."""
    a, b = (np.asarray(FeatureCache(folder).features, dtype=np.float32) for folder in (reference, other))
    return (a * b).sum(axis=-1) / (np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1))


def test_scores(params: Params, target: str, features: Path, seed: int) -> tuple[float, float]:
    """Accuracy and macro F1 on test of a head trained on these features."""
    data = load_labelled_features(target, features=features, splits=Paths().splits)
    test = data.rows("test")
    recipe = Recipe(head=params.head, train=params.train.model_copy(update={"random_state": seed}))
    fit = fit_head(TrainingData.of(data, data.features), recipe, device=choose_device())
    found = score(data.labels[test], softmax(predict_rows(fit.head, data.features, test), axis=1))
    return found["accuracy"], found["f1_macro"]


if __name__ == "__main__":
    main()
