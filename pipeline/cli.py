"""The `pipeline` command: its sub-commands, and errors as one line with an exit code."""

import os
import signal
import sys
import threading
from typing import NoReturn

import click

from pipeline import cache_commands, commands

INTERRUPTED = "interrupted: what was finished is kept; run the same command again to resume"
# An interrupt that was dropped is repeated when what has dropped it has probably returned.
INTERRUPT_AGAIN_S = 0.05


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
            _fail(INTERRUPTED)
        except Exception as error:
            if "--debug" in sys.argv:
                raise
            _fail(_one_line(error))


def _fail(message: str) -> NoReturn:
    # A name from a file could hold sequences that control the terminal.
    safe = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in message)
    click.echo(f"Error: {safe}", err=True)
    sys.exit(1)


def _one_line(error: BaseException) -> str:
    """Describe what went wrong to the person at the keyboard."""
    from cache import CacheError, DamagedFileError, MissingRowsError
    from stages.core.errors import StageError, explain_failure

    text = " ".join(str(error).split())
    if isinstance(error, DamagedFileError | MissingRowsError):
        return f"{text}: run `pipeline extract-features`"
    if isinstance(error, StageError | CacheError):
        return text
    explained = explain_failure(error)
    if explained is not None:
        return explained
    return f"unexpected {type(error).__name__}: {text} (run again with --debug for the traceback)"


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
    try:
        # Whoever stops a job politely (kill, a cluster's scheduler, a shutdown) means what Ctrl-C means.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        sys.unraisablehook = _interrupt_again
        cli()
    except KeyboardInterrupt:  # before a command begins, or after it ends
        _fail(INTERRUPTED)
    except SystemExit as ended:
        problem = _flush_output()
        if problem and not ended.code:
            _fail(problem)
        raise


def _interrupt_again(ignored: "sys.UnraisableHookArgs") -> None:
    """Repeat an interrupt that came inside a finalizer or a library's callback, where Python drops exceptions."""
    if issubclass(ignored.exc_type, KeyboardInterrupt):
        again = threading.Timer(INTERRUPT_AGAIN_S, os.kill, (os.getpid(), signal.SIGINT))
        again.daemon = True
        again.start()
    else:
        sys.__unraisablehook__(ignored)


def _flush_output() -> str:
    """Write what is still buffered; at the interpreter's own end, a closed pipe or a full disk gives a traceback.

    Returns
    -------
    str
        Why it could not be written, in one line; empty if it was.
    """
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        error.filename = error.filename or "standard output"
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _one_line(error)
    return ""
