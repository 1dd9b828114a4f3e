"""An interrupt ends a command wherever it comes, also where Python drops exceptions."""

import signal
import subprocess
import sys
import textwrap

import pytest

from pipeline.cli import INTERRUPTED


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_inside_a_finalizer_is_not_lost(number: signal.Signals) -> None:
    script = f"""
        import signal, sys, time
        import click
        from pipeline import cli

        class Finalized:
            def __del__(self):
                signal.raise_signal({int(number)})

        @cli.cli.command
        def work():
            Finalized()
            click.echo("past the finalizer")
            time.sleep(20)
            click.echo("never interrupted")

        sys.argv = ["pipeline", "work"]
        cli.main()
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.stdout == "past the finalizer\n"
    assert (ran.returncode, ran.stderr) == (1, f"Error: {INTERRUPTED}\n")


def test_other_dropped_exceptions_are_printed() -> None:
    script = """
        import sys
        from pipeline import cli

        class Finalized:
            def __del__(self):
                raise ValueError("dropped")

        @cli.cli.command
        def work():
            Finalized()

        sys.argv = ["pipeline", "work"]
        cli.main()
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 0
    assert "ValueError: dropped" in ran.stderr
