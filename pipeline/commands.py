"""The sub-commands, in the order in which they run.

In: the settings and a command's options. Out: one call of a stage, and its summary on the terminal. The stages are
imported inside the commands, so that `pipeline --help` is fast.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.options import with_params
from pipeline.paths import PATHS
from stages.score.protocols import PROTOCOLS

if TYPE_CHECKING:
    from pipeline.params import Params
    from stages.core.images.files import ImageFolder

ALL = "all"
target_option = click.option("--target", required=True, metavar="COLUMN", help="Label column to work on.")


def n_jobs_option(default: str) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """Make the option for parallel trainings; a command gets None where it is not given."""
    text = f"Train this many heads in parallel; -1: one per core.  [default: {default}]"
    return click.option("--n-jobs", type=click.IntRange(min=-1024), metavar="N", callback=_not_zero, help=text)


def _not_zero(context: click.Context, option: click.Parameter, n_jobs: int | None) -> int | None:
    if n_jobs == 0:
        raise click.BadParameter("must not be 0: -1 takes every core")
    return n_jobs


@click.command("paint-demo")
@with_params
def paint_demo(params: Params) -> None:
    """Paint the demo collection, with planted faults."""
    from stages.demo.collection import paint_collection

    click.echo(paint_collection(settings=params.demo, root=PATHS.demo, n_jobs=params.parallel.n_jobs))


@click.command()
@click.option("--allow-missing", is_flag=True, help="Accept labels without files (dataset.allow_missing).")
@click.option("--check-targets", is_flag=True, help="Fail if one of `targets` is no label column.")
@with_params
def ingest(params: Params, allow_missing: bool, check_targets: bool) -> None:
    """Read labels from any source into one manifest."""
    from stages.ingest.ingest_labels import ingest_labels

    summary = ingest_labels(
        settings=params.dataset.model_copy(update={"allow_missing": allow_missing or params.dataset.allow_missing}),
        manifest=PATHS.manifest,
        problems=PATHS.ingest_problems,
        review=PATHS.review,
        targets=params.targets,
        require_targets=check_targets,
    )
    click.echo(summary)


@click.command()
@click.option("--allow-missing", is_flag=True, help="Keep rows whose file is missing, as clean.allow_missing does.")
@with_params
def clean(params: Params, allow_missing: bool) -> None:
    """Drop images that cannot be used and group duplicates."""
    from stages.clean.clean_images import clean_images

    summary = clean_images(
        settings=params.clean.model_copy(update={"allow_missing": allow_missing or params.clean.allow_missing}),
        manifest=PATHS.manifest,
        images=Path(params.dataset.images),
        clean=PATHS.clean,
        rejected=PATHS.rejected,
        conflicts=PATHS.conflicts,
        scan=PATHS.scan,
    )
    click.echo(summary)


@click.command()
@with_params
def split(params: Params) -> None:
    """Divide the images into train, val and test."""
    from stages.split.split_images import split_images

    summary = split_images(settings=params.split, clean=PATHS.clean, splits=PATHS.splits, report=PATHS.split_report)
    click.echo(summary)


@click.command("prepare-backbone")
@with_params
def prepare_backbone(params: Params) -> None:
    """Fetch, make or fine-tune the weights of the network."""
    from stages.backbone.prepare_backbone import prepare_backbone

    summary = prepare_backbone(
        settings=params.backbone,
        features=params.features,
        splits=PATHS.splits,
        images=_image_folder(params),
        weights=PATHS.backbone,
        n_jobs=params.parallel.n_jobs,
    )
    if summary:  # under torchrun, one process speaks
        click.echo(summary)


@click.command("extract-features")
@click.option("--allow-failed", is_flag=True, help="Exit with 0 although some images could not be read.")
@with_params
def extract_features(params: Params, allow_failed: bool) -> None:
    """Compute every image's features, once.

    An image that cannot be read any more is left out, and data/features/failed.csv says why. All others are published,
    but the exit code is 1 unless --allow-failed is given.
    """
    from stages.extract.extract_features import extract_features, failed_images

    summary = extract_features(
        settings=params.features,
        arch=params.backbone.arch,
        splits=PATHS.splits,
        images=_image_folder(params),
        backbone=PATHS.backbone,
        store=PATHS.store,
        destination=PATHS.features,
        n_jobs=params.parallel.n_jobs,
    )
    click.echo(summary)
    if not allow_failed and (failed := failed_images(PATHS.features)):
        raise click.ClickException(
            f"{failed} images could not be read and are left out, see {PATHS.features / 'failed.csv'}; all others are "
            "published: run `pipeline clean` again, or accept it with --allow-failed"
        )


@click.command("train-head")
@click.option("--target", required=True, metavar="COLUMN", help="Label column to work on; `all`: those of `targets`.")
@n_jobs_option("1")
@with_params
def train_head(params: Params, target: str, n_jobs: int | None) -> None:
    """Train an LSTM head on cached features.

    `--target all` loads the features once for all label columns; --n-jobs trains their heads in parallel.
    """
    from stages.core.head.recipe import Recipe
    from stages.train.train_heads import train_heads

    for summary in train_heads(
        targets=params.targets if target == ALL and ALL not in params.targets else [_checked(target)],
        recipe=Recipe(head=params.head, train=params.train),
        features=PATHS.features,
        splits=PATHS.splits,
        heads=PATHS.heads,
        work=PATHS.training,
        manifest=PATHS.manifest,
        n_jobs=1 if n_jobs is None else n_jobs,
    ):
        click.echo(summary)


@click.command()
@target_option
@click.option("--trials", type=click.IntRange(min=1), help="Train this many heads in all (tune.trials).")
@n_jobs_option("parallel.n_jobs")
@click.option("--write", is_flag=True, help="Write the best settings to the settings file (comments preserved).")
@with_params
def tune(params: Params, target: str, trials: int | None, n_jobs: int | None, write: bool) -> None:
    """Search the settings of a head, on val only.

    An interrupted search resumes; a finished one prints its results. With --n-jobs 1 the same seed gives the same
    trials; in parallel, each trial learns from those that have finished by then.
    """
    from pipeline.params import write_values
    from stages.core.head.recipe import Recipe
    from stages.tune.tune_head import tune_head

    found = tune_head(
        target=_checked(target),
        settings=params.tune.model_copy(update={"trials": trials or params.tune.trials}),
        recipe=Recipe(head=params.head, train=params.train),
        features=PATHS.features,
        splits=PATHS.splits,
        work=PATHS.tuning / target,
        manifest=PATHS.manifest,
        n_jobs=params.parallel.n_jobs if n_jobs is None else n_jobs,
    )
    click.echo(found.text)
    if not write:
        return
    path = click.get_current_context().params["params_file"]
    if found.better:
        write_values(path, found.values)
        click.echo(f"{path} now holds them: run `pipeline train-head --target {target}`, or `dvc repro`, next.")
    else:
        click.echo(f"{path} already holds the best settings.")


@click.command()
@target_option
@with_params
def evaluate(params: Params, target: str) -> None:
    """Score a head and its baselines on val and test."""
    from stages.evaluate.evaluate_head import evaluate_head

    summary = evaluate_head(
        target=_checked(target),
        settings=params.evaluate,
        features=PATHS.features,
        splits=PATHS.splits,
        head=PATHS.heads / target,
        destination=PATHS.reports / target,
    )
    click.echo(summary)


@click.command()
@click.option("--protocol", required=True, type=click.Choice(list(PROTOCOLS)), help="Which lists, or the own split.")
@click.option("--target", "targets", multiple=True, metavar="COLUMN", help="Protocol own: only this label; repeatable.")
@click.option("--seeds", type=click.IntRange(min=1), help="Train so many heads per target and fold (score.seeds).")
@click.option("--folds", type=click.IntRange(min=3), help="Protocol own: cross-validate (score.folds).")
@n_jobs_option("parallel.n_jobs")
@with_params
def score(
    params: Params, protocol: str, targets: tuple[str, ...], seeds: int | None, folds: int | None, n_jobs: int | None
) -> None:
    """Score several seeds under a protocol, as a table.

    The artgan protocols need the project's split to follow that list. Tables are written to reports/scores/PROTOCOL, as
    JSON, Markdown and LaTeX. An interrupted run resumes.
    """
    from stages.core.head.recipe import Recipe
    from stages.score.score_protocol import ScorePaths, score_protocol

    changed = {key: value for key, value in (("seeds", seeds), ("folds", folds)) if value is not None}
    summary = score_protocol(
        protocol=protocol,
        targets=[_checked(target) for target in targets] or params.targets,
        settings=params.score.model_copy(update=changed),
        recipe=Recipe(head=params.head, train=params.train),
        paths=ScorePaths(
            features=PATHS.features,
            manifest=PATHS.manifest,
            splits=PATHS.splits,
            split_report=PATHS.split_report,
            backbone=PATHS.backbone.with_suffix(".json"),
            work=PATHS.scoring / protocol,
            destination=PATHS.scores / protocol,
        ),
        n_jobs=params.parallel.n_jobs if n_jobs is None else n_jobs,
    )
    click.echo(f"{summary}\nSee {PATHS.scores / protocol}: score.md, score.tex, score.json.")


@click.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B", default="workspace")
@click.option("--target", "targets", multiple=True, metavar="COLUMN", help="Only this label column; repeatable.")
@with_params
def compare(params: Params, a: str, b: str, targets: tuple[str, ...]) -> None:
    """Compare two runs on the test images that both have.

    A and B are folders (a project, its reports, or reports/TARGET), git revisions, or experiments of `dvc exp`; B is
    the present files by default. Writes reports/comparison and reports/comparison.html; no other file changes.
    """
    from pipeline.other_settings import WITHOUT_EFFECT
    from stages.compare.compare_runs import compare_runs

    summary = compare_runs(
        a=a,
        b=b,
        root=PATHS.root,
        destination=PATHS.comparison,
        settings=params.compare,
        targets=[_checked(target) for target in targets],
        without_effect=WITHOUT_EFFECT,
    )
    click.echo(f"{summary}\nSee {PATHS.comparison}: comparison.md, changes.csv, comparison.json.")
    click.echo(f"Open {report_comparison(params)} in a browser.")


@click.command("find-outliers")
@target_option
@with_params
def find_outliers(params: Params, target: str) -> None:
    """List the artworks that do not fit, and what they share."""
    from stages.outliers.find_outliers import ImagesToMeasure, find_outliers

    summary = find_outliers(
        target=_checked(target),
        settings=params.outliers,
        features=PATHS.features,
        splits=PATHS.splits,
        head=PATHS.heads / target,
        destination=PATHS.reports / target,
        images=ImagesToMeasure(_image_folder(params), PATHS.measures),
        n_jobs=params.parallel.n_jobs,
    )
    click.echo(summary)


@click.command()
@click.option("--page", "pages", multiple=True, metavar="COLUMN", help="Write only this label's page; repeatable.")
@click.option("--index", "only", flag_value="index", help="Write only the index and the self-check.")
@click.option("--data", "only", flag_value="data", help="Write only the page about the data.")
@click.option("--coordinates", "only", flag_value="coordinates", help="Compute only the images' places on the map.")
@click.option("--comparison", "only", flag_value="comparison", help="Write only the page of `pipeline compare`.")
@click.option("--map", "only", flag_value="map", help="Write only the map, from existing coordinates.")
@with_params
def report(params: Params, pages: tuple[str, ...], only: str | None) -> None:
    """Write the report: web pages that open from the disk."""
    for target in pages:
        click.echo(report_page(params, _checked(target)))
    if only:
        parts = {
            "coordinates": report_coordinates,
            "data": report_data,
            "map": report_map,
            "index": report_index,
            "comparison": report_comparison,
        }
        click.echo(parts[only](params))
    elif not pages:
        click.echo(report_coordinates(params))
        if (PATHS.comparison / "comparison.json").is_file():
            click.echo(report_comparison(params))
        click.echo(f"Open {report_all(params)} in a browser.")


def report_all(params: Params) -> Path:
    """Write every page from existing coordinates."""
    from stages.report.write_report import write_report

    return _write_pages(write_report, params, targets=params.targets)


def report_coordinates(params: Params) -> str:
    """Compute the images' places on the map."""
    from stages.report.coordinates import write_coordinates

    return write_coordinates(
        random_state=params.report.map_random_state, features=PATHS.features, destination=PATHS.coordinates
    )


