"""The `pipeline` command: its sub-commands, and errors as one line with an exit code."""

import errno
import signal
import sys
from typing import NoReturn

import click

from pipeline import cache_commands, commands


class PipelineGroup(click.Group):
    """A group whose commands are listed in the order in which they run, and whose errors are one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            _fail("interrupted: what was finished is kept; run the same command again to go on")
        except Exception as error:
            if "--debug" in sys.argv:
                raise
            _fail(_one_line(error))


def _fail(message: str) -> NoReturn:
    click.echo(f"Error: {message}", err=True)
    sys.exit(1)


def _one_line(error: Exception) -> str:
    """Say what went wrong to the person at the keyboard."""
    from cache import CacheError, DamagedFileError, MissingRowsError
    from stages.core.errors import StageError

    if isinstance(error, DamagedFileError | MissingRowsError):
        return f"{' '.join(str(error).split())}: run `pipeline extract-features`"
    if isinstance(error, StageError | CacheError):
        return " ".join(str(error).split())
    if isinstance(error, OSError) and error.errno in _ADVICE:
        where = error.filename or "a file"
        return f"{where}: {error.strerror}: {_ADVICE[error.errno]}"
    return (
        f"unexpected {type(error).__name__}: {' '.join(str(error).split())} (run again with --debug for the traceback)"
    )


_ADVICE = {
    errno.ENOSPC: "free some space and run the same command again; finished work is kept",
    errno.EDQUOT: "the quota is used up: free some space and run the same command again; finished work is kept",
    errno.EFBIG: "the file-size limit (ulimit -f) or file system allows no larger file; finished work is kept",
    errno.EACCES: "check the permissions of the folder",
    errno.EPERM: "check the permissions of the folder",
    errno.EROFS: "the file system is read-only: choose a folder that can be written to",
    errno.ENOENT: "check that it exists",
    errno.ENOTDIR: "a part of this path is a file where a folder is needed: move it away",
    errno.EISDIR: "there is a folder where a file is needed: move it away",
    errno.EIO: "the disk or network mount did not answer: check it and run the same command again",
    errno.ESTALE: "the network mount is gone: mount it and run the same command again",
}


@click.group(cls=PipelineGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="art-feature-pipeline")
def cli() -> None:
    """Train classifiers for artworks on ResNet features that are computed once.

    The commands are listed in the order in which they run; `dvc repro` runs those that are out of date. Every command
    reads params.yaml in the current folder and writes below it.
    """


for command in (*commands.COMMANDS, cache_commands.cache):
    cli.add_command(command)


def main() -> None:
    """Run the command line."""
    # Whoever stops a job politely (kill, a cluster's scheduler, a shutdown) means what Ctrl-C means.
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    cli()
