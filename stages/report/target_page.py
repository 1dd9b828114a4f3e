"""One target's page: scores, curves, calibration, classes, confusions, traits, clusters and galleries of outliers.

In: what train, evaluate and find-outliers wrote for the target. Out: `reports/pages/TARGET.html`.
"""

from pathlib import Path

import pandas as pd

from cache.atomic import write_text
from stages.core.pages import charts
from stages.core.pages.render import render
from stages.core.pages.thumbnails import make_thumbnails
from stages.report.error_analysis import ErrorAnalysis, read_error_analysis
from stages.report.galleries import choose_thumbnail_sizes, make_galleries, make_matrix
from stages.report.inputs import (
    ReportInputs,
    TargetResults,
    read_backbone,
    read_digests,
    read_fingerprint,
    read_results,
)
from stages.report.provenance import describe_target
from stages.report.score_rows import list_models, make_score_rows
from stages.report.settings import TEMPLATES, ReportSettings

CURVE_TITLES = {"loss": "Loss", "accuracy": "Accuracy", "f1_macro": "Macro F1"}
BARS_CLASSES = 60
TRAITS_DRAWN = 20
CLUSTER_EXAMPLES = 8
# Cards of a gallery shown before a person asks for all: whole rows on most screens.
CARDS_FIRST = 20


def write_target_page(
    *, settings: ReportSettings, inputs: ReportInputs, target: str, destination: Path, n_jobs: int = -1
) -> Path:
    """Write `destination/pages/TARGET.html`; parameters and errors as in `write_report`."""
    found, analysis = read_results(target, inputs), read_error_analysis(target, inputs.results)
    models = list_models(found.metrics)
    matrix = make_matrix(found, settings)
    galleries = make_galleries(found, settings.gallery_size)
    examples = [image for cluster in analysis.clusters for image in cluster.examples[:CLUSTER_EXAMPLES]]
    sizes = dict.fromkeys(examples, settings.thumbnail_px)
    sizes |= choose_thumbnail_sizes(matrix, galleries, settings.thumbnail_px) | sizes
    html = render(
        "target.html",
        folder=TEMPLATES,
        target=target,
        page="",
        # No link to the other targets' pages: then a further target changes none of them.
        targets=[target],
        root="../",
        backbone=read_backbone(inputs.backbone),
        thumbnails=make_thumbnails(inputs.images, sizes, digests=read_digests(inputs), n_jobs=n_jobs),
        metrics=found.metrics,
        models=models,
        score_rows={split: make_score_rows(found.metrics, models, split) for split in ("test", "val")},
        curves=_draw_curves(found),
        reliability=_draw_reliability(analysis),
        per_class=found.per_class,
        bars=_draw_bars(found.per_class),
        matrix=matrix,
        analysis=analysis,
        traits=_draw_traits(analysis),
        traits_drawn=TRAITS_DRAWN,
        cluster_examples=CLUSTER_EXAMPLES,
        cards_first=CARDS_FIRST,
        galleries=galleries,
        classes=found.confusion.classes,
        provenance=describe_target(found, read_fingerprint(inputs.features), settings),
    )
    page = destination / "pages" / f"{target}.html"
    write_text(page, html)
    return page


def _draw_curves(found: TargetResults) -> list[charts.Chart]:
    return [
        charts.draw_learning_curve(
            found.curves[metric], title=title, best_epoch=found.head.get("epoch"), lower_is_better=metric == "loss"
        )
        for metric, title in CURVE_TITLES.items()
        if len(found.curves[metric])
    ]


def _draw_reliability(analysis: ErrorAnalysis) -> charts.Chart | None:
    """Draw the test split's bins that hold predictions."""
    if analysis.reliability is None:
        return None
    bins = analysis.reliability
    bins = bins[(bins["split"] == "test") & (bins["n"] > 0)]
    return charts.draw_reliability(bins) if len(bins) else None


def _draw_bars(per_class: pd.DataFrame) -> charts.Chart | None:
    """Draw the classes with the most test images; the table next to the chart has all."""
    largest = per_class.sort_values("support", ascending=False, kind="stable").head(BARS_CLASSES)
    return charts.draw_class_bars(largest) if len(largest) else None


def _draw_traits(analysis: ErrorAnalysis) -> charts.Chart | None:
    """Draw the first significant traits; the first of all if none is significant."""
    if analysis.traits is None or analysis.significant is None:
        return None
    drawn = analysis.significant if len(analysis.significant) else analysis.traits
    drawn = drawn[(drawn[["odds_ratio", "ci_low", "ci_high"]] > 0).all(axis=1)].head(TRAITS_DRAWN)
    return charts.draw_odds_ratios(drawn) if len(drawn) else None
