"""Show characters that have no shape or turn the writing direction, so that two class names never look alike.

In: a text from a table. Out: the same text for a person to read. What is sent back in a decision stays unchanged.
"""

import unicodedata

# Joiners are part of the spelling of Persian, of Indic scripts and of emoji; elsewhere they are invisible.
JOINERS = "\u200c\u200d"
# Letters that have no shape although Unicode calls them letters.
BLANK_LETTERS = "\u115f\u1160\u17b4\u17b5\u3164\uffa0\u034f"
HIDDEN_CATEGORIES = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}


def show_invisible(text: str) -> str:
    r"""Replace invisible characters by their numbers.

    Examples
    --------
    >>> show_invisible("portrait\u202e") == "portrait⟨U+202E⟩"
    True
    >>> show_invisible("\u0645\u06cc\u200c\u062e\u0648") == "\u0645\u06cc\u200c\u062e\u0648"
    True
    """
    return "".join(_show(character, text[index - 1 : index]) for index, character in enumerate(text))


def _show(character: str, before: str) -> str:
    if character in JOINERS and before and not before.isascii() and before not in JOINERS:
        return character
    if character in BLANK_LETTERS or unicodedata.category(character) in HIDDEN_CATEGORIES:
        return f"⟨U+{ord(character):04X}⟩"
    return character
