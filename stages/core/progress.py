"""Show how far long work is: a bar on a terminal, a log line every ten seconds elsewhere.

In: counts of finished units. Out: rate and time left, on stderr. What a unit is is left to the caller.
"""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
LOG_EVERY_S = 10.0

log = logging.getLogger(__name__)


class Progress:
    """Counts finished units of work and shows rate and time left; a context manager.

    Parameters
    ----------
    total
        Number of units in all.
    description
        What is being done, as a verb in -ing form.
    unit
        What is counted, in the plural.
    done
        Units finished by an earlier run: shown, but left out of the rate.
    """

    def __init__(self, total: int, description: str, unit: str = "images", done: int = 0) -> None:
        self.on_terminal = sys.stderr.isatty()
        self.bar = tqdm(
            total=total,
            initial=done,
            desc=description,
            unit=f" {unit}",
            disable=not self.on_terminal,
            dynamic_ncols=True,
        )
        self.total, self.description, self.unit = total, description, unit
        self.count = self.initial = done
        self.started = self.logged = time.monotonic()
        self.note = ""

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.close()
        if not self.on_terminal and self.count > self.initial:
            self._log()

    def advance(self, count: int = 1, note: str = "") -> None:
        """Note that `count` more units are finished; `note` says what came out of them, after the numbers."""
        self.count += count
        if note:
            self.note = f"; {note}"
            self.bar.set_postfix_str(note, refresh=False)
        self.bar.update(count)
        if not self.on_terminal and time.monotonic() - self.logged >= LOG_EVERY_S:
            self._log()

    def _log(self) -> None:
        self.logged = time.monotonic()
        rate = (self.count - self.initial) / max(self.logged - self.started, 1e-9)
        left = "" if self.count >= self.total else f", {(self.total - self.count) / max(rate, 1e-9):.0f} s left"
        log.info(
            "%s: %d of %d %s, %.1f a second%s%s",
            self.description,
            self.count,
            self.total,
            self.unit,
            rate,
            left,
            self.note,
        )


def tracked(items: Iterable[T], total: int, description: str, unit: str = "images") -> Iterator[T]:
    """Yield the items one by one, counting each as finished when the next is asked for."""
    with Progress(total, description, unit) as progress:
        for item in items:
            yield item
            progress.advance()
