"""The options that all commands share: the settings file, overrides of single settings, tracebacks.

In: a command that takes the checked settings. Out: the same command with `--params`, `--set` and `--debug`. What the
settings mean is left to `pipeline.params`.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pipeline.params import Params


def with_params(command: Callable[..., object]) -> Callable[..., object]:
    """Give a command `--params`, `--set` and `--debug`; it is called with the checked settings, `params`, first."""

    @click.option(
        "--params",
        "params_file",
        type=click.Path(path_type=Path, dir_okay=False),
        default=Path("params.yaml"),
        show_default=True,
        help="Read the settings from this file.",
    )
    @click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one setting; repeatable.")
    @click.option("--debug", is_flag=True, help="Show a traceback when something goes wrong.")
    @functools.wraps(command)
    def wrapped(params_file: Path, overrides: tuple[str, ...], debug: bool, **options: object) -> object:
        from pipeline.params import ParamsError, load_params
        from pipeline.paths import PATHS
        from stages.core.parallel import parallel_backend

        logging.basicConfig(format="%(message)s", level=logging.DEBUG if debug else logging.INFO, stream=sys.stderr)
        _quieten_libraries()
        try:
            params = load_params(params_file, overrides)
        except ParamsError as error:
            raise click.UsageError(str(error)) from None
        for note in _notes(params, options):
            click.echo(note, err=True)
        with parallel_backend(params.parallel, PATHS.scratch):
            return command(params, **options)

    return wrapped


def _notes(params: Params, options: Mapping[str, object]) -> Iterator[str]:
    """Which files the command is about to read were made with other settings."""
    from pipeline.other_settings import describe_other_settings

    given = options.get("target") or options.get("targets") or options.get("pages") or ()
    targets = [given] if isinstance(given, str) and given != "all" else given if isinstance(given, tuple) else ()
    return describe_other_settings(params, str(click.get_current_context().info_name), targets or params.targets)


def _quieten_libraries() -> None:
    for name in ("PIL", "dvc", "dvclive", "filelock", "matplotlib", "urllib3", "h5py", "fsspec", "asyncio", "git"):
        logging.getLogger(name).setLevel(logging.WARNING)
