"""What a label may be: one spelling, no control characters, nothing that a spreadsheet would run.

In: the text of a cell. Out: the label, or an empty text. Which columns hold labels is left to `columns`.
"""

import re
import unicodedata

# A spreadsheet takes a cell that begins so for a formula, and may run it.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def normalise(text: str) -> str:
    """Give a label or path its one spelling: NFC, without spaces around it.

    >>> normalise(" Andre\\u0301 ") == "Andr\\xe9"
    True
    """
    return unicodedata.normalize("NFC", text).strip(" ")


def clean_label(label: str) -> str:
    """Remove control characters, and what would make a spreadsheet run the label.

    >>> clean_label("=Cubism")
    'Cubism'
    """
    label = CONTROL.sub(" ", label.encode("utf-8", "replace").decode())
    while label.startswith(FORMULA_STARTS) or label != label.strip():
        label = label.strip().lstrip("".join(FORMULA_STARTS))
    return label[:200]


def label_problem(label: str) -> str:
    """What keeps a text from being a class name; empty if nothing does."""
    return "" if clean_label(label) == label else "label is no plain name"
