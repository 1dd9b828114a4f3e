"""Start `pipeline` commands without the seconds that importing torch takes: each is forked from one warm process.

In: arguments and a folder. Out: a process in a session of its own that runs the command's `main` and its
exit handlers, to be waited for or killed. What is killed, and what must be true afterwards, is left to the tests.
"""

import atexit
import contextlib
import ctypes
import gc
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import REPOSITORY

# What the commands import when they run.
PRELOADED = (
    "pipeline.cli", "pipeline.params", "sklearn.linear_model", "faiss", "numba",
    "stages.demo.collection", "stages.ingest.ingest_labels", "stages.clean.clean_images", "stages.split.split_images",
    "stages.backbone.prepare_backbone", "stages.extract.extract_features", "stages.train.train_heads",
    "stages.tune.tune_head", "stages.evaluate.evaluate_head", "stages.outliers.find_outliers",
    "stages.report.coordinates", "stages.report.write_report", "stages.review.review_suspects",
    "stages.predict.predict_images",
)  # fmt: skip
# Before numpy and torch are imported: no thread may run when a command is forked.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TQDM_DISABLE": "1"}


@dataclass(frozen=True)
class Command:
    """A command that was started: its process, and the file of what it prints."""

    server: "CommandServer"
    pid: int
    log: Path
    errors: Path

    def wait(self, timeout_s: float) -> bool:
        """Wait until it ends, or for this long; whether it has ended."""
        with contextlib.suppress(ProcessLookupError):  # reaped already
            descriptor = os.pidfd_open(self.pid)
            try:
                return bool(select.select([descriptor], [], [], max(timeout_s, 0))[0])
            finally:
                os.close(descriptor)
        return True

    def kill(self, *, whole_group: bool) -> None:
        """Send SIGKILL to the process, or to it and everything that it has started."""
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if whole_group else os.kill)(self.pid, signal.SIGKILL)

    def status(self) -> int:
        """Take the exit code of the ended process; the signal's number, negative, if one has ended it."""
        if self.pid not in self.server.codes:
            self.server.codes[self.pid] = int(self.server.ask({"wait": self.pid}))
        return self.server.codes[self.pid]

    def survivors(self) -> list[int]:
        """Processes that it has started and that live."""
        return living_in_session(self.pid)

    def output(self) -> str:
        """What it has printed so far; without its errors, if they are kept apart."""
        return self.log.read_text(encoding="utf-8", errors="replace")


class CommandServer:
    """The warm process; a context manager.

    Parameters
    ----------
    logs
        A folder for what the commands print.
    preload
        The library that lets commands meet a faulty disk (`disk_faults.py`).
    environment
        The variables that the commands are started with; None: those of the tests.
    """

    def __init__(self, logs: Path, preload: Path | None = None, environment: Mapping[str, str] | None = None) -> None:
        self.logs = logs
        self.preload = preload
        self.codes: dict[int, int] = {}
        self._count = 0
        preloaded = {"LD_PRELOAD": str(preload)} if preload else {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.end_to_end.command_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            env={**(os.environ if environment is None else environment), **ENVIRONMENT, **preloaded},
        )

    def __enter__(self) -> "CommandServer":
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)

    def ask(self, request: dict[str, Any]) -> Any:
        """Send one request, and read its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def start(
        self, arguments: Sequence[str], folder: Path, faults: Path | None = None, *, apart: bool = False
    ) -> Command:
        """Start `pipeline ARGUMENTS` in a folder, on a disk with the faults that a file plans.

        `apart` keeps what it prints as errors in a file of its own.
        """
        self._count += 1
        log = self.logs / f"{self._count:05}.log"
        errors = log.with_suffix(".err") if apart else log
        request = {"run": list(arguments), "folder": str(folder), "faults": str(faults or "")}
        pid = int(self.ask(request | {"log": str(log), "errors": str(errors)}))
        self.codes.pop(pid, None)  # of an earlier process with the same number
        return Command(self, pid, log, errors)

    def run(self, arguments: Sequence[str], folder: Path, timeout_s: float = 300.0) -> tuple[int, str]:
        """Run `pipeline ARGUMENTS` to its end; its exit code and what it printed."""
        command = self.start(arguments, folder)
        if not command.wait(timeout_s):
            command.kill(whole_group=True)
        return command.status(), command.output()


def living_in_session(session: int) -> list[int]:
    """The living processes of a session."""
    everyone = (int(name) for name in os.listdir("/proc") if name.isdecimal())
    return [pid for pid in everyone if _session_of(pid) == session]


def _session_of(pid: int) -> int | None:
    """The session of a living process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[3])


def serve(modules: Sequence[str]) -> list[str] | None:
    """Answer requests; return None at their end, and, in each forked child, the arguments of its command."""
    import importlib

    for module in modules:
        importlib.import_module(module)
    gc.freeze()  # no forked child looks through the modules again
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            print(os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1]), flush=True)
        elif os.fork() == 0:
            _become(Path(request["folder"]), Path(request["log"]), Path(request["errors"]), request["faults"])
            return ["pipeline", *request["run"]]
    return None


def _become(folder: Path, log: Path, errors: Path, faults: str) -> None:
    """Make this child what a shell would have started in the folder."""
    os.setsid()
    with open(os.devnull, "rb") as nothing, log.open("ab") as printed, errors.open("ab") as complained:
        print(os.getpid(), flush=True)
        os.chdir(folder)
        os.dup2(nothing.fileno(), 0)
        os.dup2(printed.fileno(), 1)
        os.dup2(complained.fileno(), 2)
    if faults:
        os.environ["DISK_FAULTS_PLAN"] = faults  # for the programs that it starts
        ctypes.CDLL(None).disk_faults_arm(faults.encode())


def run(arguments: list[str]) -> int:
    """Run a command as its own interpreter would, but for taking its modules apart; return the exit code."""
    from pipeline.cli import main

    sys.argv = arguments
    code: object = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code if isinstance(code, int) else int(code is not None)


if __name__ == "__main__":
    found = serve(PRELOADED)
    os._exit(run(found) if found else 0)
