"""Fill the templates: every value is escaped, style and script are inlined, and the page may load nothing else.

In: what a page shows. Out: its HTML as text. A Content Security Policy in each page forbids every request and every
other script, whatever the names of classes and files.
"""

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeGuard

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from stages.core.pages.thumbnails import Thumbnail, style_rules

TEMPLATES = Path(__file__).parent / "templates"
MODEL_NAMES = {"head": "LSTM head", "logistic_regression": "Logistic regression", "majority": "Majority class"}
DASH = "\N{EN DASH}"


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
        The caller's templates and scripts; files missing there are taken from the shared ones.
    thumbnails
        The pictures of the page by image path.
    script
        Files of the page's script, in order.
    **values
        The template's variables.
    """
    templates = environment(folder)
    source = "\n".join(_read_source(templates, name) for name in script)
    return templates.get_template(template).render(
        thumbnails=thumbnails,
        style=Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        thumbnail_style=style_rules(thumbnails.values()),
        script=Markup(source),
        script_hash=base64.b64encode(hashlib.sha256(source.encode("utf-8")).digest()).decode("ascii"),
        **values,
    )


def _read_source(templates: Environment, name: str) -> str:
    """Read a script without filling in anything."""
    assert templates.loader is not None
    return templates.loader.get_source(templates, name)[0]


@cache
def environment(folder: Path) -> Environment:
    """Make the environment of a folder's templates and the shared ones: values are escaped, missing ones an error."""
    made = Environment(
        loader=FileSystemLoader([folder, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "score": format_score,
        "percent": format_percent,
        "count": format_count,
        "css": format_css_number,
        "model_name": name_model,
        "as_words": as_words,
        "probability": format_probability,
        "equals_probability": format_equation,
        "nonbreaking": keep_percent_signs,
    }
    made.tests["known"] = is_known
    return made


def name_model(model: str) -> str:
    """Name a model for a person.

    >>> name_model("logistic_regression"), name_model("nearest_class")
    ('Logistic regression', 'nearest class')
    """
    return MODEL_NAMES.get(model, as_words(model))


def format_score(value: float | None, digits: int = 3) -> str:
    """Format a score; a dash for None or NaN.

    >>> format_score(0.5), format_score(0.456, 2)
    ('0.500', '0.46')
    """
    return f"{value:.{digits}f}" if is_known(value) else DASH


def format_percent(value: float | None) -> str:
    """Format a share in whole percent; a dash for None or NaN.

    >>> format_percent(0.456).replace("\N{NO-BREAK SPACE}", " ")
    '46 %'
    """
    return f"{value * 100:.0f}\N{NO-BREAK SPACE}%" if is_known(value) else DASH


def format_count(value: float | None) -> str:
    """Format a whole number with thousands separated; a dash for None or NaN.

    >>> format_count(81446)
    '81,446'
    """
    return f"{int(value):,}" if is_known(value) else DASH


def format_css_number(value: float | None) -> str:
    """Format a number for style sheets and scripts; 0 for None or NaN.

    >>> format_css_number(0.25), format_css_number(None)
    ('0.25', '0')
    """
    return f"{value:.4g}" if is_known(value) else "0"


def as_words(name: str) -> str:
    """Write a name from a file as words.

    >>> as_words("near_duplicate")
    'near duplicate'
    """
    return name.replace("_", " ")


def format_probability(value: float | None) -> str:
    """Format a probability with two significant digits; a dash for None or NaN.

    >>> format_probability(0.0234), format_probability(1e-9)
    ('0.023', '< 0.0001')
    """
    if not is_known(value):
        return DASH
    return "< 0.0001" if value < 1e-4 else f"{value:.2g}"


def format_equation(value: float | None) -> str:
    """Format a probability to follow the name of its quantity.

    >>> format_equation(0.0234), format_equation(1e-9)
    ('= 0.023', '< 0.0001')
    """
    text = format_probability(value)
    return text if text.startswith("<") else f"= {text}"


def keep_percent_signs(sentence: str) -> str:
    """Prevent line breaks between a number and its percent sign.

    >>> keep_percent_signs("5 % of 20").replace("\N{NO-BREAK SPACE}", "~")
    '5~% of 20'
    """
    return sentence.replace(" %", "\N{NO-BREAK SPACE}%")


def is_known(value: float | None) -> TypeGuard[float]:
    """Whether a value is a number: neither None nor NaN."""
    return value is not None and not math.isnan(value)
