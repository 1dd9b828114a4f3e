"""Tables as Markdown, in which no name of a class can end its cell or start markup.

In: rows of text. Out: Markdown.
"""

import re
from collections.abc import Iterable, Sequence


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table.

    >>> print(markdown_table(["class", "n"], [["a|b_c", "3"]]))
    | class | n |
    | --- | --- |
    | a\\|b\\_c | 3 |
    """
    lines = [_line(map(escape_markdown, columns)), _line(["---"] * len(columns))]
    return "\n".join([*lines, *(_line(map(escape_markdown, row)) for row in rows)])


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def escape_markdown(text: str) -> str:
    r"""Write a text so that Markdown prints it, on one line.

    >>> print(escape_markdown("Art_Nouveau <b>"))
    Art\_Nouveau \<b\>
    """
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", " ".join(text.split()))
