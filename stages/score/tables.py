"""The scores of a protocol as text: for a terminal, as Markdown and as LaTeX.

In: the summary that `score.json` holds. Out: strings, percentages with one decimal.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from stages.core.tables.markdown import markdown_table

Summary = dict[str, Any]
COLUMNS = ("images", "classes", "train", "test", "accuracy", "macro F1", "top 5", "95 % interval of accuracy")
CLASS_COLUMNS = ("class", "train", "test", "precision", "recall", "F1")
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$",
}  # fmt: skip


def as_text(summary: Summary) -> str:
    """Format the scores for a terminal."""
    lines = [f"{summary['protocol']:<34}{'accuracy':>14}{'macro F1':>14}{'images':>9}"]
    for target, found in summary["targets"].items():
        for label, scores in _kinds(found):
            accuracy, f1 = (_percent(scores.get(measure)) for measure in ("accuracy", "f1_macro"))
            lines.append(f"{f'{target} ({label})':<34}{accuracy:>14}{f1:>14}{scores['n']:>9}")
    return "\n".join([*lines, summary["citation"]])


def as_markdown(summary: Summary) -> str:
    """Write the table of all targets, the line that cites it, and a table of classes per target."""
    parts = [f"# Protocol {summary['protocol']}: {summary['title']}", summary["citation"]]
    parts.append(markdown_table(COLUMNS, _rows(summary)))
    parts += [note for found in summary["targets"].values() for note in found["notes"]]
    for target, found in summary["targets"].items():
        parts += [f"## {target}", markdown_table(CLASS_COLUMNS, _class_rows(found))]
    return "\n\n".join(parts) + "\n"


def as_latex(summary: Summary) -> str:
    """Write the same as LaTeX, with the rules of the package booktabs."""
    parts = [_latex_table(COLUMNS, _rows(summary), summary["citation"], f"scores-{summary['protocol']}")]
    for target, found in summary["targets"].items():
        caption = f"{target} per class. {summary['citation']}"
        parts.append(_latex_table(CLASS_COLUMNS, _class_rows(found), caption, f"scores-{summary['protocol']}-{target}"))
    return "% needs \\usepackage{booktabs}\n" + "\n".join(parts)


def _kinds(found: Summary) -> Iterator[tuple[str, Summary]]:
    """Leaks kept, and leaks dropped: the second row is the first one where nothing leaks."""
    leaking = found["images"]["leaking"]
    yield ("all test images" if leaking else "test, no leaks"), found["all"]
    if leaking:
        yield "without leaks", found["without_leaks"]


def _rows(summary: Summary) -> Iterator[list[str]]:
    for target, found in summary["targets"].items():
        for label, scores in _kinds(found):
            measures = [_percent(scores.get(name)) for name in ("accuracy", "f1_macro", "top5_accuracy")]
            train = f"{found['images']['train']:,}"
            interval = _interval(scores.get("accuracy"))
            yield [f"{target}, {label}", str(len(found["per_class"])), train, f"{scores['n']:,}", *measures, interval]


def _class_rows(found: Summary) -> Iterator[list[str]]:
    for row in found["per_class"]:
        measures = [_percent(row[name]) for name in ("precision", "recall", "f1")]
        yield [row["class"], f"{row['train']:,}", f"{row['support']:,}", *measures]


def _percent(found: Summary | None) -> str:
    """Write `71.2 ± 0.4`; without a deviation if there is one seed.

    >>> _percent({"mean": 0.7123, "sd": 0.004}), _percent({"mean": 0.7123, "sd": None}), _percent(None)
    ('71.2 ± 0.4', '71.2', 'n/a')
    """
    if found is None:
        return "n/a"
    deviation = "" if found["sd"] is None else f" ± {100 * found['sd']:.1f}"
    return f"{100 * found['mean']:.1f}{deviation}"


def _interval(found: Summary | None) -> str:
    return "n/a" if found is None else f"{100 * found['low']:.1f} to {100 * found['high']:.1f}"


def _latex_table(columns: Sequence[str], rows: Iterable[Sequence[str]], caption: str, label: str) -> str:
    def line(cells: Sequence[str]) -> str:
        return "    " + " & ".join(escape_latex(cell) for cell in cells) + r" \\"

    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            f"  \\caption{{{escape_latex(caption)}}}",
            f"  \\label{{tab:{label}}}",
            f"  \\begin{{tabular}}{{l{'r' * (len(columns) - 1)}}}",
            r"    \toprule",
            line(columns),
            r"    \midrule",
            *(line(cells) for cells in rows),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def escape_latex(text: str) -> str:
    r"""Write a text so that LaTeX prints it.

    >>> print(escape_latex("Art_Nouveau & 5 %"))
    Art\_Nouveau \& 5 \%
    """
    return "".join(_LATEX.get(character, character) for character in text)
