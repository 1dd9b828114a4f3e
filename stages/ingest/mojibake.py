"""Texts whose bytes were read in the wrong encoding: `grÃ©goire` for `grégoire`.

In: a text. Out: what it becomes when mis-decoded, or what it was before. Names are matched and labels reported with it;
nothing is changed by a guess.
"""

import unicodedata
from collections.abc import Iterator

from stages.core.tables.encodings import WESTERN, decode_legacy

# What UTF-8 is mistaken for: by Windows, by databases, by unzip, by older Macs.
MISTAKEN_FOR = (WESTERN, "latin-1", "cp437", "mac_roman", "cp850")
_BYTES = {encoding: {decode_legacy(bytes([byte]), encoding): byte for byte in range(256)} for encoding in MISTAKEN_FOR}


def misread(text: str) -> Iterator[str]:
    """Every text that this one becomes when its UTF-8 is taken for another encoding, once or twice.

    >>> "ZoÃ«" in misread("Zoë")
    True
    """
    if text.isascii():
        return
    for form in {unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)}:
        for encoding in MISTAKEN_FOR:
            once = decode_legacy(form.encode("utf-8", "surrogateescape"), encoding)
            yield once
            if encoding in (WESTERN, "latin-1"):
                yield decode_legacy(once.encode("utf-8", "surrogateescape"), encoding)


def read_bytes_as(name: str) -> Iterator[str]:
    """The texts that a file name may mean whose bytes are no UTF-8 (as lone surrogates)."""
    content = name.encode("utf-8", "surrogateescape")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        for encoding in MISTAKEN_FOR:
            yield decode_legacy(content, encoding)


def reread(text: str) -> str:
    """The text before it was mis-decoded, if its characters are the bytes of one; else an empty text.

    >>> reread("AndrÃ© Derain"), reread("André Derain")
    ('André Derain', '')
    """
    if text.isascii():
        return ""
    for encoding in MISTAKEN_FOR:
        try:
            found = bytes(_BYTES[encoding][char] for char in text).decode("utf-8")
        except (KeyError, UnicodeDecodeError):
            continue
        return reread(found) or found
    return ""
