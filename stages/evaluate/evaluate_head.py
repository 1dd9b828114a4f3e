"""The evaluate stage: predictions for every image, scores on each split, baselines beside them.

In: a head, the feature cache, the splits. Out: `metrics.json`, `predictions.csv`, `confusion.csv` and `per_class.csv`
of test (`…_val.csv` of val), `reliability.csv`, `plots/confusion.csv` in `reports/TARGET/`. This is where the test
split is read, once.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import softmax

from cache import FeatureCache
from cache.atomic import write_text
from stages.core.errors import StageError
from stages.core.features.labelled import LabelledFeatures, load_labelled_features, refuse_not_finite
from stages.core.head.files import check_same_data, load_head
from stages.core.head.lstm import LSTMHead, predict_rows
from stages.core.tables.csv_files import write_table
from stages.evaluate.baselines import logistic_regression, majority
from stages.evaluate.calibration import expected_calibration_error, reliability
from stages.evaluate.metrics import confusion_table, per_class_table, score
from stages.evaluate.settings import EvaluateSettings
from stages.evaluate.uncertainty import bootstrap, intervals, paired_comparison

HEAD, PROBE = "LSTM head", "logistic_regression"


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
    pooled = data.pooled()
    refuse_not_finite(data, pooled, features)
    logits = predict_rows(model, data.features, np.arange(len(data.table)))
    probabilities = softmax(logits / card["temperature"], axis=1)
    train, val = data.rows("train"), data.rows("val")
    probe, strength = logistic_regression(pooled, data.labels, train, val, settings.logistic_regression_C)
    models = {
        HEAD: probabilities,
        "majority": majority(data.labels, train, len(data.classes)),
        PROBE: probe,
    }
    scores = {name: _scores(data, found) for name, found in models.items()}
    comparison = _add_uncertainty(scores, models, data, settings.resamples)
    metrics = scores.pop(HEAD) | {"baselines": scores, "comparison": comparison}
    metrics["baselines"][PROBE]["C"] = strength
    metrics["calibration"] = _calibration(data, logits, probabilities, card["temperature"])
    if settings.views > 1:
        metrics["multi_view"] = _multi_view(model, data, card["temperature"], settings.views)
    metrics["backbone"] = backbone_of(features)
    _write_tables(data, probabilities, destination)
    write_table(_reliability_table(data, logits, probabilities), destination / "reliability.csv")
    write_text(destination / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    return _summary(target, metrics)


def _add_uncertainty(
    scores: dict[str, dict], models: dict[str, np.ndarray], data: LabelledFeatures, resamples: int
) -> dict[str, dict]:
    """Give every model's val and test scores their intervals, and compare the head with the probe on both."""
    comparison = {}
    for split in ("val", "test"):
        rows = data.rows(split)
        probabilities = {name: found[rows] for name, found in models.items()}
        drawn = bootstrap(data.labels[rows], probabilities, data.table["group"].to_numpy()[rows], resamples)
        observed = {name: found[split] for name, found in scores.items()}
        comparison[split] = paired_comparison(drawn, observed, HEAD, PROBE)
        for name, found in drawn.items():
            scores[name][split] |= intervals(found)
    return comparison


def _calibration(
    data: LabelledFeatures, logits: np.ndarray, probabilities: np.ndarray, temperature: float
) -> dict[str, object]:
    """What temperature scaling did: the expected calibration error before and after."""
    before = softmax(logits, axis=1)
    found: dict[str, object] = {"temperature": temperature}
    for split in ("val", "test"):
        rows = data.rows(split)
        errors = [expected_calibration_error(data.labels[rows], p[rows]) for p in (before, probabilities)]
        found[split] = dict(zip(("ece_before", "ece_after"), errors, strict=True))
    return found


def _reliability_table(data: LabelledFeatures, logits: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """The bins of the reliability diagram, of val and test, before and after temperature scaling."""
    tables = []
    for split in ("val", "test"):
        rows = data.rows(split)
        for stage, found in (("before", softmax(logits, axis=1)), ("after", probabilities)):
            bins = reliability(data.labels[rows], found[rows])
            bins.insert(0, "scaling", stage)
            bins.insert(0, "split", split)
            tables.append(bins)
    return pd.concat(tables, ignore_index=True)


def _multi_view(model: LSTMHead, data: LabelledFeatures, temperature: float, views: int) -> dict[str, object]:
    """Score the test split by the mean of the probabilities that its images get in several views."""
    if views > (cached := data.features.shape[1]):
        raise StageError(f"evaluate.views is {views}, the cache has {cached}: set features.views to {views} or more")
    rows = data.rows("test")
    each = [softmax(predict_rows(model, data.features, rows, view) / temperature, axis=1) for view in range(views)]
    return {"views": views, "test": score(data.labels[rows], np.mean(each, axis=0))}


def backbone_of(features: Path) -> str:
    """Say in words which network the features come from, and whether it has seen labels."""
    with FeatureCache(features) as cache:
        description = cache.description
    name, target = description.get("arch", "unknown"), description.get("finetuned_on")
    return f"{name}, fine-tuned on {target}" if target else f"{name}, frozen"


def _scores(data: LabelledFeatures, probabilities: np.ndarray) -> dict[str, dict]:
    splits = {split: data.rows(split) for split in ("test", "val", "train")}
    return {split: score(data.labels[rows], probabilities[rows]) for split, rows in splits.items()}


def _write_tables(data: LabelledFeatures, probabilities: np.ndarray, destination: Path) -> None:
    classes, predicted = np.array(data.classes, dtype=object), probabilities.argmax(axis=1)
    predictions = data.table[["image", "sha256", "split"]].assign(
        y_true=data.table[data.target], y_pred=classes[predicted], confidence=probabilities.max(axis=1)
    )
    write_table(predictions, destination / "predictions.csv")
    train_counts = np.bincount(data.labels[data.rows("train")], minlength=len(classes))
    for split, suffix in (("test", ""), ("val", "_val")):
        y_true, y_pred = data.labels[data.rows(split)], predicted[data.rows(split)]
        write_table(confusion_table(y_true, y_pred, data.classes), destination / f"confusion{suffix}.csv")
        per_class = per_class_table(y_true, y_pred, data.classes, train_counts)
        write_table(per_class, destination / f"per_class{suffix}.csv")
    # One row per test image, which is what DVC's confusion template counts.
    test = data.rows("test")
    rows = pd.DataFrame({"y_true": classes[data.labels[test]], "y_pred": classes[predicted[test]]})
    write_table(rows, destination / "plots" / "confusion.csv")


def _summary(target: str, metrics: dict) -> str:
    rows = {"head": metrics["test"]} | {name: scores["test"] for name, scores in metrics["baselines"].items()}
    lines = [f"{target + ' (test)':<22}{'accuracy':>10}{'macro F1':>10}{'log-loss':>10}{'images':>8}"]
    lines += [
        f"{name:<22}{s['accuracy']:>10.3f}{s['f1_macro']:>10.3f}{s['log_loss']:>10.3f}{s['n']:>8}"
        for name, s in rows.items()
    ]
    return "\n".join([*lines, metrics["comparison"]["test"]["words"]])
