"""A figure in README.md or docs/ equals the kept output of its script, benchmarks/NAME.txt.

A comment ties the figures to the output; it is not shown:

    <!-- benchmarks/NAME.txt -->           above a table: every row's numbers stand in one line of the output
    <!-- benchmarks/NAME.txt -->           above a code block: the block is a part of the output
    <!-- benchmarks/NAME.txt: a (b) c -->  above a text: the output holds this pattern, and the text shows its groups
    <!-- by hand -->                       the text, or the one above the table, says that no script keeps the figures

The line of a table's row is the one that holds the words of the row's first cell. Other words go into a comment in that
cell: `<!-- default, LSTM alone -->`; `<!-- a & b -->` names two lines, whose numbers the row shows together.
"""

import itertools
import re
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.docs.markdown import COMMENT, PAGES, Block, blocks, name, numbers, plain, same_figure

TIE = re.compile(r"(benchmarks/[\w.]+)(?:: (.*))?", re.DOTALL)
BY_HAND = "by hand"
MEASURED = re.compile(r"\d\s?(images/s|rows/s|MB/s|KiB|MiB|GiB|GB|MB|ms|s|min|points)(?![\w/])")
PAGES_WITH_FIGURES = [page for page in PAGES if page.name != "CONTRIBUTING.md"]


def kept(path: str) -> str:
    return (REPOSITORY / path).read_text(encoding="utf-8")


def one_space(text: str) -> str:
    return " ".join(text.split())


def ties(block: Block) -> list[tuple[str, str | None]]:
    """Kept outputs that the block is tied to, each with the pattern, if one is given."""
    return [(match[1], match[2]) for comment in block.comments if (match := TIE.fullmatch(comment))]


def rows_of(page: Path) -> list[tuple[str, str, list[str]]]:
    """Every row of the page's tied tables: the kept output, its words, the numbers of the cells after the first."""
    return [
        (output, words_of(cells[0]), numbers(plain(" | ".join(cells[1:]))))
        for block in blocks(page)
        if block.kind == "table"
        for output, _ in ties(block)
        for cells in block.rows
    ]


def words_of(cell: str) -> str:
    named = COMMENT.search(cell)
    return one_space(named[1] if named else plain(cell))


def missing_from(lines: tuple[str, ...], shown: list[str]) -> list[str]:
    available = [number for line in lines for number in numbers(line)]
    return [number for number in shown if not any(same_figure(number, other) for other in available)]


def is_of_figures(block: Block) -> bool:
    """Whether most cells of a table, but for the first column, begin with a number."""
    cells = [plain(cell) for row in block.rows for cell in row[1:] if plain(cell)]
    return sum(bool(re.match(r"[+-]?\d", cell)) for cell in cells) > len(cells) / 2


@pytest.mark.parametrize("page", PAGES_WITH_FIGURES, ids=name)
def test_a_row_of_figures_stands_in_the_kept_output(page: Path) -> None:
    for output, words, shown in rows_of(page):
        lines = [one_space(line) for line in kept(output).splitlines()]
        candidates = [[line for line in lines if one_space(part) in line] for part in words.split(" & ")]
        assert all(candidates), f"{name(page)}: no line of {output} holds the words {words!r}"
        assert shown, f"{name(page)}: the row {words!r} shows no number"
        least = min((missing_from(choice, shown) for choice in itertools.product(*candidates)), key=len)
        assert not least, f"{name(page)}: the row {words!r} shows {least}, which {output} lacks"


@pytest.mark.parametrize("page", PAGES_WITH_FIGURES, ids=name)
def test_a_figure_in_a_text_stands_in_the_kept_output(page: Path) -> None:
    for block in blocks(page):
        for output, pattern in ties(block) if block.kind == "text" else []:
            assert pattern, f"{name(page)}: the tie to {output} names no figure of the text {block.text[:60]!r}"
            match = re.search(one_space(pattern), one_space(kept(output)))
            assert match, f"{name(page)}: {output} does not hold {pattern!r}"
            assert match.groups(), f"{name(page)}: the pattern {pattern!r} has no group"
            lost = [n for n in match.groups() if not any(same_figure(m, n) for m in numbers(block.text))]
            assert not lost, f"{name(page)}: {output} says {lost}, the text {block.text[:60]!r} does not"


@pytest.mark.parametrize("page", PAGES_WITH_FIGURES, ids=name)
def test_an_output_that_a_page_quotes_is_the_kept_one(page: Path) -> None:
    for block in blocks(page):
        for output, _ in ties(block) if block.kind == "code" else []:
            assert "\n".join(block.lines).strip() in kept(output), f"{name(page)} quotes {output} wrongly"


@pytest.mark.parametrize("page", PAGES_WITH_FIGURES, ids=name)
def test_no_figure_is_without_its_source(page: Path) -> None:
    before: list[Block] = []
    for block in blocks(page):
        figures = is_of_figures(block) if block.kind == "table" else MEASURED.search(plain(block.text)) is not None
        if block.kind in ("table", "text") and figures:
            by_hand = BY_HAND in block.comments
            assert ties(block) or by_hand, f"{name(page)}: no source of the figures in {block.text[:80]!r}"
            said = block.text if block.kind == "text" else " ".join(other.text for other in before[-1:])
            assert not by_hand or "by hand" in said, f"{name(page)}: {said[:80]!r} does not say who measured"
        before.append(block)


def test_a_kept_output_is_shown_by_one_page() -> None:
    pages = (REPOSITORY / "docs").glob("*.md")
    shown = {(output, page) for page in pages for block in blocks(page) for output, _ in ties(block)}
    outputs = [output for output, _ in shown]
    assert sorted(outputs) == sorted(set(outputs))


@pytest.mark.parametrize(
    ("shown", "original", "same"),
    [
        ("27.1", "27.1", True),
        ("27.1", "27.2", False),
        ("7", "6.6", True),
        ("1,349", "1349", True),
        ("0.95", "0.9", False),
    ],
)
def test_a_figure_may_be_rounded_and_no_more(shown: str, original: str, same: bool) -> None:
    assert same_figure(shown, original) is same


def test_numbers_are_read_from_text_and_from_csv() -> None:
    assert numbers("1,349 names, 2,698 images; 0.95 of 29") == ["1,349", "2,698", "0.95", "29"]
    assert numbers("clean,broken,12,12,12 of 12") == ["12", "12", "12", "12"]