def report_page(params: Params, target: str) -> Path:
    """Write one target's page."""
    from stages.report.target_page import write_target_page

    return _write_pages(write_target_page, params, target=target)


def report_data(params: Params) -> Path:
    """Write the page about the data."""
    from stages.report.data_page import write_data_page

    return _write_pages(write_data_page, params, targets=params.targets)


def report_map(params: Params) -> Path:
    """Write the map."""
    from stages.report.map_page import write_map

    return _write_pages(write_map, params, targets=params.targets)


def report_comparison(params: Params) -> Path:
    """Write the page of the last `pipeline compare`."""
    from stages.report.comparison_page import write_comparison_page

    return _write_pages(write_comparison_page, params)


def report_index(params: Params) -> Path:
    """Write the index and the self-check."""
    from stages.report.index_page import write_index

    return _write_pages(write_index, params, targets=params.targets)


def _write_pages(write: Callable[..., Path], params: Params, **targets: object) -> Path:
    from cache.atomic import make_folder
    from cache.lock import hold_lock
    from stages.report.inputs import ReportInputs

    inputs = ReportInputs(
        images=_image_folder(params),
        manifest=PATHS.manifest,
        ingest_problems=PATHS.ingest_problems,
        rejected=PATHS.rejected,
        conflicts=PATHS.conflicts,
        splits=PATHS.splits,
        split_report=PATHS.split_report,
        backbone=PATHS.backbone.with_suffix(".json"),
        features=PATHS.features,
        heads=PATHS.heads,
        results=PATHS.reports,
        coordinates=PATHS.coordinates,
        answer_key=_answer_key(params),
    )
    make_folder(PATHS.reports)
    with hold_lock(PATHS.reports / ".report.lock", "`pipeline report`"):
        return write(
            settings=params.report, inputs=inputs, destination=PATHS.reports, n_jobs=params.parallel.n_jobs, **targets
        )


