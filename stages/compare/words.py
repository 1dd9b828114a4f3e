"""A comparison in sentences: for a terminal, for the page, and as Markdown.

In: the summary that `comparison.json` holds. Out: strings; differences in points, which are hundredths.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stages.core.tables.markdown import escape_markdown, markdown_table

Summary = Mapping[str, Any]
NAMES = {"accuracy": ("more accurate", "accuracy"), "f1_macro": ("better in macro F1", "macro F1")}
CAUTION = (
    "A difference is one between these two heads on these images. Heads of the same settings differ too, from seed to "
    "seed: `pipeline score` shows by how much."
)
# Settings that the short list names; the page and comparison.json have all.
MOST_SETTINGS = 6
TARGET_COLUMNS = (
    "target", "images", "groups", "measure", "A", "B", "difference", "95 % interval", "p", "p, corrected",
)  # fmt: skip
CLASS_COLUMNS = (
    "class", "images", "recall A", "recall B", "difference", "95 % interval", "F1 A", "F1 B", "gained", "lost",
    "p, corrected",
)  # fmt: skip


def describe_target(target: str, found: Summary, targets: int) -> list[str]:
    """Describe one target's comparison in a few sentences; `targets` is how many the p are corrected over."""
    if not found["images"]:
        return [f"{target}: A and B have no test image in common.", *_describe_left_out(target, found)]
    if not any(found["changes"][key] for key in ("gained", "lost", "both_wrong")):
        same = f"{target}: A and B predict the same class for every image ({count_images(found)}, accuracy "
        return [f"{same}{100 * found['accuracy']['a']:.1f}; p = 1)", *_describe_left_out(target, found)]
    sentences = [_describe_measure(target, found, measure, targets) for measure in NAMES]
    return [
        *sentences,
        _describe_changes(target, found),
        *_describe_classes(target, found),
        *_describe_left_out(target, found),
    ]


def _describe_measure(target: str, found: Summary, measure: str, targets: int) -> str:
    scores, (better, name) = found[measure], NAMES[measure]
    difference, low, high = (_points(scores[key]) for key in ("difference", "low", "high"))
    values = f"{name} {100 * scores['a']:.1f} → {100 * scores['b']:.1f}"
    if measure == "accuracy":
        values += f", {count_images(found)}"
    verdict = _describe_p(scores, targets)
    if not scores["significant"]:
        points = f"B - A is {difference:+.1f} points [{low:.1f}, {high:.1f}]"
        return f"{target}: A and B cannot be told apart in {name}: {points} ({values}); {verdict}"
    winner, other = ("B", "A") if scores["difference"] > 0 else ("A", "B")
    low, high = (low, high) if scores["difference"] > 0 else (0.0 - high, 0.0 - low)
    points = f"{abs(difference):.1f} points [{low:.1f}, {high:.1f}]"
    return f"{target}: {winner} is {better} than {other} by {points} ({values}); {verdict}"


def count_images(found: Summary) -> str:
    """Count images, and groups where they are fewer.

    >>> count_images({"images": 840, "groups": 792}), count_images({"images": 1, "groups": 1})
    ('840 images in 792 groups', '1 image')
    """
    images = f"{found['images']:,} image{'s' if found['images'] != 1 else ''}"
    return images if found["groups"] == found["images"] else f"{images} in {found['groups']:,} groups"


def _describe_p(scores: Summary, targets: int) -> str:
    corrected = f" after correction over {targets} targets" if targets > 1 else ""
    verdict = "significant" if scores["significant"] else "not significant"
    return f"{verdict}{corrected} ({format_p(scores['p_corrected'])})"


def format_p(p: float) -> str:
    """Format a p.

    >>> format_p(0.01234), format_p(1.0), format_p(1e-9)
    ('p = 0.012', 'p = 1', 'p < 0.0001')
    """
    return f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"


def _describe_changes(target: str, found: Summary) -> str:
    changes = found["changes"]
    images = f"{changes['gained']} images gained and {changes['lost']} lost by B"
    p = format_p(changes["mcnemar_p"])
    if found["groups"] == found["images"]:
        test = f"McNemar's exact test: {p}"
    else:
        groups = f"{changes['groups_gained']} groups gained, {changes['groups_lost']} lost"
        test = f"{groups}; McNemar's exact test, which takes copies for independent images: {p}"
    return f"{target}: {images} ({test}); {changes['both_wrong']} wrong in another way"


