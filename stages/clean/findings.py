"""What was found in all files, kept in columns: about 200 bytes an image.

In: a `CheckedImage` per row. Out: columns for the tables, and the hashes as arrays.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from stages.clean.check_image import CheckedImage
from stages.clean.hashes import BYTES_PER_VIEW, COLOUR_BYTES, WORDS_PER_VIEW
from stages.clean.near import NO_COLOURS, PictureHashes
from stages.core.tables.columns import REJECTED


class Findings:
    """Columns of `n` rows, filled in any order.

    Attributes
    ----------
    good, missing
        Which rows can be used, and which have no file, shape `(n,)`, bool.
    """

    def __init__(self, count: int) -> None:
        self.good = np.zeros(count, dtype=bool)
        self.missing = np.zeros(count, dtype=bool)
        self._digests = np.zeros((count, 32), dtype=np.uint8)
        self._sizes = np.zeros((count, 2), dtype=np.int32)
        self._modes = np.zeros(count, dtype=np.int16)
        self._mode_codes: dict[str, int] = {}
        self._whole = np.zeros((count, BYTES_PER_VIEW), dtype=np.uint8)
        self._views = np.zeros(count, dtype=np.int8)
        self._between_bars: dict[int, bytes] = {}
        self._colours: dict[int, bytes] = {}
        self._pages: dict[int, str] = {}
        self._problems: dict[int, tuple[str, str]] = {}

    def put(self, row: int, checked: CheckedImage) -> None:
        """Note what was found for a row."""
        if checked.reason:
            self._problems[row] = (checked.reason, checked.detail)
            self.missing[row] = checked.reason == "missing"
            return
        self.good[row] = True
        self._digests[row] = np.frombuffer(bytes.fromhex(checked.sha256), dtype=np.uint8)
        self._sizes[row] = checked.width, checked.height
        self._modes[row] = self._mode_codes.setdefault(checked.mode, len(self._mode_codes))
        if checked.page:
            self._pages[row] = checked.page
        hashes = bytes.fromhex(checked.hashes)
        self._views[row] = len(hashes) // BYTES_PER_VIEW
        if hashes:
            self._whole[row] = np.frombuffer(hashes[:BYTES_PER_VIEW], dtype=np.uint8)
        if len(hashes) > BYTES_PER_VIEW:
            self._between_bars[row] = hashes[BYTES_PER_VIEW:]
        if checked.colours:
            self._colours[row] = bytes.fromhex(checked.colours)

    def described(self) -> pd.DataFrame:
        """`sha256`, `width`, `height` and `mode` of the good rows, indexed by row."""
        rows = np.flatnonzero(self.good)
        modes = np.array(list(self._mode_codes), dtype=object)
        return pd.DataFrame(
            {
                "sha256": [self._digests[row].tobytes().hex() for row in rows],
                "width": self._sizes[rows, 0],
                "height": self._sizes[rows, 1],
                "mode": modes[self._modes[rows]] if len(rows) else [],
            },
            index=rows,
        )

    def rejected(self, names: pd.Series, *, allow_missing: bool) -> pd.DataFrame:
        """`image`, `reason` and `detail` of the rows that cannot be used, in order; all, or all but missing files."""
        problems = [
            (names.iloc[row], *self._problems[row])
            for row in sorted(self._problems)
            if not (allow_missing and self.missing[row])
        ]
        return pd.DataFrame(problems, columns=REJECTED.names)

    def pages(self, names: Sequence[str]) -> list[str]:
        """The good rows whose file has several pages, in order, each with the page taken: `a.tif (2 of 5)`."""
        return [f"{names[row]} ({self._pages[row]})" for row in sorted(self._pages)]

    def hashes(self) -> PictureHashes:
        """Hashes of the good rows, whose owners count good rows only."""
        rows = np.flatnonzero(self.good)
        position = np.cumsum(self.good) - 1
        barred = np.array(sorted(self._between_bars), dtype=np.int64)
        inner = np.frombuffer(b"".join(self._between_bars[row] for row in barred), dtype=np.uint8)
        hashed = rows[self._views[rows] > 0]
        owner = np.concatenate([position[hashed], position[barred]])
        order = np.argsort(owner, kind="stable")
        views = np.concatenate([self._whole[hashed], inner.reshape(-1, BYTES_PER_VIEW)])[order]
        colours = np.full((len(owner), COLOUR_BYTES), NO_COLOURS, dtype=np.int16)
        for view, (row, start) in enumerate([*((row, 0) for row in hashed), *((row, COLOUR_BYTES) for row in barred)]):
            if row in self._colours:
                colours[view] = np.frombuffer(self._colours[row], np.uint8, COLOUR_BYTES, start)
        words = views.view(np.uint64).reshape(-1, WORDS_PER_VIEW)
        return PictureHashes.from_words(owner[order], words, colours[order])
