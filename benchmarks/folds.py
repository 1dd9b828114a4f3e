"""Compare the outlier study's predictions with those of the head, trained in full on the same folds.

In: an HDF5 file of features and a CSV of labels, as for benchmarks/recipe.py. Out: per target the out-of-fold accuracy,
macro F1 and recall on small classes (fewer than half of an average class's images), and the seconds, of the study's
folds, of the head, and of a logistic regression as one usually fits it: standardised features, C tuned on val. The head
is that of `train-head`: all tokens, a quarter of each fold's images as val.

    python benchmarks/folds.py FEATURES.h5 LABELS.csv
"""

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from recipe import make_project
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stages.core.device import choose_device
from stages.core.features.labelled import UNLABELLED, LabelledFeatures, load_labelled_features
from stages.core.head.fit import fit_head
from stages.core.head.predict_logits import predict_rows
from stages.core.head.recipe import Recipe
from stages.core.head.training_data import TrainingData
from stages.core.optimisation.scores import accuracy, macro_f1
from stages.evaluate.baselines import fit_logistic_regression
from stages.evaluate.settings import EvaluateSettings
from stages.outliers.folds import out_of_sample_probabilities
from stages.outliers.settings import OutlierSettings

SETTINGS = OutlierSettings()


def main() -> None:
    """Read the command line, predict, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("features", type=Path, help="HDF5: features (n, tokens, channels), sha256, image")
    parser.add_argument("labels", type=Path, help="CSV: image and a column per target")
    parser.add_argument("--targets", nargs="+", default=["style", "genre", "artist"])
    parser.add_argument("--min-images", type=int, default=6, help="smaller classes are left out (default 6)")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", "The least populated class", UserWarning)
    print(f"{'out of fold, in percent':<34}{'accuracy':>10}{'macro F1':>10}{'small classes':>15}{'seconds':>9}")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        splits = make_project(
            root, options.features, options.labels, targets=options.targets, min_images=options.min_images,
            random_state=0,
        )  # fmt: skip
        for target in options.targets:
            data = load_labelled_features(target, features=root / "features", splits=splits)
            known = np.flatnonzero(data.labels != UNLABELLED)
            print_scores(target, "folds of the study", data, known, lambda d, k: of_study(d, k, root / "features"))
            print_scores(target, "head", data, known, of_head)
            print_scores(target, "usual logistic regression", data, known, of_logistic_regression)


def of_study(data: LabelledFeatures, known: np.ndarray, features: Path) -> np.ndarray:
    """Predictions of find-outliers, one fold after the other, `(known,)`."""
    found = out_of_sample_probabilities(data, Recipe(), SETTINGS, features=features, n_jobs=1)
    predicted: np.ndarray = found[known].argmax(axis=1)
    return predicted


def of_head(data: LabelledFeatures, known: np.ndarray) -> np.ndarray:
    """Predictions of a head per fold."""
    tokens, predicted = data.features[np.arange(len(data.labels))], np.zeros(len(data.labels), dtype=int)
    for train, held_out in folds_of(data, known, SETTINGS.folds):
        inner, val = next(iter(folds_of(data, train, 4)))
        rows = TrainingData(tokens, data.labels, len(data.classes), train=inner, val=val)
        head = fit_head(rows, Recipe(), device=choose_device()).head
        predicted[held_out] = predict_rows(head, tokens, held_out).argmax(axis=1)
    return predicted[known]


def of_logistic_regression(data: LabelledFeatures, known: np.ndarray) -> np.ndarray:
    """Predictions of a tuned logistic regression per fold."""
    pooled, labels = data.pooled(), data.labels
    strengths = EvaluateSettings().logistic_regression_C
    strength = fit_logistic_regression(pooled, labels, data.rows("train"), data.rows("val"), strengths)[1]
    predicted = np.zeros(len(labels), dtype=int)
    for train, held_out in folds_of(data, known, SETTINGS.folds):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=300))
        predicted[held_out] = model.fit(pooled[train], labels[train]).predict(pooled[held_out])
    return predicted[known]


def folds_of(data: LabelledFeatures, rows: np.ndarray, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Divide rows as find-outliers does: stratified by class, groups kept together."""
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=SETTINGS.random_state)
    groups = data.table["group"].to_numpy()[rows]
    return [(rows[one], rows[other]) for one, other in splitter.split(rows, data.labels[rows], groups)]


def print_scores(
    target: str,
    name: str,
    data: LabelledFeatures,
    known: np.ndarray,
    predict: Callable[[LabelledFeatures, np.ndarray], np.ndarray],
) -> None:
    """Predict, and print one line."""
    started = time.perf_counter()
    predicted, truth = predict(data, known), data.labels[known]
    seconds = time.perf_counter() - started
    sizes = np.bincount(truth, minlength=len(data.classes))
    small = (sizes < sizes.mean() / 2)[truth]
    recall = f"{100 * (predicted == truth)[small].mean():.1f}" if small.any() else "-"
    scores = (100 * accuracy(truth, predicted), 100 * macro_f1(truth, predicted))
    print(f"{target + ', ' + name:<34}{scores[0]:>10.1f}{scores[1]:>10.1f}{recall:>15}{seconds:>9.0f}", flush=True)


if __name__ == "__main__":
    main()
