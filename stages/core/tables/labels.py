"""What a label may be: the cell's text in one spelling of its characters, without any that cannot be seen.

In: the text of a cell. Out: the label. Nothing that can be seen is changed: a label keeps its sign, its formula and its
length. Which columns hold labels is left to `columns`, formulas in files to `spreadsheet`.
"""

import re
import unicodedata

from stages.core.tables.spreadsheet import escape_formula

# A longer text describes one picture; it names no class.
MAX_LABEL = 1000
MAX_TYPED = 200
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SPACES = re.compile(r"(?:[^\S\x85]|[\u2800\u3164\uffa0])+")
# Controls, soft hyphens, marks of direction, zero-width spaces, byte-order marks, variation selectors. In a mis-decoded
# text 0x80 to 0x9f, and 0xad behind a letter like A-tilde, are halves of letters: they stay, so that letters differ.
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0e-\x1b\x7f\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f"
    r"\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]|(?<![\xc2-\xf4])\xad"
)
# Between letters of scripts that need them (Persian, Indic, emoji), joiners are part of the spelling.
_STRAY_JOINER = re.compile(r"(?<![\u0590-\U0010ffff])[\u200c\u200d]|[\u200c\u200d](?![\u0590-\U0010ffff])")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def normalise(text: str) -> str:
    """Give a label or path its one spelling: NFC, without spaces around it.

    >>> normalise(" Andre\\u0301 ") == "Andr\\xe9"
    True
    """
    return unicodedata.normalize("NFC", text).strip(" ")


def clean_label(text: str) -> str:
    """Give a label without invisible characters, and with one plain space where there are others.

    >>> clean_label("Art\\xa0 Nouveau\\u200b"), clean_label("-500"), clean_label("=Cubism")
    ('Art Nouveau', '-500', '=Cubism')
    """
    text = _SURROGATE.sub("\ufffd", text)
    text = _INVISIBLE.sub("", _STRAY_JOINER.sub("", text))
    return unicodedata.normalize("NFC", _SPACES.sub(" ", text)).strip(" ")


def label_problem(label: str) -> str:
    """What keeps a text from being typed as a new label; empty if nothing does. A source's labels may be more.

    >>> label_problem("=Cubism"), label_problem("-500")
    ('label is no plain name', '')
    """
    plain = clean_label(label) == label and len(label) <= MAX_TYPED and escape_formula(label) == label
    return "" if plain else "label is no plain name"
