"""Choose the suspects that one page shows, by kind, class and whether they are decided, and fill the template.

In: the suspects, the decisions of now, and what was asked for. Out: HTML in which every value is escaped.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from stages.core.pages.render import environment
from stages.core.tables.decisions import Decision
from stages.review.suspects import Collection, Suspect

TEMPLATES = Path(__file__).parent / "templates"
SHOWS = {"undecided": "Undecided", "decided": "Decided", "all": "All"}


@dataclass(frozen=True)
class Query:
    """What a page is asked to show: a kind and a class (empty: any), which decisions, and the place to begin at."""

    kind: str = ""
    label: str = ""
    show: str = "undecided"
    start: int = 0

    @classmethod
    def of(cls, arguments: Mapping[str, str]) -> "Query":
        """Read it from a URL; whatever cannot be understood is the default."""
        show, start = arguments.get("show", ""), arguments.get("from", "")
        return cls(
            kind=arguments.get("kind", ""),
            label=arguments.get("class", ""),
            show=show if show in SHOWS else "undecided",
            start=int(start) if start.isdecimal() and len(start) < 10 else 0,
        )

    def url(self, start: int) -> str:
        """The same, beginning elsewhere."""
        return "?" + urlencode({"kind": self.kind, "class": self.label, "show": self.show, "from": start})


@dataclass(frozen=True)
class Part:
    """The suspects of one page, of `matching` in all; `earlier` and `later` are where the pages beside it begin.

    A page begins at a place in the list of all suspects of the kind: what is decided in between makes it skip none.
    """

    suspects: list[Suspect]
    matching: int
    earlier: int | None
    later: int | None


def choose(collection: Collection, decided: Mapping[str, Decision], query: Query, size: int) -> Part:
    """Find what one page shows, at most `size` suspects."""
    found = [
        (place, suspect)
        for place, suspect in enumerate(collection.of_kind(query.kind))
        if suspect.has_class(query.label)
        and (query.show == "all" or (suspect.image in decided) == (query.show == "decided"))
    ]
    first = sum(place < query.start for place, _ in found)
    if first >= len(found):
        first = 0
    earlier = found[max(first - size, 0)][0] if first else None
    later = found[first + size][0] if first + size < len(found) else None
    return Part([suspect for _, suspect in found[first : first + size]], len(found), earlier, later)


def said(decision: Decision, target: str) -> str:
    """A decision in words; whom it was made for where that is another target."""
    words = {"fine": "Fine", "image_bad": "Image bad", "label_wrong": f"Label wrong: {decision.label or 'no label'}"}
    return words.get(decision.decision, decision.decision) + (
        f" (decided under {decision.target})" if decision.target != target else ""
    )


def render(collection: Collection, decisions: Mapping[str, Decision], query: Query, size: int) -> str:
    """Fill the page."""
    decided = collection.decided(decisions)
    labels = {made.label for made in decisions.values() if made.target == collection.target}
    return environment(TEMPLATES).get_template("review.html").render(
        collection=collection,
        classes=sorted({*collection.classes, *labels} - {""}),
        verdicts={image: said(made, collection.target) for image, made in decided.items()},
        outdated={image for image in decisions if image not in decided},
        part=choose(collection, decided, query, size),
        query=query,
        shows=SHOWS,
    )  # fmt: skip
