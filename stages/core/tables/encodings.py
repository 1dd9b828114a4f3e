"""Tell the encoding of a text from its bytes: a byte-order mark, UTF-8, UTF-16 without a mark, else a guess.

In: bytes. Out: text, how it was read, and whether that is a guess. Reporting it is left to `text_files`.
"""

import codecs
import re
from typing import NamedTuple

from charset_normalizer import from_bytes

MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# What programs write tables in besides Unicode. The first is Excel's in western Europe and the Americas.
WESTERN = "cp1252"
LEGACY = [WESTERN, "cp1250", "cp1251", "cp1253", "cp1254", "koi8_r", "mac_roman", "cp932", "gb18030", "big5", "euc_kr"]
LINE_END = re.compile(rb"\r\n|\n|\r")
SAMPLE_LINES = 2000
# Mess (share of implausible characters) by which another encoding must be better than Windows-1252.
CLEARLY_BETTER = 0.01


class DecodedText(NamedTuple):
    """A text and how its bytes were read.

    Attributes
    ----------
    text
        The whole text.
    encoding
        Python's name.
    guessed_row
        The first line (from 1) that is not UTF-8, and so rests on a guess; 0 where nothing is guessed.
    byte
        The first byte there that is not UTF-8.
    mixed
        Whether other lines are UTF-8: only those that are not were read in `encoding`.
    """

    text: str
    encoding: str
    guessed_row: int = 0
    byte: int = 0
    mixed: bool = False


def decode_text(content: bytes) -> DecodedText:
    """Decode a text of unknown encoding.

    >>> decode_text("Šíma".encode("cp1252"))[:2]
    ('Šíma', 'cp1252')
    """
    for mark, encoding in MARKS.items():
        if content.startswith(mark):
            return DecodedText(content.decode(encoding, "replace"), encoding)
    content = content.removeprefix(codecs.BOM_UTF8)
    if encoding := _unmarked_utf16(content):
        return DecodedText(content.decode(encoding, "replace"), encoding)
    try:
        return DecodedText(content.decode("utf-8"), "utf-8")
    except UnicodeDecodeError as error:
        row = len(LINE_END.findall(content[: error.start])) + 1
        return _decode_legacy(content, row, content[error.start])


def _unmarked_utf16(content: bytes) -> str:
    """Name UTF-16's byte order where every other byte of most characters is zero; empty if it is not UTF-16."""
    start = content[: 1 << 16]
    if len(start) < 4:
        return ""
    first, second = start[::2].count(0) * 2 / len(start), start[1::2].count(0) * 2 / len(start)
    if max(first, second) < 0.4 or min(first, second) > 0.1:
        return ""
    return "utf-16-le" if second > first else "utf-16-be"


def _decode_legacy(content: bytes, row: int, byte: int) -> DecodedText:
    """Decode line by line where most lines that are not ASCII are UTF-8; else the whole text in one legacy encoding."""
    lines = content.splitlines(keepends=True)
    special = [line for line in lines if not line.isascii()]
    others = [line for line in special if not _is_utf8(line)]
    if len(special) > 2 * len(others):
        encoding = guess_legacy(b"".join(others[:SAMPLE_LINES]))
        text = "".join(line.decode("utf-8") if _is_utf8(line) else decode_legacy(line, encoding) for line in lines)
        return DecodedText(text, encoding, row, byte, mixed=True)
    encoding = guess_legacy(b"".join(special[:SAMPLE_LINES]))
    return DecodedText(decode_legacy(content, encoding), encoding, row, byte)


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def guess_legacy(sample: bytes) -> str:
    """Guess the encoding of a text that is no Unicode: Windows-1252 unless another is clearly more plausible."""
    found = {name: match for match in from_bytes(sample, cp_isolation=LEGACY) for name in match.could_be_from_charset}
    if not found:
        return WESTERN
    best = min(found, key=lambda name: (found[name].chaos, -found[name].coherence, LEGACY.index(name)))
    if WESTERN in found and found[WESTERN].chaos <= found[best].chaos + CLEARLY_BETTER:
        return WESTERN
    return best


def decode_legacy(content: bytes, encoding: str) -> str:
    """Decode; bytes that Windows-1252 does not define become the control characters that Latin-1 has there."""
    if encoding != WESTERN:
        return content.decode(encoding, "replace")
    try:
        return content.decode(WESTERN)
    except UnicodeDecodeError:
        return content.decode("latin-1").translate(_WINDOWS)


_WINDOWS = {code: bytes([code]).decode(WESTERN, "ignore") or chr(code) for code in range(0x80, 0xA0)}
