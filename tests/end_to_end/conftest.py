"""A small demo project, built once by `dvc repro` in a folder of its own, and copies of it to break."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock
from ruamel.yaml import YAML

from tests.conftest import REPOSITORY

if TYPE_CHECKING:
    from tests.end_to_end.command_server import CommandServer
    from tests.end_to_end.stage_runs import BuiltProject

# As small as still makes every stage do real work: the network is the real one, its crops are not.
SMALL = {
    "targets": ["style", "genre"],
    "demo": {
        "images": 72, "random_state": 0, "broken": 12, "exact_duplicates": 4, "near_duplicates": 4,
        "wrong_labels": 4, "strangers": 4,
    },
    "backbone.weights": "random",
    "backbone.calibration_images": 16,
    "features.resize_px": 72,
    "features.crop_px": 64,
    "features.tokens": 4,
    "features.batch_size": 8,
    "train.epochs": 6,
    "outliers.folds": 2,
    "report.gallery_size": 8,
}  # fmt: skip


def edit_params(folder: Path, changes: dict[str, object]) -> None:
    """Change values of a project's params.yaml, its comments kept."""
    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, 4096
    params = yaml.load((folder / "params.yaml").read_text(encoding="utf-8"))
    for dotted, value in changes.items():
        *sections, key = dotted.split(".")
        node = params
        for section in sections:
            node = node[section]
        node[key] = value
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(params, file)


def command(*arguments: str, cwd: Path, check: bool = True, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a program of the environment that the tests run in."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = (
        os.environ | {"PATH": path, "GIT_CONFIG_GLOBAL": str(cwd / ".gitconfig-test")} | options.pop("env", {})
    )
    result = subprocess.run(arguments, cwd=cwd, capture_output=True, text=True, env=environment, check=False, **options)
    if check and result.returncode:
        pytest.fail(
            f"{' '.join(arguments)} gave {result.returncode}:\n{result.stdout[-3000:]}\n{result.stderr[-3000:]}"
        )
    return result


def copy_of_the_repository(folder: Path) -> None:
    """What git tracks, or would: the working tree less what is ignored."""
    listed = command("git", "ls-files", "-z", "-co", "--exclude-standard", cwd=REPOSITORY).stdout
    for name in filter(None, listed.split("\0")):
        if (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, folder / name)


def commit_all(folder: Path, message: str) -> None:
    command("git", "add", "-A", cwd=folder)
    command("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "-m", message, cwd=folder)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder for what is made once for all processes that run tests."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def built(shared: Path) -> Path:
    """The project after one `dvc repro`. Tests only read it."""
    folder, done = shared / "built", shared / "built.done"
    with FileLock(shared / "built.lock"):
        if not done.exists():
            folder.mkdir()
            copy_of_the_repository(folder)
            edit_params(folder, SMALL)
            command("git", "init", "-q", "-b", "main", cwd=folder)
            commit_all(folder, "before")
            command("dvc", "repro", cwd=folder)
            commit_all(folder, "after")
            done.touch()
    return folder


@pytest.fixture
def project(built: Path, tmp_path: Path) -> Path:
    """A copy of the built project that a test may change."""
    return Path(shutil.copytree(built, tmp_path / "project", symlinks=True))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[CommandServer]":
    """The warm process that commands are forked from."""
    from tests.end_to_end.command_server import CommandServer
    from tests.end_to_end.disk_faults import build_library

    root = tmp_path_factory.mktemp("server")
    (root / "logs").mkdir()
    with CommandServer(root / "logs", build_library(root)) as server:
        yield server


@pytest.fixture
def pipeline(server: "CommandServer", project: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `pipeline` in the copy; the exit code is the test's to look at."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        running = server.start(arguments, project, apart=True)
        if not running.wait(300):
            running.kill(whole_group=True)
        errors = running.errors.read_text(encoding="utf-8")
        return subprocess.CompletedProcess(arguments, running.status(), running.output(), errors)

    return run


@pytest.fixture(scope="session")
def small(server: "CommandServer", shared: Path, tmp_path_factory: pytest.TempPathFactory) -> "BuiltProject":
    """A still smaller project with another network, made in seconds by the warm process."""
    from tests.end_to_end.stage_runs import BuiltProject

    with FileLock(shared / "small.lock"):
        return BuiltProject(server, shared / "small", tmp_path_factory.mktemp("small"))
