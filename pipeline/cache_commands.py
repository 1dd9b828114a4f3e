"""`pipeline cache info|verify|gc`: look into the feature cache, check it, free what is not needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli import cli, with_params
from pipeline.paths import Paths

if TYPE_CHECKING:
    from cache.upkeep import Garbage, StoreSummary
    from pipeline.params import Params

PATHS = Paths()
MIB = 2**20


@cli.group()
def cache() -> None:
    """Look into the feature cache, check it, free room.

    The store (.features/) keeps what was ever computed, one folder per fingerprint: per set of settings that decide a
    feature's value. The published cache (data/features/) is what training reads.
    """


@cache.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@with_params
def info(params: Params, as_json: bool) -> None:
    """Show images, shards, bytes and settings of every fingerprint."""
    from cache import list_stores

    stores = list_stores(PATHS.store)
    current, published = _current(params), _published()
    if as_json:
        click.echo(json.dumps([_as_json(store, current, published) for store in stores], indent=2, ensure_ascii=False))
        return
    if not stores:
        click.echo(f"{PATHS.store} holds nothing yet: run `pipeline extract-features`.")
    for store in stores:
        click.echo(_as_text(store, current, published))


@cache.command()
@with_params
def verify(params: Params) -> None:
    """Read all features, compare them with their checksums.

    A damaged shard is named and set aside, never deleted; its good rows are kept, and `pipeline extract-features`
    computes the others again.
    """
    from cache import find_damage, list_stores, repair
    from cache.upkeep import open_store
    from stages.core.progress import Progress

    stores = list_stores(PATHS.store)
    paths = [path for store in stores for path in sorted(store.folder.glob("shard-*.h5"))]
    published = PATHS.features / "features.h5"
    to_read = [*paths, *([published] if published.exists() else [])]
    damage = []
    with Progress(_rows(to_read), "Verifying", "rows") as progress:
        for path in to_read:
            damage += find_damage(path, progress.advance)
    for problem in damage:
        click.echo(f"{problem.path}: {'' if problem.row is None else f'row {problem.row} '}{problem.reason}")
    for store in stores:
        for path in sorted({problem.path for problem in damage if problem.path.parent == store.folder}):
            opened = open_store(store)
            if opened is None:
                _set_aside_unreadable(store, path)
            else:
                repair(opened, path)
    if damage:
        files = len({problem.path for problem in damage})
        raise click.ClickException(
            f"{len(damage)} rows or files are damaged, in {files} of {len(to_read)} files, see above; "
            "run `pipeline extract-features`: it computes them again and publishes anew"
        )
    click.echo(f"{len(to_read)} files, {_rows(to_read)} rows: every one matches its checksum.")


@cache.command()
@click.option("--yes", is_flag=True, help="Free it; without this nothing is removed.")
@with_params
def gc(params: Params, yes: bool) -> None:
    """Show what is not needed now, and free it with --yes.

    That is: features under other settings than the current ones, features of images that are no longer in
    data/splits.csv, and files that were set aside as damaged. What is current or published is never freed.
    """
    from cache import find_garbage, free
    from cache.errors import in_mib

    in_use = {name for name in (_current(params), _published()) if name}
    if not in_use:
        raise click.ClickException("cannot tell which features are current: run `pipeline prepare-backbone` first")
    wanted = _wanted_keys()
    garbage = find_garbage(PATHS.store, current=in_use, wanted=wanted)
    for item in garbage:
        click.echo(_garbage_line(item))
        if yes:
            free(item, wanted or set())
    total = in_mib(sum(item.size_bytes for item in garbage))
    if not garbage:
        click.echo("Nothing to free.")
    else:
        click.echo(f"{total} freed." if yes else f"{total} can be freed: `pipeline cache gc --yes`.")


def _current(params: Params) -> str | None:
    """The fingerprint that the settings and the prepared backbone give; None before there is a backbone."""
    if not PATHS.backbone.with_suffix(".json").exists():
        return None
    from stages.core.extraction.description import current_fingerprint

    return current_fingerprint(params.features, PATHS.backbone)


def _published() -> str | None:
    try:
        text = (PATHS.features / "fingerprint.json").read_text(encoding="utf-8")
        return str(json.loads(text)["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _wanted_keys() -> set[str] | None:
    """The images of the current splits; None if there are no splits, and then no image counts as unwanted."""
    if not PATHS.splits.exists():
        return None
    from stages.core.tables.columns import SPLIT_IMAGES
    from stages.core.tables.csv_files import read_table

    return set(read_table(PATHS.splits, SPLIT_IMAGES, columns=["sha256"])["sha256"])


def _rows(paths: list[Path]) -> int:
    from cache import DamagedFileError
    from cache.shard import read_tables

    count = 0
    for path in paths:
        try:
            count += len(read_tables(path).keys)
        except DamagedFileError:
            continue  # found_damage says so
    return count


def _set_aside_unreadable(store: StoreSummary, path: Path) -> None:
    """Of a folder where no shard can be read, not even the settings are known: move the file as it is."""
    from cache.store import set_aside

    set_aside(path, "it cannot be read")


def _as_json(store: StoreSummary, current: str | None, published: str | None) -> dict[str, object]:
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


def _as_text(store: StoreSummary, current: str | None, published: str | None) -> str:
    marks = [name for name, value in (("current", current), ("published", published)) if value == store.fingerprint]
    shared = f", {store.shared_bytes / MIB:,.1f} MiB of it shared with other files" if store.shared_bytes else ""
    lines = [
        f"{store.fingerprint[:16]}  {', '.join(marks) or 'other settings'}",
        f"  {store.images:,} images in {store.shards} shards, {store.size_bytes / MIB:,.1f} MiB{shared}",
    ]
    lines += [f"  damaged: {path.name}: {reason}" for path, reason in store.damaged]
    if store.set_aside:
        lines.append(f"  {store.set_aside} files set aside, {store.set_aside_bytes / MIB:,.1f} MiB")
    if store.description is not None:
        lines += [f"  {line}" for line in _flat(store.description)]
    return "\n".join(lines)


def _flat(description: dict[str, object], prefix: str = "") -> list[str]:
    """`transform.crop_px: 224` and so on, a line per value."""
    lines = []
    for key, value in sorted(description.items()):
        if isinstance(value, dict):
            lines += _flat(value, f"{prefix}{key}.")
        else:
            lines.append(f"{prefix}{key}: {json.dumps(value, ensure_ascii=False)}")
    return lines


def _garbage_line(item: Garbage) -> str:
    what = {
        "fingerprint": f"{item.images:,} images under other settings",
        "keys": f"{item.images:,} images that are not in {PATHS.splits}",
        "set-aside": f"{item.images:,} damaged files, set aside",
    }[item.kind]
    return f"{item.store.folder}  {item.size_bytes / MIB:10,.1f} MiB  {what}"
