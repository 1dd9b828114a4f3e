"""Fill the templates: every value is escaped, style and script are inlined, and the page may load nothing else.

In: what a page shows. Out: its HTML as text. A Content Security Policy in each page forbids every request and every
script but our own, whatever a class or file is called.
"""

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from stages.report.tables import model_name
from stages.report.thumbnails import Thumbnail, style_rules

TEMPLATES = Path(__file__).parent / "templates"
NOTHING = "\N{EN DASH}"


def render(
    template: str, *, thumbnails: Mapping[str, Thumbnail], script: Sequence[str] = ("page.js",), **values: Any
) -> str:
    """Fill one template.

    Parameters
    ----------
    template
        A file of `templates/`.
    thumbnails
        The pictures of the page by image path.
    script
        Files of `templates/` that make up the one script of the page.
    **values
        What the template names.
    """
    source = "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in script)
    return environment().get_template(template).render(
        thumbnails=thumbnails,
        style=Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        thumbnail_style=style_rules(thumbnails.values()),
        script=Markup(source),
        script_hash=base64.b64encode(hashlib.sha256(source.encode("utf-8")).digest()).decode("ascii"),
        **values,
    )  # fmt: skip


@cache
def environment() -> Environment:
    """The templates, with escaping on and missing values an error."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "score": score,
        "percent": percent,
        "count": count,
        "css": css,
        "model_name": model_name,
        "spoken": spoken,
        "small": small,
        "equals_small": equals_small,
        "unbroken": unbroken,
    }
    made.tests["known"] = known
    return made


def score(value: float | None, digits: int = 3) -> str:
    """A score, or a dash where there is none."""
    return NOTHING if value is None or math.isnan(value) else f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """A share in whole percent, or a dash where there is none."""
    return NOTHING if value is None or math.isnan(value) else f"{value * 100:.0f}\N{NO-BREAK SPACE}%"


def count(value: float | None) -> str:
    """A whole number with its thousands set apart, or a dash."""
    return NOTHING if value is None or math.isnan(value) else f"{int(value):,}"


def css(value: float | None) -> str:
    """A number as style sheets and scripts read it; 0 where there is none."""
    return "0" if value is None or math.isnan(value) else f"{value:.4g}"


def spoken(name: str) -> str:
    """A name from a file as words."""
    return name.replace("_", " ")


def small(value: float | None) -> str:
    """A probability with two significant digits, or a dash."""
    if not known(value):
        return NOTHING
    return "< 0.0001" if value < 1e-4 else f"{value:.2g}"


def equals_small(value: float | None) -> str:
    """The same behind the name of what it is: `= 0.02`, `< 0.0001`."""
    text = small(value)
    return text if text.startswith("<") else f"= {text}"


def unbroken(sentence: str) -> str:
    """A sentence in which no line ends between a number and its percent sign."""
    return sentence.replace(" %", "\N{NO-BREAK SPACE}%")


def known(value: float | None) -> bool:
    """Whether there is a number."""
    return value is not None and not math.isnan(value)
