"""One target's page: scores, curves, calibration, classes, confusions, traits, clusters and galleries of outliers.

In: what train, evaluate and find-outliers wrote for the target. Out: `reports/pages/TARGET.html`.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from cache.atomic import write_text
from stages.core.pages import charts
from stages.core.pages.render import render
from stages.core.pages.thumbnails import make_thumbnails
from stages.report import galleries, tables
from stages.report.outlier_study import Study, read_study
from stages.report.settings import TEMPLATES, ReportSettings
from stages.report.sources import Results, read_backbone, read_fingerprint, read_results

CURVE_TITLES = {"loss": "Loss", "accuracy": "Accuracy", "f1_macro": "Macro F1"}
BARS_CLASSES = 60
TRAITS_DRAWN = 20
CLUSTER_EXAMPLES = 8
# Cards of a gallery that are shown before a person asks for all: whole rows on most screens.
CARDS_FIRST = 20


def write_page(
    *,
    settings: ReportSettings,
    target: str,
    images: Path,
    backbone: Path,
    features: Path,
    heads: Path,
    results: Path,
    destination: Path,
    n_jobs: int = -1,
) -> Path:
    """Write one target's page, `destination/pages/TARGET.html`; parameters and errors as in `write_report`."""
    found, study = read_results(target, heads=heads, results=results), read_study(target, results)
    models = tables.models(found.metrics)
    matrix = galleries.matrix(found, settings)
    shown = galleries.galleries(found.outliers, settings.gallery_size, found.confusion.classes)
    examples = [image for cluster in study.clusters for image in cluster.examples[:CLUSTER_EXAMPLES]]
    sizes = dict.fromkeys(examples, settings.thumbnail_px)
    sizes |= galleries.thumbnail_sizes(matrix, shown, settings.thumbnail_px) | sizes
    html = render(
        "target.html",
        folder=TEMPLATES,
        target=target,
        page="",
        # No link to the other targets' pages: then a further target changes none of them.
        targets=[target],
        root="../",
        backbone=read_backbone(backbone),
        thumbnails=make_thumbnails(images, sizes, n_jobs=n_jobs),
        metrics=found.metrics,
        models=models,
        score_rows={split: tables.score_rows(found.metrics, models, split) for split in ("test", "val")},
        curves=_curves(found),
        reliability=_reliability(study),
        per_class=found.per_class,
        bars=_bars(found.per_class),
        matrix=matrix,
        study=study,
        traits=_traits(study),
        traits_drawn=TRAITS_DRAWN,
        cluster_examples=CLUSTER_EXAMPLES,
        cards_first=CARDS_FIRST,
        galleries=shown,
        classes=found.confusion.classes,
        provenance=_provenance(found, read_fingerprint(features), settings),
    )
    page = destination / "pages" / f"{target}.html"
    write_text(page, html)
    return page


def _curves(found: Results) -> list[charts.Chart]:
    return [
        charts.learning_curve(
            found.curves[metric], title=title, best_epoch=found.head.get("epoch"), lower_is_better=metric == "loss"
        )
        for metric, title in CURVE_TITLES.items()
        if len(found.curves[metric])
    ]


def _reliability(study: Study) -> charts.Chart | None:
    """The test split's bins that hold predictions."""
    if study.reliability is None:
        return None
    bins = study.reliability
    bins = bins[(bins["split"] == "test") & (bins["n"] > 0)]
    return charts.reliability(bins) if len(bins) else None


def _bars(per_class: pd.DataFrame) -> charts.Chart | None:
    """Bars of the classes with the most test images; the table beside them has all."""
    largest = per_class.sort_values("support", ascending=False, kind="stable").head(BARS_CLASSES)
    return charts.class_bars(largest) if len(largest) else None


def _traits(study: Study) -> charts.Chart | None:
    """The forest plot of the first traits; of those that chance explains badly, if there are any."""
    if study.traits is None or study.significant is None:
        return None
    drawn = study.significant if len(study.significant) else study.traits
    drawn = drawn[(drawn[["odds_ratio", "ci_low", "ci_high"]] > 0).all(axis=1)].head(TRAITS_DRAWN)
    return charts.forest(drawn) if len(drawn) else None


def _provenance(
    found: Results, features: dict[str, Any], settings: ReportSettings
) -> list[tuple[str, list[tuple[str, str]]]]:
    """Titled lists of names and values."""
    head = {name: value for name, value in found.head.items() if name not in ("classes", "settings")}
    if found.training_s is not None:
        head["training took"] = f"{found.training_s:.1f} s"
    description = features.get("description", {})
    shape = {name: features[name] for name in features if name != "description"}
    return [
        ("Head", list(tables.flattened(head))),
        ("Settings", list(tables.flattened(found.head.get("settings", {}) | {"report": settings.model_dump()}))),
        ("Features", list(tables.flattened(shape | {"made by": description}))),
        ("SHA-256 of the files behind this page", list(found.digests.items())),
        ("Libraries that wrote this page", tables.library_versions()),
    ]
