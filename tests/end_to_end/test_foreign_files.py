"""Files of an earlier run, of other settings or of another project are refused by name, or used and said."""

import os
import shutil
from pathlib import Path

import pytest

from tests.end_to_end.conftest import edit_params
from tests.end_to_end.stage_runs import BUILD, SMALL, TARGET, BuiltProject, clone, run_undisturbed


@pytest.fixture
def project(small: BuiltProject, tmp_path: Path) -> Path:
    """A copy of the built project that a test may change."""
    clone(small.home, tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture(scope="session")
def earlier(small: BuiltProject) -> Path:
    """The project as it was when the crops had another seed."""
    return small_variant(small, "earlier", {"features.random_state": 1}, BUILD[5:])


@pytest.fixture(scope="session")
def colleague(small: BuiltProject) -> Path:
    """A project with other pictures."""
    demo = SMALL["demo"] | {"random_state": 1}  # type: ignore[operator]
    return small_variant(small, "colleague", {"demo": demo}, BUILD)


def small_variant(small: BuiltProject, name: str, changes: dict[str, object], commands: tuple[str, ...]) -> Path:
    """Make a copy of the project, with other settings."""
    folder = small.root / name
    clone(small.home, folder)
    unlink_and_edit(folder, changes)
    for arguments in commands:
        run_undisturbed(small.server, arguments.split(), folder)
    return folder


def unlink_and_edit(project: Path, changes: dict[str, object]) -> None:
    """Change params.yaml, which is a link to that of other copies."""
    content = (project / "params.yaml").read_bytes()
    (project / "params.yaml").unlink()
    (project / "params.yaml").write_bytes(content)
    edit_params(project, changes)


def bring(source: Path, project: Path, *names: str) -> None:
    """Put files and folders of another project in place of the project's own."""
    for name in names:
        place = project / name
        if place.is_dir():
            shutil.rmtree(place)
        place.unlink(missing_ok=True)
        if (source / name).is_dir():
            shutil.copytree(source / name, place)
        else:
            shutil.copy2(source / name, place)


def refusal(small: BuiltProject, project: Path, arguments: str) -> str:
    """The one line with which a command refuses its inputs; it leaves what was there."""
    before = outputs(project)
    code, printed = small.server.run(arguments.split(), project)
    assert code == 1, printed
    assert outputs(project) == before
    assert "Traceback" not in printed
    return printed.strip().splitlines()[-1]


def outputs(project: Path) -> dict[str, tuple[int, int]]:
    """Every file under the folders of outputs, and which file it is."""
    found = {}
    for folder in ("data", "models", "reports"):
        for path in (project / folder).rglob("*"):
            if path.is_file() and not path.name.startswith("."):
                status = os.stat(path)
                found[str(path.relative_to(project))] = (status.st_ino, status.st_size)
    return found


@pytest.mark.parametrize("command", [f"train-head --target {TARGET}", f"evaluate --target {TARGET}", "report"])
def test_an_older_cache_without_its_record_is_refused(
    small: BuiltProject, project: Path, earlier: Path, command: str
) -> None:
    bring(earlier, project, "data/features")
    message = refusal(small, project, command)
    assert "data/features/features.h5 is not what `pipeline extract-features` wrote" in message
    assert "run it again" in message


@pytest.mark.parametrize("command", [f"evaluate --target {TARGET}", f"find-outliers --target {TARGET}"])
def test_a_head_is_not_used_on_an_older_cache_that_was_pulled(
    small: BuiltProject, project: Path, earlier: Path, command: str
) -> None:
    bring(earlier, project, "data/features", "data/records/extract.json")
    message = refusal(small, project, command)
    assert f"the {TARGET} head was trained on features " in message
    assert f"run `pipeline train-head --target {TARGET}` again" in message


def test_scores_of_an_older_cache_are_not_shown(small: BuiltProject, project: Path, earlier: Path) -> None:
    run_undisturbed(small.server, ["report"], project)
    bring(earlier, project, "data/features", "data/records/extract.json", f"models/heads/{TARGET}")
    message = refusal(small, project, f"report --page {TARGET}")
    assert "was made from another" in message
    assert f"--target {TARGET}` again" in message


def test_files_of_other_settings_are_said_and_the_command_that_is_named_ends_it(
    small: BuiltProject, project: Path
) -> None:
    """As after `git checkout` of another params.yaml."""
    unlink_and_edit(project, {"features.random_state": 1, "train.lr": 0.01})
    train = ["train-head", "--target", TARGET]
    _, printed = small.server.run(train, project)
    assert "Note: `pipeline extract-features`" in printed
    assert "features.random_state was 0 and is 1" in printed
    assert "train.lr" not in printed
    for arguments in (["extract-features"], train, ["evaluate", "--target", TARGET]):
        _, printed = small.server.run(arguments, project)
        assert "Note: " not in printed


@pytest.mark.parametrize(
    ("names", "command", "named"),
    [
        (["data/splits.csv"], f"train-head --target {TARGET}", "data/splits.csv is not what `pipeline split` wrote"),
        (
            ["data/splits.csv", "data/records/split.json"],
            f"train-head --target {TARGET}",
            "data/features/features.h5 was made from another data/splits.csv",
        ),
        (
            ["data/features", "data/records/extract.json"],
            f"train-head --target {TARGET}",
            "data/features/features.h5 was made from another data/splits.csv",
        ),
        ([f"models/heads/{TARGET}"], f"evaluate --target {TARGET}", f"the {TARGET} head was trained on features "),
        (
            [f"models/heads/{TARGET}/head.safetensors"],
            f"evaluate --target {TARGET}",
            f"models/heads/{TARGET}/head.safetensors is not what",
        ),
        (["models/backbone.safetensors"], "extract-features", "models/backbone.safetensors is not what"),
        ([f"reports/{TARGET}"], f"report --page {TARGET}", "was made from another"),
        (
            ["data/clean.csv", "data/rejected.csv", "data/conflicts.csv", "data/records/clean.json"],
            "report --data",
            "was made from another data/manifest.csv",
        ),
    ],
)
def test_a_folder_copied_from_a_colleague_is_refused(
    small: BuiltProject, project: Path, colleague: Path, names: list[str], command: str, named: str
) -> None:
    bring(colleague, project, *names)
    message = refusal(small, project, command)
    assert named in message
    assert "run " in message
