"""Markdown pages as blocks of text, for the tests of the documentation.

In: README.md, CONTRIBUTING.md and docs/*.md. Out: paragraphs, tables and code blocks, with the comments between them.
It reads what these pages use and no more: headings, paragraphs, lists, pipe tables, fenced and indented code.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.conftest import REPOSITORY

PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
COMMENT = re.compile(r"<!--\s*(.*?)\s*-->", re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?")

Kind = Literal["heading", "text", "table", "code"]


@dataclass(frozen=True)
class Block:
    """A heading, paragraph, list item, table or code block.

    Attributes
    ----------
    lines
        As they stand in the file, without the fences of code.
    comments
        Contents of the comments in the block and directly above it, in order.
    """

    kind: Kind
    lines: tuple[str, ...]
    comments: tuple[str, ...]

    @property
    def text(self) -> str:
        """The block as one line, without comments."""
        return " ".join(COMMENT.sub(" ", "\n".join(self.lines)).split())

    @property
    def rows(self) -> list[list[str]]:
        """The cells of a table's rows, comments included; the header and the line below it are left out."""
        return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip()[1:-1])] for line in self.lines[2:]]


def name(page: Path) -> str:
    """The page's path from the repository's root."""
    return page.relative_to(REPOSITORY).as_posix()


def blocks(page: Path) -> list[Block]:
    """Split a page into its blocks; a comment on lines of its own belongs to the block that follows."""
    found: list[Block] = []
    pending: list[str] = []
    for kind, lines in _groups(page.read_text(encoding="utf-8").splitlines()):
        comments = [] if kind == "code" else COMMENT.findall("\n".join(lines))
        if kind == "text" and comments and not COMMENT.sub("", "\n".join(lines)).strip():
            pending += comments
            continue
        found.append(Block(kind, tuple(lines), (*pending, *comments)))
        pending = []
    return found


def _groups(lines: list[str]) -> list[tuple[Kind, list[str]]]:
    """Lines that belong together, with the kind of block they form."""
    groups: list[tuple[Kind, list[str]]] = []
    open_kind: Kind | None = None
    fenced = False
    for line in lines:
        if line.startswith("```"):
            fenced = not fenced
            if fenced:
                groups.append(("code", []))
            open_kind = None
        elif fenced:
            groups[-1][1].append(line)
        elif not line.strip():
            open_kind = None
        else:
            kind = _kind(line, open_kind)
            starts_item = re.match(r"\s*([-*]|\d+\.) ", line) is not None
            if kind != open_kind or kind == "heading" or (kind == "text" and starts_item) or line.startswith("<!--"):
                groups.append((kind, []))
            groups[-1][1].append(line)
            ends_comment = kind == "text" and line.rstrip().endswith("-->") and groups[-1][1][0].startswith("<!--")
            open_kind = None if ends_comment else kind
    return groups


def _kind(line: str, before: Kind | None) -> Kind:
    if line.startswith("#"):
        return "heading"
    if line.startswith("|"):
        return "table"
    if line.startswith("    ") and before in (None, "code"):
        return "code"
    return "text"


def plain(text: str) -> str:
    """Text without comments, links' targets, images and emphasis; inline code keeps its words."""
    text = COMMENT.sub(" ", text)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return " ".join(text.replace("**", "").replace("`", "").split())


def numbers(text: str) -> list[str]:
    """The numbers in a text, as written."""
    return NUMBER.findall(text)


def same_figure(shown: str, kept: str) -> bool:
    """Whether a number as shown is the kept one, at the shown number of decimals."""
    decimals = len(shown.partition(".")[2])
    value, original = (float(number.replace(",", "")) for number in (shown, kept))
    return abs(value - original) <= 0.5 * 10.0**-decimals + 1e-9
