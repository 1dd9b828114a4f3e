"""The evaluate stage: predictions for every image, scores on each split, baselines beside them.

In: a head, the feature cache, the splits. Out: `metrics.json`, `predictions.csv`, `confusion.csv`, `per_class.csv` and
`plots/confusion.csv` in `reports/TARGET/`. This is where the test split is read, once.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import softmax

from cache import FeatureCache
from cache.atomic import write_text
from stages.errors import StageError
from stages.evaluate.baselines import logistic_regression, majority
from stages.evaluate.metrics import confusion_table, per_class_table, score
from stages.evaluate.settings import EvaluateSettings
from stages.tables import write_table
from stages.train.data import LabelledFeatures, load_labelled_features
from stages.train.head import check_fingerprint, load_head, predict_rows


def evaluate_head(
    *, target: str, settings: EvaluateSettings, features: Path, splits: Path, head: Path, destination: Path
) -> str:
    """Score a head and its baselines, and predict every image.

    Parameters
    ----------
    target
        The label column.
    settings
        The baselines.
    features, splits
        The published cache and the table of split.
    head
        The folder of the trained head.
    destination
        The folder to write: `reports/TARGET`.

    Returns
    -------
    str
        A table of test scores.

    Raises
    ------
    StageError
        If the head is missing, or was trained on other features or classes.
    """
    data = load_labelled_features(target, features=features, splits=splits)
    model, card = load_head(head)
    check_same_data(card, data)
    logits = predict_rows(model, data.features, np.arange(len(data.table)))
    probabilities = softmax(logits / card["temperature"], axis=1)
    train, val, test = data.rows("train"), data.rows("val"), data.rows("test")
    probe, strength = logistic_regression(data.pooled(), data.labels, train, val, settings.logistic_regression_C)
    baselines = {
        "majority": majority(data.labels, train, len(data.classes)),
        "logistic_regression": probe,
    }
    metrics = _scores(data, probabilities) | {"baselines": {name: _scores(data, p) for name, p in baselines.items()}}
    metrics["baselines"]["logistic_regression"]["C"] = strength
    metrics["backbone"] = backbone_of(features)
    _write_tables(data, probabilities, test, train, destination)
    write_text(destination / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    return _summary(target, metrics)


def backbone_of(features: Path) -> str:
    """Say in words which network the features come from, and whether it has seen labels."""
    with FeatureCache(features) as cache:
        description = cache.description
    name, target = description.get("arch", "unknown"), description.get("finetuned_on")
    return f"{name}, fine-tuned on {target}" if target else f"{name}, frozen"


def check_same_data(card: dict, data: LabelledFeatures) -> None:
    """Refuse a head whose features or classes are not those at hand."""
    check_fingerprint(card, data.fingerprint)
    if card["classes"] != data.classes:
        raise StageError(
            f"the classes of {data.target} changed since its head was trained: "
            f"run `pipeline train-head --target {data.target}` again"
        )


def _scores(data: LabelledFeatures, probabilities: np.ndarray) -> dict[str, dict]:
    splits = {split: data.rows(split) for split in ("test", "val", "train")}
    return {split: score(data.labels[rows], probabilities[rows]) for split, rows in splits.items()}


def _write_tables(
    data: LabelledFeatures, probabilities: np.ndarray, test: np.ndarray, train: np.ndarray, destination: Path
) -> None:
    classes = np.array(data.classes, dtype=object)
    predictions = data.table[["image", "sha256", "split"]].assign(
        y_true=data.table[data.target],
        y_pred=classes[probabilities.argmax(axis=1)],
        confidence=probabilities.max(axis=1),
    )
    y_true, y_pred = data.labels[test], probabilities[test].argmax(axis=1)
    train_counts = np.bincount(data.labels[train], minlength=len(classes))
    write_table(predictions, destination / "predictions.csv")
    write_table(confusion_table(y_true, y_pred, data.classes), destination / "confusion.csv")
    write_table(per_class_table(y_true, y_pred, data.classes, train_counts), destination / "per_class.csv")
    # One row per test image, which is what DVC's confusion template counts.
    rows = pd.DataFrame({"y_true": classes[y_true], "y_pred": classes[y_pred]})
    write_table(rows, destination / "plots" / "confusion.csv")


def _summary(target: str, metrics: dict) -> str:
    rows = {"head": metrics["test"]} | {name: scores["test"] for name, scores in metrics["baselines"].items()}
    lines = [f"{target + ' (test)':<22}{'accuracy':>10}{'macro F1':>10}{'log-loss':>10}{'images':>8}"]
    lines += [
        f"{name:<22}{s['accuracy']:>10.3f}{s['f1_macro']:>10.3f}{s['log_loss']:>10.3f}{s['n']:>8}"
        for name, s in rows.items()
    ]
    return "\n".join(lines)
