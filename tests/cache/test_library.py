"""The cache is a library: it knows rows and files, and nothing of the programs that use it."""

import ast
import re
from pathlib import Path

import pytest

import cache

MODULES = sorted(Path(cache.__file__).parent.rglob("*.py"))
# The names of the programs, commands and tables above it, in code, docstrings and messages.
OTHERS_WORDS = re.compile(r"pipeline|splits|extract-features|stages|\bart(?:work)?s?\b|click|dvc", re.IGNORECASE)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_module_speaks_of_the_programs_that_use_it(path):
    assert OTHERS_WORDS.findall(path.read_text(encoding="utf-8")) == []


def test_no_modules_import_each_other_in_a_circle():
    """Imports for type checkers count too."""
    imports = {path.stem: imported_modules(path) for path in MODULES if path.stem != "__init__"}
    while leaves := [name for name, others in imports.items() if not others & imports.keys()]:
        for name in leaves:
            del imports[name]
    assert imports == {}


def imported_modules(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    names = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    assert "cache" not in names, "a module imports from the package, which imports every module"
    return {name.removeprefix("cache.") for name in names if name.startswith("cache.")}


def test_the_circle_test_sees_imports(tmp_path):
    (tmp_path / "one.py").write_text("if TYPE_CHECKING:\n    from cache.two import three\n")
    assert imported_modules(tmp_path / "one.py") == {"two"}
