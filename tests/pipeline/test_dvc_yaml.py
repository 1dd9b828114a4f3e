"""dvc.yaml cannot drift: a stage depends on the code that its command imports, and on no other."""

import ast
import inspect
import shlex
from pathlib import Path

import click
import grimp
import pytest
from ruamel.yaml import YAML

from pipeline.cli import cli
from tests.conftest import REPOSITORY

CODE = ("cache", "pipeline", "stages")
# Code that a command imports and its DVC stage leaves out on purpose.
LEFT_OUT = {
    "cache.atomic": "puts whole files in place; what is in them is the stage's",
    "cache.errors": "says what is wrong with a file; a stage that fails writes nothing",
    "cache.lock": "keeps a second writer out, or not",
    "cache.processes": "tells whether the holder of a lock is alive",
    "pipeline": "turns params.yaml into settings, which DVC watches by value",
    "stages.core.device": "chooses where networks run; the precision is part of the fingerprint",
    "stages.core.errors": "is raised, or not; a stage that fails writes nothing",
    "stages.core.memory": "changes the speed and no result",
    "stages.core.parallel": "decides where work runs and no result",
    "stages.core.parent_process": "decides when a worker ends and no result",
    "stages.core.scratch": "decides where temporary files lie and no result",
    "stages.core.progress": "shows what is going on",
    "stages.core.patience": "gives up on a disk that does not answer, and changes no output",
    "stages.core.settings": "settings are watched by value",
}


def dvc_files() -> list[Path]:
    """The root's dvc.yaml and those that lie beside a stage's code."""
    return [REPOSITORY / "dvc.yaml", *sorted((REPOSITORY / "stages").glob("*/dvc.yaml"))]


def dvc_stages() -> dict[str, dict]:
    """Every stage by its name; a matrix is one."""
    yaml = YAML(typ="safe", pure=True)
    return {
        name: stage
        for file in dvc_files()
        for name, stage in yaml.load(file.read_text(encoding="utf-8"))["stages"].items()
    }


def callback_of(command: str) -> object:
    """The function behind `pipeline NAME …`; each option of `report` has its own, which imports what its part needs."""
    program, name, *options = shlex.split(command)
    assert program == "pipeline"
    found = cli.commands[name]
    assert isinstance(found, click.Command)
    function = inspect.unwrap(found.callback)
    if name == "report":
        return getattr(inspect.getmodule(function), f"report_{options[0].removeprefix('--')}")
    return function


def imported_in(function: object) -> set[str]:
    """Project modules that a command's function, or a function of its module that it calls, imports when it runs."""
    module = inspect.getmodule(function)
    functions = {
        node.name: node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.FunctionDef)
    }
    waiting, seen, found = [function.__name__], set(), set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in functions:
            continue
        seen.add(name)
        for node in ast.walk(functions[name]):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in CODE:
                found.add(node.module)
            elif isinstance(node, ast.Name):
                waiting.append(node.id)
    return {name for name in found if not name.startswith("pipeline")}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*CODE, exclude_type_checking_imports=True)


def reached(graph: grimp.ImportGraph, modules: set[str]) -> set[str]:
    """These modules and all that they import, directly or not."""
    return set(modules).union(*(graph.find_upstream_modules(module) for module in modules))


def path_of(module: str) -> str:
    """A module's file, relative to the repository, POSIX."""
    path = Path(*module.split("."))
    return (path / "__init__.py" if (REPOSITORY / path).is_dir() else path.with_suffix(".py")).as_posix()


def covers(dependency: str, path: str) -> bool:
    return path == dependency or path.startswith(f"{dependency}/")


def left_out(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in LEFT_OUT)


@pytest.mark.parametrize("name", dvc_stages())
def test_a_stage_depends_on_the_code_that_its_command_imports(name: str, graph: grimp.ImportGraph) -> None:
    stage = dvc_stages()[name]
    modules = imported_in(callback_of(stage["cmd"]))
    assert modules, f"{stage['cmd']} imports no stage"
    paths = {path_of(module) for module in reached(graph, modules) if not left_out(module)}
    code = [dependency for dependency in stage["deps"] if dependency.split("/")[0] in CODE]
    assert sorted(path for path in paths if not any(covers(d, path) for d in code)) == [], "missing from deps"
    assert [d for d in code if not any(covers(d, path) for path in paths)] == [], "in deps, but not imported"


def test_every_stage_is_named_as_its_folder() -> None:
    folders = {path.name for path in (REPOSITORY / "stages").iterdir() if path.is_dir()}
    for name in dvc_stages():
        assert name in folders or name.split("-")[0] == "report", name


def test_nothing_is_left_out_without_need(graph: grimp.ImportGraph) -> None:
    assert [name for name in LEFT_OUT if name not in graph.modules] == []
