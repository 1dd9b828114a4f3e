"""The sub-commands, in the order in which they run: each reads the settings, calls one stage, prints what came out.

The stages are imported inside the commands, so that `pipeline --help` answers at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli import cli, with_params
from pipeline.paths import Paths

if TYPE_CHECKING:
    from pipeline.params import Params

PATHS = Paths()
ALL = "all"
target_option = click.option("--target", required=True, metavar="COLUMN", help="Label column to work on.")


def n_jobs_option(default: str) -> Callable:
    """The option for trainings side by side; None is passed on where it is not given."""
    text = f"Trainings side by side, sharing the cores; -1: one per core.  [default: {default}]"
    return click.option("--n-jobs", type=click.IntRange(min=-1024), metavar="N", callback=_not_zero, help=text)


def _not_zero(context: click.Context, option: click.Parameter, n_jobs: int | None) -> int | None:
    if n_jobs == 0:
        raise click.BadParameter("must not be 0: -1 takes every core")
    return n_jobs


@cli.command("paint-demo")
@with_params
def paint_demo(params: Params) -> None:
    """Paint the demo collection, with planted faults."""
    from stages.demo.collection import paint_collection

    click.echo(paint_collection(settings=params.demo, root=PATHS.demo, n_jobs=params.parallel.n_jobs))


@cli.command()
@click.option("--allow-missing", is_flag=True, help="Take labels without files, as dataset.allow_missing does.")
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


@cli.command()
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


@cli.command()
@with_params
def split(params: Params) -> None:
    """Divide the images into train, val and test."""
    from stages.split.split_images import split_images

    summary = split_images(settings=params.split, clean=PATHS.clean, splits=PATHS.splits, report=PATHS.split_report)
    click.echo(summary)


@cli.command("prepare-backbone")
@with_params
def prepare_backbone(params: Params) -> None:
    """Fetch, make or fine-tune the weights of the network."""
    from stages.backbone.prepare_backbone import prepare_backbone

    summary = prepare_backbone(
        settings=params.backbone,
        features=params.features,
        splits=PATHS.splits,
        images=Path(params.dataset.images),
        max_pixels=params.clean.max_pixels,
        weights=PATHS.backbone,
        n_jobs=params.parallel.n_jobs,
    )
    if summary:  # under torchrun, one process speaks
        click.echo(summary)


@cli.command("extract-features")
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
        splits=PATHS.splits,
        images=Path(params.dataset.images),
        max_pixels=params.clean.max_pixels,
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


@cli.command("train-head")
@click.option("--target", required=True, metavar="COLUMN", help="Label column to work on; `all`: those of `targets`.")
@n_jobs_option("1")
@with_params
def train_head(params: Params, target: str, n_jobs: int | None) -> None:
    """Train an LSTM head on cached features.

    `--target all` loads the features once for all label columns; with --n-jobs their heads are trained side by side.
    """
    from stages.train.train_heads import train_heads

    train_heads(
        targets=params.targets if target == ALL and ALL not in params.targets else [_checked(target)],
        head_settings=params.head,
        train_settings=params.train,
        features=PATHS.features,
        splits=PATHS.splits,
        heads=PATHS.heads,
        work=PATHS.training,
        manifest=PATHS.manifest,
        n_jobs=1 if n_jobs is None else n_jobs,
        on_head=click.echo,
    )


@cli.command()
@target_option
@click.option("--trials", type=click.IntRange(min=1), help="Trainings in all, as tune.trials.")
@n_jobs_option("parallel.n_jobs")
@click.option("--write", is_flag=True, help="Put the best settings into the file of settings, its comments kept.")
@with_params
def tune(params: Params, target: str, trials: int | None, n_jobs: int | None, write: bool) -> None:
    """Search the settings of a head, on val only.

    Run again, a search that was stopped goes on, and one that has its trials only says what it found. With --n-jobs 1
    the same seed gives the same trials; side by side, what each learns from depends on which others have ended.
    """
    from pipeline.params import write_values
    from stages.tune.tune_head import tune_head

    found = tune_head(
        target=_checked(target),
        settings=params.tune.model_copy(update={"trials": trials or params.tune.trials}),
        head_settings=params.head,
        train_settings=params.train,
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
        click.echo(f"{path} has them now: run `pipeline train-head --target {target}`, or `dvc repro`, next.")
    else:
        click.echo(f"{path} has the best settings already.")


@cli.command()
@target_option
@with_params
def evaluate(params: Params, target: str) -> None:
    """Score a head on val and test, beside baselines."""
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


@cli.command("find-outliers")
@target_option
@with_params
def find_outliers(params: Params, target: str) -> None:
    """List the artworks that do not fit, and what they share."""
    from stages.outliers.find_outliers import find_outliers

    summary = find_outliers(
        target=_checked(target),
        settings=params.outliers,
        features=PATHS.features,
        splits=PATHS.splits,
        head=PATHS.heads / target,
        destination=PATHS.reports / target,
        images=Path(params.dataset.images),
        measures=PATHS.measures,
        max_pixels=params.clean.max_pixels,
        n_jobs=params.parallel.n_jobs,
    )
    click.echo(summary)


@cli.command()
@click.option("--page", "pages", multiple=True, metavar="COLUMN", help="Only this label column's page; repeatable.")
@click.option("--index", "only", flag_value="index", help="Only the front page.")
@click.option("--data", "only", flag_value="data", help="Only the page about the data.")
@click.option("--coordinates", "only", flag_value="coordinates", help="Only where each image lies on the map.")
@click.option("--map", "only", flag_value="map", help="Only the map, from the coordinates that there are.")
@with_params
def report(params: Params, pages: tuple[str, ...], only: str | None) -> None:
    """Write the pages to look at."""
    from stages.report.write_report import write_data_page, write_index, write_map, write_page, write_report

    if only in (None, "coordinates") and not pages:
        click.echo(_place_images(params))
    shared = {
        "settings": params.report,
        "images": Path(params.dataset.images),
        "destination": PATHS.reports,
        "n_jobs": params.parallel.n_jobs,
    }
    cards = {"backbone": PATHS.backbone.with_suffix(".json"), "features": PATHS.features}
    results = {"results": PATHS.reports}
    of_targets = {"targets": params.targets, "splits": PATHS.splits}
    tables = {"manifest": PATHS.manifest, "rejected": PATHS.rejected}
    findings = {
        "conflicts": PATHS.conflicts,
        "ingest_problems": PATHS.ingest_problems,
        "split_report": PATHS.split_report,
    }
    place = {"coordinates": PATHS.coordinates}
    key = {"answer_key": _answer_key(params)}
    heads = {"heads": PATHS.heads}
    for target in pages:
        click.echo(write_page(target=_checked(target), **heads, **results, **cards, **shared))
    if only == "data":
        click.echo(write_data_page(**of_targets, **tables, **findings, **cards, **shared))
    elif only == "map":
        click.echo(write_map(**of_targets, **place, **results, **shared))
    elif only == "index":
        click.echo(write_index(**of_targets, **tables, **key, **results, **cards, **shared))
    elif only is None and not pages:
        everything = of_targets | tables | findings | place | key | heads | results | cards | shared
        click.echo(f"Open {write_report(**everything)} in a browser.")


def _answer_key(params: Params) -> Path | None:
    """The list of planted faults, in the folder of the label table, if there is one."""
    labels = params.dataset.labels
    key = Path(labels).with_name("answer_key.csv") if labels is not None else None
    return key if key is not None and key.is_file() else None


def _place_images(params: Params) -> str:
    from stages.report.coordinates import write_coordinates

    return write_coordinates(
        random_state=params.report.map_random_state, features=PATHS.features, destination=PATHS.coordinates
    )


@cli.command()
@target_option
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port to listen on; by default a free one.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@with_params
def review(params: Params, target: str, port: int, no_browser: bool) -> None:
    """Mark suspects as wrong, bad or fine, in a browser.

    The pages are served to this machine only, until Ctrl-C. Decisions are kept in data/review.csv, and ingest applies
    them: run `dvc repro` afterwards.
    """
    from stages.review.review_suspects import review_suspects

    summary = review_suspects(
        target=_checked(target),
        settings=params.review,
        results=PATHS.reports,
        splits=PATHS.splits,
        images=Path(params.dataset.images),
        review=PATHS.review,
        port=port,
        open_browser=not no_browser,
        announce=click.echo,
    )
    click.echo(summary)


@cli.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...", type=click.Path(path_type=Path))
@click.option("--target", "targets", multiple=True, metavar="COLUMN", help="Only this label column; repeatable.")
@click.option("--top", type=click.IntRange(min=1), default=3, show_default=True, help="Labels to show per target.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@with_params
def predict(params: Params, images: tuple[Path, ...], targets: tuple[str, ...], top: int, as_json: bool) -> None:
    """Predict the labels of image files."""
    from stages.predict.predict_images import predict_images, predictions_as_text

    predictions = predict_images(
        images,
        targets=[_checked(target) for target in targets] or None,
        top=top,
        settings=params.features,
        max_pixels=params.clean.max_pixels,
        backbone=PATHS.backbone,
        heads=PATHS.heads,
    )
    click.echo(json.dumps(predictions, indent=2, ensure_ascii=False) if as_json else predictions_as_text(predictions))
    if failed := sum("error" in prediction for prediction in predictions):
        raise click.ClickException(f"{failed} of {len(images)} files could not be read, see above")


def _checked(target: str) -> str:
    """Refuse a target that could not name a folder."""
    from stages.core.tables.columns import label_name_problem

    if problem := label_name_problem(target):
        raise click.BadParameter(f"{target!r} {problem}", param_hint="--target")
    return target
