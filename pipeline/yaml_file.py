"""Read a small YAML file or value of unknown origin: quickly, in bounded memory, and refused by line if it is hostile.

In: a path or a text. Out: its plain values, or a `YamlError` that names the line. What the values mean is left to
`pipeline.params`.
"""

import os
import re
import stat
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, Event, NodeEvent, ScalarEvent

from stages.core.errors import naming

MAX_BYTES = 2**20
MAX_DEPTH = 32
# Values once every alias is replaced by what it stands for.
MAX_VALUES = 20_000
MAX_NUMBER_CHARACTERS = 100
NUMBER = re.compile(r"[-+]?[0-9a-fA-FxobeE_.+-]+")
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")


class YamlError(Exception):
    """Says in one line what is wrong, and in which line of the text."""


def read_text(path: Path) -> str:
    """Read a settings file as text.

    Raises
    ------
    FileNotFoundError
        If it does not exist.
    YamlError
        If it is no regular file (a FIFO is not waited for), too large, not UTF-8, or cannot be opened.
    StageError
        If the disk fails while it is read.
    """
    try:
        # Without O_NONBLOCK, opening a FIFO waits for a writer.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise YamlError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        with naming(path):
            content = _read_bytes(descriptor)
    finally:
        os.close(descriptor)
    return _decode(content)


def _read_bytes(descriptor: int) -> bytes:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise YamlError("is no regular file: name a text file of settings")
    if status.st_size > MAX_BYTES:
        raise YamlError(f"has {status.st_size / 2**20:,.1f} MiB: a file of settings has at most {MAX_BYTES >> 20} MiB")
    content = b""
    while len(content) <= MAX_BYTES and (part := os.read(descriptor, MAX_BYTES)):
        content += part
    return content


def _decode(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise YamlError("line 1: is UTF-16: save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise YamlError(f"line {line}: byte 0x{content[error.start]:02x} is not UTF-8: save it as UTF-8") from None


def parse(text: str) -> Any:
    """Parse a YAML 1.2 text into plain values; an empty text is None.

    Raises
    ------
    YamlError
        If it is no YAML, or holds control characters, deep nesting, aliases that grow without end or a number of
        hundreds of digits.

    Examples
    --------
    >>> parse("train: {lr: 0.5}")
    {'train': {'lr': 0.5}}
    >>> parse("a: " + "[" * 3000)
    Traceback (most recent call last):
    ...
    pipeline.yaml_file.YamlError: line 1: more than 32 lists and sections inside one another
    """
    if found := CONTROL.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise YamlError(f"line {line}: holds the control character U+{ord(found[0]):04X}")
    line = 1
    try:
        check = _Check()
        for event in YAML(typ="safe", pure=True).parse(text):
            line = event.start_mark.line + 1
            check.take(event)
        return YAML(typ="safe", pure=True).load(text)
    except YamlError as error:
        raise YamlError(f"line {line}: {error}") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark else ""
        raise YamlError(f"{where}{_one_line(error.problem or error.context or 'no YAML')}") from None
    except Exception as error:  # its constructors raise anything at a hostile date, tag or key
        raise YamlError(f"no YAML value: {_one_line(str(error))}") from None


class _Check:
    """Counts what a text will become, event by event, before any of it is built."""

    def __init__(self) -> None:
        self._open: list[tuple[str | None, int]] = []
        self._sizes: dict[str, int] = {}
        self._values = 0

    def take(self, event: Event) -> None:
        """Count one event; YamlError if the limits are passed."""
        if isinstance(event, AliasEvent):
            self._count(self._size_of(event.anchor))
        elif isinstance(event, ScalarEvent):
            _check_number(event)
            self._count(1)
            if event.anchor:
                self._sizes[event.anchor] = 1
        elif isinstance(event, CollectionStartEvent):
            self._begin(event)
        elif isinstance(event, CollectionEndEvent):
            anchor, before = self._open.pop()
            if anchor:
                self._sizes[anchor] = self._values - before

    def _begin(self, event: NodeEvent) -> None:
        self._open.append((event.anchor, self._values))
        self._count(1)
        if len(self._open) > MAX_DEPTH:
            raise YamlError(f"more than {MAX_DEPTH} lists and sections inside one another")

    def _size_of(self, anchor: str) -> int:
        if any(anchor == name for name, _ in self._open):
            raise YamlError(f"*{anchor} stands inside what it refers to")
        return self._sizes.get(anchor, 1)  # the loader reports an unknown one

    def _count(self, values: int) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            raise YamlError(f"more than {MAX_VALUES:,} values, aliases included")


def _check_number(event: ScalarEvent) -> None:
    """Refuse what would become a number that can be neither read nor printed."""
    plain = event.style in (None, "") or event.tag
    if plain and len(event.value) > MAX_NUMBER_CHARACTERS and NUMBER.fullmatch(event.value):
        raise YamlError(f"a number of {len(event.value):,} digits")


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
