"""What a label may be: one spelling, no control characters, nothing that a spreadsheet would run.

In: the text of a cell. Out: the label, or an empty text. Which column a label stands in is left to `columns.py`.
"""

import re
import unicodedata

from stages.core.tables.problems import FORMULA_STARTS

CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def normalise(text: str) -> str:
    """One spelling per label and path: NFC, no spaces around."""
    return unicodedata.normalize("NFC", text).strip(" ")


def clean_label(label: str) -> str:
    """The label without control characters, and without what would make a spreadsheet run it."""
    label = CONTROL.sub(" ", label.encode("utf-8", "replace").decode())
    while label.startswith(FORMULA_STARTS) or label != label.strip():
        label = label.strip().lstrip("".join(FORMULA_STARTS))
    return label[:200]


def label_problem(label: str) -> str:
    """What keeps a text from being a class name; empty if nothing does."""
    return "" if clean_label(label) == label else "label is no plain name"
