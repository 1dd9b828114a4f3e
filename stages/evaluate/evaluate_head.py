"""The evaluate stage: predictions for every image, and scores on each split, of the head and of baselines.

In: a head, the feature cache, the splits. Out: `metrics.json`, `predictions.csv`, `confusion.csv` and `per_class.csv`
of test (`…_val.csv` of val), `reliability.csv`, `plots/confusion.csv` in `reports/TARGET/`. Only this stage scores the
test split.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax

from cache.atomic import write_text
from stages.core.errors import StageError
from stages.core.features.artefact import describe_backbone
from stages.core.features.labelled import LabelledFeatures, check_finite, collection_inputs, load_labelled_features
from stages.core.head.files import check_same_data, head_inputs, load_head
from stages.core.head.predict_logits import predict_rows
from stages.core.head.protocol import Head
from stages.core.head.registry import HEADS
from stages.core.records import producers
from stages.core.records.outputs import write_outputs
from stages.core.records.reading import check_links, digest_inputs
from stages.core.scoring.calibration import expected_calibration_error, tabulate_reliability
from stages.core.scoring.metrics import score, tabulate_classes, tabulate_confusion
from stages.core.scoring.uncertainty import compare_paired, measure_uncertainty
from stages.core.tables.csv_files import write_table
from stages.evaluate.baselines import fit_logistic_regression, predict_majority
from stages.evaluate.settings import EvaluateSettings

MAJORITY, LOGISTIC = "majority", "logistic_regression"
Scores = dict[str, Any]


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
    inputs = [*collection_inputs(features=features, splits=splits, target=target), *head_inputs(head)]
    digests = digest_inputs(inputs)  # before anything is read: a file that changes meanwhile is found later
    data = load_labelled_features(target, features=features, splits=splits)
    trained = load_head(head)
    check_same_data(trained[1], data)
    check_links(inputs, digests)
    made_from = {source.name: digests[source.name] for source in inputs}
    recorded = settings.model_dump(mode="json")
    with write_outputs(producers.EVALUATE, destination, settings=recorded, inputs=made_from, target=target) as outputs:
        return _evaluate(data, trained, settings, features, outputs.path(destination))


def _evaluate(
    data: LabelledFeatures,
    trained: tuple[Head[Any], dict[str, Any]],
    settings: EvaluateSettings,
    features: Path,
    destination: Path,
) -> str:
    model, card = trained
    pooled = data.pooled()
    check_finite(data, pooled, features)
    logits = predict_rows(model, data.features, np.arange(len(data.table)))
    probabilities = softmax(logits / card["temperature"], axis=1)
    train, val = data.rows("train"), data.rows("val")
    baseline, strength = fit_logistic_regression(pooled, data.labels, train, val, settings.logistic_regression_C)
    title = HEADS[model.settings.kind].title
    models = {
        title: probabilities,
        MAJORITY: predict_majority(data.labels, train, len(data.classes)),
        LOGISTIC: baseline,
    }
    scores = {name: _score_splits(data, found) for name, found in models.items()}
    comparison = _add_uncertainty(scores, models, data, settings.resamples)
    metrics = scores.pop(title) | {"baselines": scores, "comparison": comparison}
    metrics["baselines"][LOGISTIC]["C"] = strength
    metrics["calibration"] = _measure_calibration(data, logits, probabilities, card["temperature"])
    if settings.tta_views > 1:
        metrics["multi_view"] = _score_views(model, data, card["temperature"], settings)
    metrics["backbone"] = describe_backbone(features)
    _write_tables(data, probabilities, destination)
    write_table(_tabulate_reliability(data, logits, probabilities), destination / "reliability.csv")
    write_text(destination / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    return _summarise(data.target, metrics, len(data.classes))


def _add_uncertainty(
    scores: dict[str, Scores], models: dict[str, np.ndarray], data: LabelledFeatures, resamples: int
) -> Scores:
    """Add intervals to every model's val and test scores; compare the first one with the logistic regression."""
    head, comparison = next(iter(models)), {}
    for split in ("val", "test"):
        rows = data.rows(split)
        probabilities = {name: found[rows] for name, found in models.items()}
        groups = data.table["group"].to_numpy()[rows]
        uncertainty = measure_uncertainty(data.labels[rows], probabilities, groups, resamples)
        observed = {name: found[split] for name, found in scores.items()}
        comparison[split] = compare_paired(uncertainty, observed, head, LOGISTIC)
        for name, found in uncertainty.items():
            scores[name][split] |= found.intervals()
    return comparison


