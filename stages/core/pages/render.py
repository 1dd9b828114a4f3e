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

from stages.core.pages.thumbnails import Thumbnail, style_rules

TEMPLATES = Path(__file__).parent / "templates"
MODEL_NAMES = {"head": "LSTM head", "logistic_regression": "Logistic regression", "majority": "Majority class"}
NOTHING = "\N{EN DASH}"


def render(
    template: str,
    *,
    folder: Path,
    thumbnails: Mapping[str, Thumbnail],
    script: Sequence[str] = ("page.js",),
    **values: Any,
) -> str:
    """Fill one template.

    Parameters
    ----------
    template
        A file of `folder`, which may extend `base.html`.
    folder
        The templates and scripts of whoever calls; what it lacks is taken from the shared ones here.
    thumbnails
        The pictures of the page by image path.
    script
        Files that make up the one script of the page, in order.
    **values
        What the template names.
    """
    templates = environment(folder)
    source = "\n".join(_source(templates, name) for name in script)
    return templates.get_template(template).render(
        thumbnails=thumbnails,
        style=Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        thumbnail_style=style_rules(thumbnails.values()),
        script=Markup(source),
        script_hash=base64.b64encode(hashlib.sha256(source.encode("utf-8")).digest()).decode("ascii"),
        **values,
    )  # fmt: skip


def _source(templates: Environment, name: str) -> str:
    """A script's text as it stands, with nothing filled in."""
    assert templates.loader is not None
    return templates.loader.get_source(templates, name)[0]


@cache
def environment(folder: Path) -> Environment:
    """The templates of a folder and the shared ones, with escaping on and missing values an error."""
    made = Environment(
        loader=FileSystemLoader([folder, TEMPLATES]),
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


def model_name(model: str) -> str:
    """A model's name as a person says it."""
    return MODEL_NAMES.get(model, model.replace("_", " "))


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