def _describe_classes(target: str, found: Summary) -> Iterator[str]:
    changed = [row for row in found["classes"] if row["significant"]]
    for row in changed:
        recall = row["recall"]
        winner = "B" if recall["difference"] > 0 else "A"
        yield (
            f"{target}: {winner} recognises more of {row['class']} (recall {100 * recall['a']:.1f} → "
            f"{100 * recall['b']:.1f}, {row['images']} images; {format_p(row['p_corrected'])} after correction over "
            f"{len(found['classes'])} classes)"
        )
    if not changed:
        yield f"{target}: no class differs significantly after correction over {len(found['classes'])} classes"


def _describe_left_out(target: str, found: Summary) -> Iterator[str]:
    for reason in found["left_out"]:
        yield f"{target}: left out, {reason['images']} {reason['why']}"


def describe_settings(differing: Sequence[Summary], most: int = MOST_SETTINGS) -> str:
    """Describe which settings differ, those of head and train first."""
    if not differing:
        return "A and B were made with the same settings, as far as these are recorded."
    named = [f"{row['setting']} {_short(row['a'])} → {_short(row['b'])}" for row in differing[:most]]
    more = f", and {len(differing) - most} more" if len(differing) > most else ""
    return f"Settings that differ, A → B: {', '.join(named)}{more}."


def _short(value: object) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def describe_sides(summary: Summary) -> str:
    """Name the two runs."""
    return (
        "; ".join(f"{side.upper()} is {summary[side]['name']} ({summary[side]['kind']})" for side in ("a", "b")) + "."
    )


def as_text(summary: Summary) -> str:
    """Write all sentences, one a line; characters that a terminal would obey are shown as escapes."""
    lines = [describe_sides(summary), *summary["notes"]]
    for found in summary["targets"].values():
        lines += found["words"]
    lines += [summary["settings_words"], summary["caution"]]
    return "\n".join("".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in line) for line in lines)


def as_markdown(summary: Summary) -> str:
    """Write the sentences, the table of all targets, and a table of classes per target."""
    parts = [
        "# Two runs compared",
        describe_sides(summary),
        *summary["notes"],
        summary["settings_words"],
        summary["caution"],
    ]
    parts.append(markdown_table(TARGET_COLUMNS, _target_rows(summary)))
    for target, found in summary["targets"].items():
        parts += [f"## {target}", markdown_list(found["words"])]
        if found["images"]:
            parts.append(markdown_table(CLASS_COLUMNS, _class_rows(found)))
    return "\n\n".join(parts) + "\n"


def markdown_list(sentences: list[str]) -> str:
    """Write a list of sentences."""
    return "\n".join(f"- {escape_markdown(' '.join(sentence.split()))}" for sentence in sentences)


def _target_rows(summary: Summary) -> Iterator[list[str]]:
    for target, found in summary["targets"].items():
        for measure, (_, name) in NAMES.items() if found["images"] else ():
            scores = found[measure]
            yield [
                target, f"{found['images']:,}", f"{found['groups']:,}", name, *_three(scores), _interval(scores),
                f"{scores['p']:.2g}", f"{scores['p_corrected']:.2g}",
            ]  # fmt: skip


def _class_rows(found: Summary) -> Iterator[list[str]]:
    for row in found["classes"]:
        yield [
            row["class"], str(row["images"]), *_three(row["recall"]), _interval(row["recall"]), *_three(row["f1"])[:2],
            str(row["gained"]), str(row["lost"]), f"{row['p_corrected']:.2g}",
        ]  # fmt: skip


def _three(scores: Summary) -> tuple[str, str, str]:
    return f"{100 * scores['a']:.1f}", f"{100 * scores['b']:.1f}", f"{_points(scores['difference']):+.1f}"


def _interval(scores: Summary) -> str:
    return "n/a" if scores["low"] is None else f"{_points(scores['low']):.1f} to {_points(scores['high']):.1f}"


def _points(difference: float) -> float:
    """A difference in points, as it is shown.

    >>> _points(0.0123), _points(-1e-9)
    (1.2, 0.0)
    """
    return round(100 * difference, 1) + 0.0