def _measure_calibration(
    data: LabelledFeatures, logits: np.ndarray, probabilities: np.ndarray, temperature: float
) -> Scores:
    """Compute the expected calibration error before and after temperature scaling."""
    before = softmax(logits, axis=1)
    found: Scores = {"temperature": temperature}
    for split in ("val", "test"):
        rows = data.rows(split)
        errors = [expected_calibration_error(data.labels[rows], p[rows]) for p in (before, probabilities)]
        found[split] = dict(zip(("ece_before", "ece_after"), errors, strict=True))
    return found


def _tabulate_reliability(data: LabelledFeatures, logits: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """Tabulate the bins of the reliability diagram, of val and test, before and after temperature scaling."""
    tables = []
    for split in ("val", "test"):
        rows = data.rows(split)
        for stage, found in (("before", softmax(logits, axis=1)), ("after", probabilities)):
            bins = tabulate_reliability(data.labels[rows], found[rows])
            bins.insert(0, "scaling", stage)
            bins.insert(0, "split", split)
            tables.append(bins)
    return pd.concat(tables, ignore_index=True)


def _score_views(model: Head[Any], data: LabelledFeatures, temperature: float, settings: EvaluateSettings) -> Scores:
    """Score the test split by the mean of its images' probabilities in several views (test-time augmentation).

    `comparison` is with the centre view alone, on the same images.
    """
    views, rows = settings.tta_views, data.rows("test")
    if views > (cached := data.features.shape[1]):
        raise StageError(
            f"evaluate.tta_views is {views}, the cache has {cached}: set features.views to {views} or more"
        )
    each = [softmax(predict_rows(model, data.features, rows, view) / temperature, axis=1) for view in range(views)]
    several, alone = f"mean of {views} views", "the centre view"
    found = {several: np.mean(each, axis=0), alone: each[0]}
    y_true, groups = data.labels[rows], data.table["group"].to_numpy()[rows]
    uncertainty = measure_uncertainty(y_true, found, groups, settings.resamples)
    scores = {name: score(y_true, probabilities) for name, probabilities in found.items()}
    comparison = {"test": compare_paired(uncertainty, scores, several, alone)}
    return {"views": views, "test": scores[several] | uncertainty[several].intervals(), "comparison": comparison}


def _score_splits(data: LabelledFeatures, probabilities: np.ndarray) -> Scores:
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
        write_table(tabulate_confusion(y_true, y_pred, data.classes), destination / f"confusion{suffix}.csv")
        per_class = tabulate_classes(y_true, y_pred, data.classes, train_counts)
        write_table(per_class, destination / f"per_class{suffix}.csv")
    # One row per test image, as DVC's confusion template expects.
    test = data.rows("test")
    rows = pd.DataFrame({"y_true": classes[data.labels[test]], "y_pred": classes[predicted[test]]})
    write_table(rows, destination / "plots" / "confusion.csv")


def _summarise(target: str, metrics: Scores, classes: int) -> str:
    rows = {"head": metrics["test"]} | {name: scores["test"] for name, scores in metrics["baselines"].items()}
    compared = [metrics["comparison"]["test"]["words"]]
    if several := metrics.get("multi_view"):
        rows[f"head, mean of {several['views']} views"] = several["test"]
        ends = [_in_words(several["test"], measure) for measure in ("accuracy", "f1_macro")]
        compared.append(f"mean of {several['views']} views, 95 % intervals: accuracy {ends[0]}, macro F1 {ends[1]}.")
        compared.append(several["comparison"]["test"]["words"])
    lines = [f"{target + ' (test)':<22}{'accuracy':>10}{'macro F1':>10}{'log-loss':>10}{'images':>8}"]
    lines += [
        f"{name:<22}{s['accuracy']:>10.3f}{s['f1_macro']:>10.3f}{s['log_loss']:>10.3f}{s['n']:>8}"
        for name, s in rows.items()
    ]
    if (scored := metrics["test"]["classes"]) < classes:
        lines.append(f"macro F1 is over the {scored} of {classes} classes that have a test image")
    return "\n".join([*lines, *compared])


def _in_words(scores: Scores, measure: str) -> str:
    return f"{scores[f'{measure}_low']:.3f} to {scores[f'{measure}_high']:.3f}"
