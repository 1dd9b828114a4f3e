"""Cityscapes: house fronts, streets in perspective, towns on a slope or a quay.

In: an easel. Out: the town on it, as layers from far to near.
"""

from itertools import pairwise

import numpy as np

from stages.demo.painter.easel import Easel
from stages.demo.painter.genres.landscape import add_sky, add_water, sails, scattered
from stages.demo.painter.outlines import ellipse, rectangle
from stages.demo.painter.stencils import draw


def cityscape(easel: Easel) -> None:
    """Compose a cityscape."""
    add_sky(easel, 0.75)
    (low, high), layers = easel.choose("cityscape", COMPOSITIONS)
    base = easel.rng.uniform(low, high)
    for layer in layers:
        layer(easel, base)


def _row(easel: Easel, base: float) -> None:
    """House fronts along a street."""
    _add_row(easel, base, 1.0, (base - 0.2) * 2 / 3)


def _rooftops(easel: Easel, top: float) -> None:
    """A town on a slope: row above row, the near ones larger."""
    for level in np.linspace(top + 0.05, 1.15, int(easel.rng.integers(4, 6))):
        _add_row(easel, level + 0.1, 0.4 + 0.35 * level, 0.2)


def _add_row(easel: Easel, base: float, scale: float, height: float) -> None:
    """Fronts side by side, of at least this height."""
    rng, left = easel.rng, -easel.rng.uniform(0, 0.15)
    while left < easel.aspect:
        right = left + rng.uniform(0.16, 0.32) * scale
        _add_front(easel, left, right, base - height * rng.uniform(1, 1.5), base)
        left = right


def _add_front(easel: Easel, left: float, right: float, top: float, base: float) -> None:
    """One house front: roof, wall, cornice, rows of windows, a door or a shop."""
    rng, wide = easel.rng, right - left
    wall, own = easel.tint("front light:0-.35"), easel.tint("accent")
    draw(easel, rng.choice(["gable", "mansard", "steps", "flat"]), left, top, wide, scale=(1, rng.uniform(0.6, 1.1)))
    easel.add(rectangle(left, top, right, base), wall, "solid", shade=0.1, angle=1.5)
    easel.add(rectangle(left, top, right, top + wide * 0.05), easel.tint("own white:.25", own=wall), detail=0.4)
    columns, storey = int(rng.integers(2, 5)), rng.uniform(0.085, 0.12)
    windows = ["window", "shutters"] if rng.random() < 0.4 else ["window"]
    size = wide / columns * rng.uniform(0.4, 0.55), storey * rng.uniform(0.5, 0.62)
    for y in np.arange(top + storey * 0.65, base - storey * 1.1, storey):
        for x in left + wide * (np.arange(columns) + 0.5) / columns:
            for stencil in windows:
                draw(easel, stencil, x, y, 1, scale=size, wall=wall, own=own)
    draw(easel, "shop" if rng.random() < 0.45 else "door", left, base, 1, scale=(wide, 1), own=own)


def _pavement(easel: Easel, top: float) -> None:
    easel.add(rectangle(-0.1, top, easel.aspect + 0.1, 1.1), "soil wall:.5", to="soil wall:.3 black:.35", detail=0.2)
    _gleams(easel, top)


def _canal(easel: Easel, quay: float) -> None:
    """Water below a quay, with the broken reflection of the fronts."""
    rng = easel.rng
    fronts = [s for s in easel.shapes if np.ptp(s.outline[:, 1]) > 0.12 and np.ptp(s.outline[:, 0]) < 0.35]
    add_water(easel, quay)
    easel.add(rectangle(-0.1, quay - 0.005, easel.aspect + 0.1, quay + 0.03), "soil dark:.4", detail=0.4)
    for depth in np.sort(rng.random(46)):
        front = fronts[rng.integers(len(fronts))]
        x, y = front.outline[:, 0].mean() + rng.normal(0, 0.03), quay + 0.05 + (0.95 - quay) * depth
        ripple = ellipse(x, y, 0.03 + 0.08 * rng.random(), 0.004 + 0.007 * depth)
        easel.add(ripple, easel.tint("own water:.35", own=front.colour), "flat", detail=0.5, opacity=0.8)


def _receding_rows(easel: Easel, horizon: float) -> None:
    """Two rows of houses along a street that runs to a vanishing point."""
    vanish = np.array([easel.aspect * easel.rng.uniform(0.38, 0.62), horizon])
    for edge in (-0.02, easel.aspect + 0.02):
        depths = np.cumprod([1.0, *easel.rng.uniform(0.62, 0.78, 5)])[::-1]
        for far, near in pairwise(depths):
            _add_receding_front(easel, vanish, edge, near, far)


def _add_receding_front(easel: Easel, vanish: np.ndarray, edge: float, near: float, far: float) -> None:
    """A front seen at a slant, between two depths; at depth 1 it would stand at x = `edge`."""

    def slanted(first: float, second: float, top: float, base: float) -> np.ndarray:
        """Every length shrinks towards the vanishing point."""
        depth = np.array([first, second, second, first])[:, None]
        return np.asarray(vanish + (rectangle(edge, top, edge, base) - vanish) * depth)

    top, rows = easel.rng.uniform(-0.15, 0.2), int(easel.rng.integers(4, 6))
    shaded = (edge > vanish[0]) == (easel.lit_side > 0)
    easel.add(slanted(near, far, top - 0.1, top), "accent dark:.4", "plain", angle=1.0)
    easel.add(slanted(near, far, top, 1.05), f"front light:0-.35 black:{0.3 if shaded else 0}", "upright")
    for first in near + (far - near) * np.array([0.08, 0.42, 0.75]):
        for high in top + (1.05 - top) * (np.arange(rows) + 0.25) / rows:
            pane = slanted(first, first + (far - near) * 0.16, high, high + 0.5 * (1.05 - top) / rows)
            easel.add(pane, "pane", "upright", detail=0.75)


_skyline = scattered("far_block", count=(14, 28), reach=(0, 0), size=(0.08, 0.26))
_avenue = scattered("round", count=(3, 7), reach=(0.2, 0.3), size=(0.36, 0.5), leaf="foliage black:.12", bark="dark")
_gleams = scattered("gleam", count=(3, 9), reach=(0.1, 1), size=(0.02, 0.2))
_lamps = scattered("lamp", count=(0, 3), reach=(0.15, 0.15), size=(0.25, 0.33))
_people = scattered("person", count=(2, 10), reach=(0.12, 0.98), size=(0.06, 0.16))

# Where the houses stand, least and largest y, and the layers.
COMPOSITIONS = {
    "street": ((0.58, 0.68), (_skyline, _pavement, _receding_rows, _lamps, _people)),
    "fronts": ((0.76, 0.88), (_row, _pavement, _lamps, _people)),
    "waterfront": ((0.58, 0.68), (_skyline, _row, _canal, sails)),
    "boulevard": ((0.7, 0.78), (_row, _pavement, _avenue, _lamps, _people)),
    "rooftops": ((0.45, 0.55), (_skyline, _rooftops)),
}