def _answer_key(params: Params) -> Path | None:
    """The list of planted faults, in the folder of the label table, if there is one."""
    if params.dataset.source not in ("csv", "parquet") or params.dataset.labels is None:
        return None
    key = Path(params.dataset.labels).with_name("answer_key.csv")
    return key if key.is_file() else None


@click.command()
@target_option
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port to listen on; a free one by default.")
@click.option("--no-browser", is_flag=True, help="Print the address, and open no browser.")
@with_params
def review(params: Params, target: str, port: int, no_browser: bool) -> None:
    """Mark suspects as wrong, bad or fine, in a browser.

    The pages are served to this machine only, until Ctrl-C. Decisions are saved in data/review.csv; run `dvc repro`
    afterwards to apply them.
    """
    from stages.review.review_suspects import ReviewPaths, review_suspects

    summary = review_suspects(
        target=_checked(target),
        settings=params.review,
        paths=ReviewPaths(PATHS.reports, PATHS.splits, _image_folder(params), PATHS.review),
        port=port,
        open_browser=not no_browser,
        announce=click.echo,
    )
    click.echo(summary)


@click.command()
# Not click.Path, which looks at each file and would wait for a disk that does not answer.
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...", type=Path)
@click.option("--target", "targets", multiple=True, metavar="COLUMN", help="Only this label column; repeatable.")
@click.option("--top", type=click.IntRange(min=1), default=3, show_default=True, help="Labels to show per target.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@with_params
def predict(params: Params, images: tuple[Path, ...], targets: tuple[str, ...], top: int, as_json: bool) -> None:
    """Predict the labels of image files."""
    from stages.predict.predict_images import predict_images, predictions_as_text

    predictions = predict_images(
        images=images,
        targets=[_checked(target) for target in targets] or None,
        top=top,
        settings=params.features,
        arch=params.backbone.arch,
        limits=_image_folder(params).limits,
        backbone=PATHS.backbone,
        heads=PATHS.heads,
    )
    click.echo(json.dumps(predictions, indent=2, ensure_ascii=False) if as_json else predictions_as_text(predictions))
    if failed := sum("error" in prediction for prediction in predictions):
        raise click.ClickException(f"{failed} of {len(images)} files could not be read, see above")


def _image_folder(params: Params) -> ImageFolder:
    """The image root, with the limits that clean enforces."""
    from stages.core.images.files import ImageFolder, ImageLimits

    return ImageFolder(Path(params.dataset.images), ImageLimits(params.clean.max_pixels, params.clean.timeout_s))


def _checked(target: str) -> str:
    """Refuse a target that could not name a folder."""
    from stages.core.tables.columns import label_name_problem

    if problem := label_name_problem(target):
        raise click.BadParameter(f"{target!r} {problem}", param_hint="--target")
    return target


# In the order in which they run, which is the order of `pipeline --help`.
COMMANDS: tuple[click.Command, ...] = (
    paint_demo,
    ingest,
    clean,
    split,
    prepare_backbone,
    extract_features,
    train_head,
    tune,
    evaluate,
    score,
    compare,
    find_outliers,
    report,
    review,
    predict,
)
