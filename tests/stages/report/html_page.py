"""Read a page as a browser would see its elements, for tests: tags, attributes and visible text.

In: HTML text. Out: a `Page`.
"""

from html.parser import HTMLParser

VOID = {"meta", "link", "img", "input", "br", "hr"}


class Page(HTMLParser):
    """Every start tag with its attributes, and all text outside of style and script."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if not {"style", "script"}.intersection(self.open) and data.strip():
            self.texts.append(" ".join(data.split()))

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    def all(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        """Attributes of every element of a tag that has the given ones; `class_` matches one of its classes."""
        css_class = attributes.pop("class_", None)
        return [
            found
            for name, found in self.elements
            if name == tag
            and attributes.items() <= found.items()
            and (css_class is None or css_class in found.get("class", "").split())
        ]
