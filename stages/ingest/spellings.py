"""Labels that are spelled alike, or look mis-decoded: reported with the line that joins them, and kept apart.

In: labels and how often each occurs. Out: groups of one label's spellings, and lines for a person. Joining them is left
to `dataset.map`.
"""

import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from stages.ingest.mojibake import reread

_NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)?")
_MARKS = re.compile(r"[\u0300-\u036f]")
_IGNORED = re.compile(r"[\s_.\u00b7'\u2018\u2019\u02bc`\u00b4\u200c\u200d\-\u2010-\u2015]+")
# Letters that are no letter with an accent, but are written without one.
_PLAIN_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "æ": "ae", "œ": "oe", "\u0131": "i", "þ": "th"})
SHOWN = 5


def spelling_key(label: str) -> str:
    """What spellings of one label share: case, spaces, accents, full stops, hyphens and underscores aside.

    >>> spelling_key("Art_Nouveau.") == spelling_key("ART NOUVEAU")
    True
    >>> spelling_key("-500") == spelling_key("500")
    False
    """
    if _NUMBER.fullmatch(label):
        return repr(float(label.replace(",", ".")))
    plain = _MARKS.sub("", unicodedata.normalize("NFKD", label)).casefold().translate(_PLAIN_LETTERS)
    return _IGNORED.sub("", plain) or label


def groups_alike(counts: Mapping[str, int]) -> list[list[str]]:
    """Groups of labels with one key, each the most frequent first, the largest groups first."""
    by_key: dict[str, list[str]] = defaultdict(list)
    for label in sorted(counts, key=lambda label: (-counts[label], label)):
        by_key[spelling_key(label)].append(label)
        if original := reread(label):
            by_key[spelling_key(original)].append(label)
    alike = {tuple(dict.fromkeys(group)) for group in by_key.values()}
    groups = [list(group) for group in alike if len(group) > 1]
    return sorted(groups, key=lambda group: (-sum(counts[label] for label in group), group))


def with_counts(group: Sequence[str], counts: Mapping[str, int]) -> str:
    """The spellings and how many images have each.

    >>> with_counts(["Art Nouveau", "art nouveau"], {"Art Nouveau": 812, "art nouveau": 3})
    'Art Nouveau (812), art nouveau (3)'
    """
    return ", ".join(f"{label} ({counts[label]})" for label in group)


def joining_line(attribute: str, groups: Sequence[Sequence[str]]) -> str:
    """The setting that gives every label of a group the most frequent spelling.

    >>> joining_line("style", [["Art Nouveau", "art nouveau"]])
    'dataset.map: {style: {"art nouveau": "Art Nouveau"}}'
    """
    pairs = {label: group[0] for group in groups for label in group[1:]}
    return f"dataset.map: {{{attribute}: {json.dumps(pairs, ensure_ascii=False)}}}"


def alike_lines(attribute: str, counts: Mapping[str, int]) -> Iterator[str]:
    """Lines of ingest's table on one label column."""
    groups = groups_alike(counts)
    if groups:
        more = f" … and {len(groups) - SHOWN} more groups" if len(groups) > SHOWN else ""
        named = "; ".join(with_counts(group, counts) for group in groups[:SHOWN])
        yield f"{attribute}: spelled alike, kept apart: {named}{more}"
        yield f"  to join them: {joining_line(attribute, groups[:SHOWN])}"
