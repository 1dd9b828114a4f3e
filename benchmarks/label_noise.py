"""Measure how well suspects show wrong labels: flip labels at random, and score how early each ranking lists them.

In: an HDF5 file of features and a CSV of labels, as for benchmarks/recipe.py. Out: per target and seed the average
precision of the suspect-label ranking, of plain low confidence and of chance, and points of the two curves. All steps
in between are the pipeline's own: cache, split, head, folds, calibration, kinds.

    python benchmarks/label_noise.py FEATURES.h5 LABELS.csv --targets style genre
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from recipe import make_project
from sklearn.metrics import average_precision_score, precision_recall_curve

from stages.core.features.labelled import UNLABELLED, LabelledFeatures, load_labelled_features
from stages.core.head.files import load_head
from stages.core.head.recipe import Recipe
from stages.core.records.outputs import adopt
from stages.core.tables.columns import SPLIT_IMAGES
from stages.outliers.folds import out_of_sample_probabilities
from stages.outliers.kinds import low_confidence, suspect_label
from stages.outliers.outlier_kind import Evidence, OutlierKind
from stages.outliers.settings import OutlierSettings
from stages.train.train_head import train_head

RECALLS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
RANKINGS = {"suspect label": suspect_label.KIND, "low confidence": low_confidence.KIND}


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
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        splits = make_project(
            root, options.features, options.labels, targets=options.targets, min_images=options.min_images,
            random_state=0,
        )  # fmt: skip
        for target in options.targets:
            scores = pd.DataFrame(
                print_seed(target, seed, scored) for seed, scored in enumerate(seeds_of(root, splits, target, options))
            )
            factor = scores["suspect label"] / scores["low confidence"]
            print(
                f"{target}, mean of {len(scores)} seeds: average precision {scores['suspect label'].mean():.3f} for "
                f"suspect label, {scores['low confidence'].mean():.3f} for low confidence: "
                f"{factor.mean():.1f} times as much (least {factor.min():.1f}), chance {scores['chance'].mean():.3f}\n",
                flush=True,
            )


def seeds_of(
    root: Path, splits: Path, target: str, options: argparse.Namespace
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Per seed: the flipped images among the labelled ones, and each ranking's scores."""
    table = pd.read_csv(splits, dtype=str, keep_default_na=False)
    for seed in range(options.seeds):
        noisy, flipped = with_flipped_labels(table, target, options.share, seed)
        path, head = root / f"{target}-{seed}.csv", root / f"heads-{seed}" / target
        noisy.to_csv(path, index=False)
        adopt(path, SPLIT_IMAGES)
        train_head(
            target=target, recipe=Recipe(), features=root / "features",
            splits=path, destination=head, work=root / "work",
        )  # fmt: skip
        data = load_labelled_features(target, features=root / "features", splits=path)
        probabilities = out_of_sample_probabilities(
            data, load_head(head)[1], OutlierSettings(), features=root / "features", n_jobs=options.n_jobs
        )
        rows = data.labels != UNLABELLED
        yield flipped[rows], {name: scores_of(kind, data, probabilities)[rows] for name, kind in RANKINGS.items()}


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


def scores_of(kind: OutlierKind, data: LabelledFeatures, probabilities: np.ndarray) -> np.ndarray:
    """A kind's ranking as a number per image, `(n,)`: images that it does not list come last, together."""
    found = kind.find(Evidence(data, probabilities, np.full((len(data.labels), 1), np.inf)))
    scores = np.zeros(len(data.labels))
    scores[found["row"].to_numpy()] = np.arange(len(found), 0, -1)
    return scores


def print_seed(target: str, seed: int, scored: tuple[np.ndarray, dict[str, np.ndarray]]) -> dict[str, float]:
    """Print the curves of one seed; return their average precisions."""
    flipped, rankings = scored
    found = {name: float(average_precision_score(flipped, scores)) for name, scores in rankings.items()}
    print(f"{target}, seed {seed}: {flipped.sum()} of {len(flipped)} labels flipped")
    print(f"  {'recall':<16}{'':>8}" + "".join(f"{recall:>7.2f}" for recall in RECALLS))
    for name, scores in rankings.items():
        precision, recall, _ = precision_recall_curve(flipped, scores)
        points = [precision[recall >= wanted].max() for wanted in RECALLS]
        print(f"  {name:<16}{found[name]:>8.3f}" + "".join(f"{point:>7.3f}" for point in points), flush=True)
    return found | {"chance": float(flipped.mean())}


if __name__ == "__main__":
    main()
