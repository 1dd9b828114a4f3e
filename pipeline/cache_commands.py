"""`pipeline cache info|verify|gc`: look into the feature cache, check it, free what is not needed.

In: the settings and the paths of the project. Out: what the command prints. The work is left to the library `cache`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from pipeline.options import with_params
from pipeline.paths import PATHS

if TYPE_CHECKING:
    from cache.garbage import Garbage
    from cache.store_summary import StoreSummary
    from pipeline.params import Params


@click.group()
def cache() -> None:
    """Look into the feature cache, check it, free room.

    The store (.features/) keeps all features that were ever computed, in one folder per fingerprint. A fingerprint
    stands for one set of the settings that decide a feature's value. Training reads the published cache
    (data/features/).
    """


@cache.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@with_params
def info(params: Params, as_json: bool) -> None:
    """Show images, shards, bytes and settings of every fingerprint."""
    from cache import list_stores, read_published_fingerprint

    stores = list_stores(PATHS.store)
    current, published = _current_fingerprint(params), read_published_fingerprint(PATHS.features)
    if as_json:
        click.echo(json.dumps([_to_json(store, current, published) for store in stores], indent=2, ensure_ascii=False))
        return
    if not stores:
        click.echo(f"{PATHS.store} holds nothing yet: run `pipeline extract-features`.")
    for store in stores:
        click.echo(_format_store(store, current, published))


@cache.command()
@with_params
def verify(params: Params) -> None:
    """Read all features, compare them with their checksums.

    A damaged shard is named and set aside, never deleted. Its good rows are kept, and `pipeline extract-features`
    computes the others again.
    """
    from cache import count_rows, repair_stores, verify_stores
    from stages.core.progress import Progress

    published = PATHS.features / "features.h5"
    with Progress(count_rows(PATHS.store, published), "Verifying", "rows") as progress:
        report = verify_stores(PATHS.store, published, advance=progress.advance)
    for problem in report.damage:
        click.echo(f"{problem.path}: {'' if problem.row is None else f'row {problem.row} '}{problem.reason}")
    repair_stores(report.damage)
    if report.damage:
        raise click.ClickException(
            f"{len(report.damage)} rows or files are damaged, in {report.damaged_files} of {report.files} files, see "
            "above; run `pipeline extract-features`: it computes them again and publishes again"
        )
    click.echo(f"{report.files} files, {report.rows} rows: every one matches its checksum.")


@cache.command()
@click.option("--yes", is_flag=True, help="Free it; without this nothing is removed.")
@with_params
def gc(params: Params, yes: bool) -> None:
    """Show what is not needed now, and free it with --yes.

    These are features under other settings than the current ones, features of images that are no longer in
    data/splits.csv, and files that were set aside as damaged. Current and published features are never freed.
    """
    from cache import find_garbage, free, read_published_fingerprint
    from cache.errors import format_mib

    current, published = _current_fingerprint(params), read_published_fingerprint(PATHS.features)
    in_use = {name for name in (current, published) if name}
    if not in_use:
        raise click.ClickException("cannot tell which features are current: run `pipeline prepare-backbone` first")
    wanted = _read_wanted_keys()
    garbage = find_garbage(PATHS.store, current=in_use, wanted=wanted)
    for item in garbage:
        click.echo(_format_garbage(item))
        if yes:
            free(item, wanted or set())
    total = format_mib(sum(item.size_bytes for item in garbage))
    if not garbage:
        click.echo("Nothing to free.")
    else:
        click.echo(f"{total} freed." if yes else f"{total} can be freed: `pipeline cache gc --yes`.")


def _current_fingerprint(params: Params) -> str | None:
    """Compute the fingerprint of the settings and the prepared backbone; None without a backbone."""
    if not PATHS.backbone.with_suffix(".json").exists():
        return None
    from stages.core.extraction.description import current_fingerprint

    return current_fingerprint(params.features, PATHS.backbone)


def _read_wanted_keys() -> set[str] | None:
    """Read the keys of the current splits; None without splits, and then no image counts as unwanted."""
    if not PATHS.splits.exists():
        return None
    from stages.core.tables.columns import SPLIT_IMAGES
    from stages.core.tables.csv_files import read_table

    return set(read_table(PATHS.splits, SPLIT_IMAGES, columns=["sha256"])["sha256"])


def _to_json(store: StoreSummary, current: str | None, published: str | None) -> dict[str, object]:
    return {
        "fingerprint": store.fingerprint,
        "current": store.fingerprint == current,
        "published": store.fingerprint == published,
        "images": store.images,
        "shards": store.shards,
        "bytes": store.size_bytes,
        "bytes_shared_with_published": store.shared_bytes,
        "damaged": [str(path) for path, _ in store.damaged],
        "set_aside": store.set_aside,
        "description": store.description,
    }


def _format_store(store: StoreSummary, current: str | None, published: str | None) -> str:
    from cache.errors import format_mib

    marks = [name for name, value in (("current", current), ("published", published)) if value == store.fingerprint]
    shared = f", {format_mib(store.shared_bytes)} of it shared with other files" if store.shared_bytes else ""
    lines = [
        f"{store.fingerprint[:16]}  {', '.join(marks) or 'other settings'}",
        f"  {store.images:,} images in {store.shards} shards, {format_mib(store.size_bytes)}{shared}",
    ]
    lines += [f"  damaged: {path.name}: {reason}" for path, reason in store.damaged]
    if store.set_aside:
        lines.append(f"  {store.set_aside} files set aside, {format_mib(store.set_aside_bytes)}")
    if store.description is not None:
        lines += [f"  {line}" for line in _flatten(store.description)]
    return "\n".join(lines)


def _flatten(description: dict[str, object], prefix: str = "") -> list[str]:
    """Format one line per value, such as `transform.crop_px: 224`."""
    lines = []
    for key, value in sorted(description.items()):
        if isinstance(value, dict):
            lines += _flatten(value, f"{prefix}{key}.")
        else:
            lines.append(f"{prefix}{key}: {json.dumps(value, ensure_ascii=False)}")
    return lines


def _format_garbage(item: Garbage) -> str:
    from cache.errors import format_mib

    what = {
        "fingerprint": f"{item.images:,} images under other settings",
        "keys": f"{item.images:,} images that are not in {PATHS.splits}",
        "set-aside": f"{item.images:,} damaged files, set aside",
    }[item.kind]
    return f"{item.store.folder}  {format_mib(item.size_bytes):>14}  {what}"
