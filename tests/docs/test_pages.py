"""What README.md, CONTRIBUTING.md and docs/ name exists; their sentences are short."""

import re
import statistics
import tomllib
from functools import cache
from pathlib import Path

import click
import pytest
from ruamel.yaml import YAML

from pipeline.cli import cli
from tests.conftest import REPOSITORY
from tests.docs.markdown import PAGES, Block, blocks, name, plain

LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`]+)`")
# Paths of the repository; NAME and TARGET stand for a name that the reader chooses.
PATH = re.compile(
    r"(?:\.ci|benchmarks|cache|docs|pipeline|stages|tests)/[\w./-]*\w/?|[A-Z]+\.(?:md|cff)|[\w.]+\.(?:toml|yaml)"
)
TEST = re.compile(r"test_\w+")
COMMAND = re.compile(r"(?:^|\s|-m )pipeline ([a-z][a-z-]+)(?: (info|verify|gc)\b)?([^\n#|&`]*)")
# A key of params.yaml, and no file of that name.
SETTING = re.compile(r"[a-z_]+(?:\.(?!(?:csv|json|safetensors|h5|html)$)[a-z_A-Z]+)+")
MOST_WORDS, MOST_WORDS_OF_THE_MEDIAN = 40, 25
pages = pytest.mark.parametrize("page", PAGES, ids=name)


def code(block: Block) -> list[str]:
    """The block's code: a span or a line each, with the lines that a backslash joins as one."""
    if block.kind == "code":
        return re.sub(r"\\\n\s*", "", "\n".join(block.lines)).splitlines()
    return CODE.findall(" ".join(block.lines))


@cache
def commands() -> dict[str, click.Command]:
    """The commands that `pipeline --help` lists."""
    return dict(cli.commands)


@cache
def all_options() -> set[str]:
    """The options of all commands together."""
    groups = [command for command in commands().values() if isinstance(command, click.Group)]
    each = [*commands().values(), *(command for group in groups for command in group.commands.values())]
    return {option for command in each for parameter in command.params for option in parameter.opts}


@cache
def settings() -> dict[str, object]:
    return dict(YAML(typ="safe", pure=True).load(REPOSITORY / "params.yaml"))


@cache
def names_of_tests() -> set[str]:
    files = list((REPOSITORY / "tests").rglob("test_*.py"))
    functions = {found for file in files for found in re.findall(r"def (test_\w+)", file.read_text(encoding="utf-8"))}
    return functions | {file.stem for file in files}


@pages
def test_links_lead_somewhere(page: Path) -> None:
    targets = [target for block in blocks(page) if block.kind != "code" for target in LINK.findall(block.text)]
    local = [target.partition("#")[0] for target in targets if "://" not in target]
    assert [target for target in local if target and not (page.parent / target).exists()] == []


@pages
def test_paths_in_code_exist(page: Path) -> None:
    named = [span for block in blocks(page) for span in code(block) if PATH.fullmatch(span)]
    fixed = [span for span in named if not re.search("NAME|TARGET", span)]
    assert [span for span in fixed if not (REPOSITORY / span).exists()] == []


@pages
def test_tests_that_are_named_exist(page: Path) -> None:
    named = {span for block in blocks(page) for span in code(block) if TEST.fullmatch(span)}
    assert named - names_of_tests() == set()


@pages
def test_commands_and_their_options_exist(page: Path) -> None:
    for line in (line for block in blocks(page) for line in code(block)):
        for command, sub_command, rest in COMMAND.findall(line):
            assert command in commands(), f"{name(page)}: {line!r}"
            chosen = commands()[command]
            if sub_command:
                assert isinstance(chosen, click.Group)
                chosen = chosen.commands[sub_command]
            known = {option for parameter in chosen.params for option in parameter.opts}
            assert set(re.findall(r"(--[a-z][a-z-]+)", rest)) <= known, f"{name(page)}: {line!r}"


def settings_named_in(page: Path) -> set[str]:
    """Keys of params.yaml in code: `section.key` whose section exists, and what `--set` and `-S` set."""
    found = set()
    for block in blocks(page):
        for line in code(block):
            key = line.partition(":")[0].strip()
            if block.kind != "code" and SETTING.fullmatch(key) and isinstance(settings().get(key.split(".")[0]), dict):
                found.add(key)
            found.update(re.findall(r"(?:--set|-S) ([a-z][\w.]*)=", line))
    return found


@pages
def test_options_that_are_named_alone_exist(page: Path) -> None:
    spans = [span for block in blocks(page) if block.kind != "code" for span in code(block)]
    named = {span.split()[0] for span in spans if re.match(r"--[a-z]", span)}
    assert named - all_options() == set()


@pages
def test_settings_that_are_named_exist(page: Path) -> None:
    for key in settings_named_in(page):
        value: object = settings()
        for part in key.split("."):
            assert isinstance(value, dict), f"{name(page)}: {key}"
            assert part in value, f"{name(page)}: {key}"
            value = value[part]


def sentences(page: Path) -> list[str]:
    """The sentences of paragraphs and list items; a span of code is one word. Tables and code are left out.

    A sentence ends with a full stop, question mark, exclamation mark or colon at the end of a block, or with one of the
    first three before white space and a capital letter, a digit or code.
    """
    texts = [plain(CODE.sub("Code", " ".join(block.lines))) for block in blocks(page) if block.kind == "text"]
    texts = [re.sub(r"^([-*]|\d+\.) ", "", text) for text in texts]
    return [part for text in texts for part in re.split(r"(?<=[.?!])\s+(?=[A-Z0-9(\"])", text) if part]


@pages
def test_sentences_are_short(page: Path) -> None:
    lengths = {sentence: len(re.findall(r"\w[\w'.,-]*", sentence)) for sentence in sentences(page)}
    assert {sentence: words for sentence, words in lengths.items() if words > MOST_WORDS} == {}
    assert statistics.median(lengths.values()) <= MOST_WORDS_OF_THE_MEDIAN


def test_the_index_names_every_page() -> None:
    index = (REPOSITORY / "docs" / "README.md").read_text(encoding="utf-8")
    others = {page.name for page in (REPOSITORY / "docs").glob("*.md")} - {"README.md"}
    assert others == {target for target in LINK.findall(index) if target.endswith(".md") and "/" not in target}


def test_the_citation_has_what_its_schema_requires_and_the_projects_version() -> None:
    """By the required fields of the Citation File Format 1.2.0, of the file and of each reference."""
    citation = YAML(typ="safe", pure=True).load(REPOSITORY / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert all({"authors", "title", "type"} <= reference.keys() for reference in citation["references"])
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])


def test_every_hook_of_pre_commit_is_a_check_of_the_project() -> None:
    hooks = YAML(typ="safe", pure=True).load(REPOSITORY / ".pre-commit-config.yaml")["repos"][0]["hooks"]
    checks = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert [hook["id"] for hook in hooks if hook["entry"].removesuffix(" --fix") not in checks] == []
