"""Measure how well suspects show wrong labels: flip labels at random, and score how early they are listed.

In: an HDF5 file of features and a CSV of labels, as for benchmarks/recipe.py. Out: per target and seed the average
precision of the suspect-label ranking and its precision among as many as were flipped, the same of cleanlab's ranking
on a tuned, cross-validated logistic regression, and what the list of suspects holds. All steps in between are the
pipeline's own: cache, split, folds, calibration, kinds.

    python benchmarks/label_noise.py FEATURES.h5 LABELS.csv --targets style genre artist
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from cleanlab.rank import get_label_quality_scores
from recipe import make_project
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stages.core.features.labelled import UNLABELLED, LabelledFeatures, load_labelled_features
from stages.core.head.recipe import Recipe
from stages.core.records.outputs import adopt
from stages.core.tables.columns import SPLIT_IMAGES
from stages.evaluate.baselines import fit_logistic_regression
from stages.evaluate.settings import EvaluateSettings
from stages.outliers.folds import out_of_sample_probabilities
from stages.outliers.kinds.suspect_label import find_suspect_labels
from stages.outliers.outlier_kind import Evidence
from stages.outliers.settings import OutlierSettings

MEASURES = ("AP", "AP cleanlab", "P@k", "P@k cleanlab", "listed", "found", "in a tenth", "chance")


def main() -> None:
    """Read the command line, flip, rank, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("features", type=Path, help="HDF5: features (n, tokens, channels), sha256, image")
    parser.add_argument("labels", type=Path, help="CSV: image and a column per target")
    parser.add_argument("--targets", nargs="+", default=["style", "genre"])
    parser.add_argument("--share", type=float, default=0.05, help="labels flipped (default 0.05)")
    parser.add_argument("--seeds", type=int, default=3, help="draws of the flipped labels (default 3)")
    parser.add_argument("--min-images", type=int, default=30, help="smaller classes are left out (default 30)")
    parser.add_argument("--n-jobs", type=int, default=-1, help="folds side by side (default: one per core)")
    options = parser.parse_args()
    print(
        "AP: average precision; P@k: precision among the first k, as many as were flipped; cleanlab: its ranking on a"
    )
    print("tuned, cross-validated logistic regression; listed, found: share of images listed as suspects, share of the")
    print("flipped ones among them; in a tenth: share of the flipped ones in the first tenth of the images")
    print(f"{'':<22}" + "".join(f"{name:>14}" for name in MEASURES))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        splits = make_project(
            root, options.features, options.labels, targets=options.targets, min_images=options.min_images,
            random_state=0,
        )  # fmt: skip
        for target in options.targets:
            rows = []
            for seed, measured in enumerate(seeds_of(root, splits, target, options)):
                rows.append(measured)
                print_row(f"{target}, seed {seed}", measured)
            print_row(f"{target}, mean", pd.DataFrame(rows).mean().to_dict())


def seeds_of(root: Path, splits: Path, target: str, options: argparse.Namespace) -> Iterator[dict[str, float]]:
    """Per seed: what both rankings find."""
    table = pd.read_csv(splits, dtype=str, keep_default_na=False)
    for seed in range(options.seeds):
        noisy, flipped = with_flipped_labels(table, target, options.share, seed)
        path = root / f"{target}-{seed}.csv"
        noisy.to_csv(path, index=False)
        adopt(path, SPLIT_IMAGES)
        data = load_labelled_features(target, features=root / "features", splits=path)
        yield measure(data, flipped, root / "features", options.n_jobs)


def measure(data: LabelledFeatures, flipped: np.ndarray, features: Path, n_jobs: int) -> dict[str, float]:
    """Rank the labelled images both ways."""
    known = np.flatnonzero(data.labels != UNLABELLED)
    probabilities = out_of_sample_probabilities(data, Recipe(), OutlierSettings(), features=features, n_jobs=n_jobs)
    found = find_suspect_labels(Evidence(data, probabilities, np.full((len(data.labels), 1), np.inf)))
    listed = np.zeros(len(data.labels))
    listed[found["row"].to_numpy()] = np.arange(len(found), 0, -1)
    # Those not listed follow, the least probable label first: a ranking of all, as cleanlab's is.
    unlisted = 1 - probabilities[known, data.labels[known]]
    ours, theirs, truth = listed[known] + unlisted, usual_scores(data, known), flipped[known]
    tenth = np.argsort(-ours, kind="stable")[: len(known) // 10]
    return {
        "AP": average_precision_score(truth, ours),
        "AP cleanlab": average_precision_score(truth, theirs),
        "P@k": precision_at(truth, ours),
        "P@k cleanlab": precision_at(truth, theirs),
        "listed": float((listed[known] > 0).mean()),
        "found": float((listed[known] > 0)[truth].mean()),
        "in a tenth": float(truth[tenth].sum() / truth.sum()),
        "chance": float(truth.mean()),
    }


def usual_scores(data: LabelledFeatures, known: np.ndarray) -> np.ndarray:
    """Suspicion of each labelled image by cleanlab, on a logistic regression as one usually fits it, `(known,)`."""
    pooled, labels, train, val = data.pooled(), data.labels, data.rows("train"), data.rows("val")
    strength = fit_logistic_regression(pooled, labels, train, val, EvaluateSettings().logistic_regression_C)[1]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    groups = data.table["group"].to_numpy()[known]
    found = cross_val_predict(
        model, pooled[known], labels[known], groups=groups, cv=folds, method="predict_proba", n_jobs=1
    )
    suspicion: np.ndarray = 1 - get_label_quality_scores(labels[known], found, method="self_confidence")
    return suspicion


def with_flipped_labels(table: pd.DataFrame, target: str, share: float, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Give a share of the labelled images another class of the target, drawn uniformly; also which, `(n,)` bool."""
    rng = np.random.default_rng(seed)
    labels = table[target].to_numpy(dtype=object).copy()
    labelled = np.flatnonzero(labels != "")
    classes = sorted(set(labels[labelled]))
    chosen = rng.choice(labelled, round(share * len(labelled)), replace=False)
    for row in chosen:
        labels[row] = rng.choice([name for name in classes if name != labels[row]])
    flipped = np.zeros(len(table), dtype=bool)
    flipped[chosen] = True
    return table.assign(**{target: labels}), flipped


def precision_at(truth: np.ndarray, scores: np.ndarray) -> float:
    """Share of flipped labels among the first k, k being how many were flipped."""
    return float(truth[np.argsort(-scores, kind="stable")[: truth.sum()]].mean())


def print_row(name: str, measured: dict[str, float]) -> None:
    """Print one line of the table."""
    print(f"{name:<22}" + "".join(f"{measured[key]:>14.3f}" for key in MEASURES), flush=True)


if __name__ == "__main__":
    main()
