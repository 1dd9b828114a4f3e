"""Invented titles, and the file names made from them.

In: a random generator. Out: slugs in Unicode NFC; a few carry accents, as names in real collections do.
Nothing in a name depends on whether the file will be sound.
"""

import unicodedata

import numpy as np

FIRST = [
    "morning",
    "evening",
    "quiet",
    "red",
    "the-last",
    "small",
    "winter",
    "august",
    "blue",
    "old",
    "two",
    "forgotten",
    "golden",
    "northern",
    "study-of-a",
    "memory-of-a",
    "silent",
    "crème",
    "été",
    "grå",
    "late",
    "first",
    "hidden",
    "pale",
]
SECOND = [
    "harbour",
    "garden",
    "letter",
    "window",
    "song",
    "orchard",
    "visitor",
    "table",
    "river",
    "mirror",
    "lantern",
    "market",
    "hour",
    "dialogue",
    "fjäll",
    "café",
    "stillness",
    "threshold",
    "festival",
    "rêverie",
    "crossing",
    "harvest",
    "tide",
    "noon",
]
# Most titles have no third part.
THIRD = [
    "",
    "",
    "",
    *["in-spring", "at-dusk", "with-pears", "no-2", "after-rain", "in-blue", "på-ön", "for-inès", "seen-twice"],
]


def title_slug(rng: np.random.Generator) -> str:
    """Invent a title.

    Examples
    --------
    >>> title_slug(np.random.default_rng(0))
    'late-café-no-2'
    """
    words = (pool[rng.integers(len(pool))] for pool in (FIRST, SECOND, THIRD))
    return unicodedata.normalize("NFC", "-".join(word for word in words if word))


def artist_slug(name: str) -> str:
    """Turn a name into a folder's name, accents kept.

    Examples
    --------
    >>> artist_slug("Jörn Västerholm")
    'jörn-västerholm'
    """
    return unicodedata.normalize("NFC", name).lower().replace(" ", "-")
