"""Choose the suspects that one page shows, by kind, class and whether they are decided, and fill the template.

In: the suspects, the current decisions, and a query. Out: HTML in which every value is escaped.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from stages.core.pages.render import environment
from stages.core.tables.decisions import Decision
from stages.review.invisible import show_invisible
from stages.review.suspects import Suspect, SuspectList

TEMPLATES = Path(__file__).parent / "templates"
DECIDED_FILTERS = {"undecided": "Undecided", "decided": "Decided", "all": "All"}


@dataclass(frozen=True)
class Query:
    """What a page should show: a kind and a class (empty: any), decided suspects or not, and the place to begin at."""

    kind: str = ""
    label: str = ""
    show: str = "undecided"
    start: int = 0

    @classmethod
    def parse(cls, arguments: Mapping[str, str]) -> "Query":
        """Parse the arguments of a URL; invalid ones give the default.

        >>> Query.parse({"kind": "low_confidence", "from": "x"})
        Query(kind='low_confidence', label='', show='undecided', start=0)
        """
        show, start = arguments.get("show", ""), arguments.get("from", "")
        return cls(
            kind=arguments.get("kind", ""),
            label=arguments.get("class", ""),
            show=show if show in DECIDED_FILTERS else "undecided",
            start=int(start) if start.isdecimal() and len(start) < 10 else 0,
        )

    def url(self, start: int) -> str:
        """Make the URL of the same query with another place to begin at."""
        return "?" + urlencode({"kind": self.kind, "class": self.label, "show": self.show, "from": start})


@dataclass(frozen=True)
class PageOfSuspects:
    """The suspects of one page, of `matching` in all; `earlier` and `later` are where the adjacent pages begin.

    A page begins at a place in the list of all suspects of the kind, so decisions made meanwhile skip no suspect.
    """

    suspects: list[Suspect]
    matching: int
    earlier: int | None
    later: int | None


def choose_suspects(listed: SuspectList, decided: Mapping[str, Decision], query: Query, size: int) -> PageOfSuspects:
    """Choose what one page shows, at most `size` suspects."""
    found = [
        (place, suspect)
        for place, suspect in enumerate(listed.of_kind(query.kind))
        if suspect.has_class(query.label)
        and (query.show == "all" or (suspect.image in decided) == (query.show == "decided"))
    ]
    first = sum(place < query.start for place, _ in found)
    if first >= len(found):
        first = 0
    earlier = found[max(first - size, 0)][0] if first else None
    later = found[first + size][0] if first + size < len(found) else None
    return PageOfSuspects([suspect for _, suspect in found[first : first + size]], len(found), earlier, later)


def describe_decision(decision: Decision, target: str) -> str:
    """Describe a decision in words, with its target where that is another one."""
    words = {
        "fine": "Fine",
        "image_bad": "Image bad",
        "label_wrong": f"Label wrong: {show_invisible(decision.label) or 'no label'}",
    }
    return words.get(decision.decision, decision.decision) + (
        f" (decided under {decision.target})" if decision.target != target else ""
    )


def render(listed: SuspectList, decisions: Mapping[str, Decision], query: Query, size: int) -> str:
    """Fill the template of one page."""
    decided = listed.decided(decisions)
    labels = {made.label for made in decisions.values() if made.target == listed.target}
    made = environment(TEMPLATES)
    made.filters["visible"] = show_invisible
    return made.get_template("review.html").render(
        listed=listed,
        classes=sorted({*listed.classes, *labels} - {""}),
        verdicts={image: describe_decision(made, listed.target) for image, made in decided.items()},
        outdated={image for image in decisions if image not in decided},
        shown=choose_suspects(listed, decided, query, size),
        query=query,
        filters=DECIDED_FILTERS,
    )
