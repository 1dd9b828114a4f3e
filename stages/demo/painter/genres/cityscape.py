"""Cityscapes: house fronts, streets in perspective, skylines over water.

In: an easel. Out: the town on it, as layers from far to near.
"""

from collections.abc import Callable

import numpy as np

from stages.demo.painter.easel import FLAT, GLOW, PLAIN, SMALL, SOLID, UPRIGHT, Easel, part
from stages.demo.painter.genres.nature import add_sails, add_sky, add_tree, add_water
from stages.demo.painter.outlines import ellipse, mirrored, path, rectangle, smoothed

ASPECTS = (0.72, 1.7)

# Roofs over a front one wide, with a chimney.
CHIMNEY = part(rectangle(0.15, -0.6, 0.27, 0), "own black:.2", UPRIGHT, chance=0.6)
ROOFS = (
    (CHIMNEY, part(path("-.02 0, .5 -.5, 1.02 0"), "own", PLAIN, angle=1.0)),
    (CHIMNEY, part(path("0 0, .12 -.4, .88 -.4, 1 0"), "own", PLAIN, angle=1.3)),
    (part(mirrored(".5 0, .5 -.15, .33 -.15, .33 -.3, .16 -.3, .16 -.47") + (0.5, 0), "own", UPRIGHT),),
    (CHIMNEY,),
)
# A window around (0, 0), as wide as 1 and as high as 1, its shutters, and a shop's awning over a front one wide.
WINDOW = (part(rectangle(-0.6, -0.56, 0.6, 0.6), "wall white:.35", UPRIGHT, detail=0.7),)
PANE = (part(rectangle(-0.5, -0.5, 0.5, 0.5), "pane", UPRIGHT, detail=0.8),)
SHUTTERS = tuple(part(rectangle(x, -0.5, x + 0.35, 0.5), "shutter", UPRIGHT, detail=0.7) for x in (-0.88, 0.53))
SHOP = (
    part(rectangle(0.1, -0.085, 0.9, 0), "pane", UPRIGHT, detail=0.6),
    *(
        part(rectangle(x, -0.09, x + 0.15, -0.05), "own" if i % 2 else "light", SMALL)
        for i, x in enumerate(0.05 + 0.15 * np.arange(6))
    ),
)
DOOR = (part(rectangle(0.2, -0.08, 0.42, 0), "own dark:.3", UPRIGHT, detail=0.7),)
# A passer-by one high, and a street lamp one high.
PERSON = (
    part(ellipse(0.2, 0, 0.35, 0.06), "dark", GLOW, soft=0.04),
    part(smoothed(mirrored(".1 -.8, .17 0"), 1), "own", SOLID, angle=1.5, detail=0.9),
    part(ellipse(0, -0.88, 0.08, 0.1, points=12), "skin", SMALL),
)
LAMP = (
    part(rectangle(-0.018, -1, 0.018, 0), "dark", UPRIGHT, detail=0.8),
    part(ellipse(0, -1, 0.5, 0.5), "light", GLOW, soft=0.16),
    part(ellipse(0, -1, 0.055, 0.07, points=14), "light", SMALL),
)


def cityscape(easel: Easel) -> None:
    """Compose a cityscape."""
    add_sky(easel, 0.75)
    easel.one_of("cityscape", COMPOSITIONS)(easel)


def _skyline(easel: Easel, base: float, height: float) -> None:
    """Far blocks, domes and steeples: one flat tone in the haze."""
    rng, left = easel.rng, -0.05
    while left < easel.aspect:
        wide, top = rng.uniform(0.04, 0.13), base - height * rng.uniform(0.3, 1.0)
        tone, middle = easel.tint("horizon zenith:.5 dark:.17-.27"), left + wide / 2
        easel.add(rectangle(left, top, left + wide, base), tone, FLAT, angle=1.5)
        if rng.random() < 0.25:
            easel.add(ellipse(middle, top, wide * 0.4, wide * 0.5), tone, FLAT, angle=None)
        elif rng.random() < 0.3:
            easel.add(mirrored("0 -1.2, .2 0") * wide + (middle, top), tone, FLAT, angle=1.5)
        left += wide * rng.uniform(0.7, 1.1)


def _front(easel: Easel, left: float, right: float, top: float, base: float) -> None:
    """One house front: roof, wall, rows of windows, a door or a shop."""
    rng, wide = easel.rng, right - left
    wall = easel.tint("front light:0-.35")
    easel.draw(ROOFS[rng.integers(len(ROOFS))], left, top, wide, tall=rng.uniform(0.6, 1.1), own="accent dark:.35")
    easel.add(rectangle(left, top, right, base), wall, SOLID, shade=0.1, angle=1.5)
    cornice = rectangle(left - wide * 0.02, top, right + wide * 0.02, top + wide * 0.05)
    easel.add(cornice, easel.tint("own white:.25", {"own": wall}), PLAIN, detail=0.4)
    columns, storey = int(rng.integers(2, 5)), rng.uniform(0.085, 0.12)
    window = WINDOW + PANE + (SHUTTERS if rng.random() < 0.4 else ())
    size, tall = wide / columns * rng.uniform(0.4, 0.55), storey * rng.uniform(0.5, 0.62)
    shutter = easel.tint("accent")
    for y in np.arange(top + storey * 0.65, base - storey * 1.1, storey):
        for x in left + wide * (np.arange(columns) + 0.5) / columns:
            easel.draw(window, x, y, size, tall=tall / size, wall=wall, shutter=shutter)
    easel.draw(SHOP if rng.random() < 0.45 else DOOR, left, base, wide, tall=1 / wide, own="accent")


def _row(easel: Easel, base: float, highest: float, lowest: float) -> None:
    """House fronts side by side."""
    left = -easel.rng.uniform(0, 0.1)
    while left < easel.aspect:
        right = left + easel.rng.uniform(0.16, 0.32)
        _front(easel, left, right, easel.rng.uniform(highest, lowest), base)
        left = right


def _pavement(easel: Easel, top: float) -> None:
    rng, stone = easel.rng, easel.tint("soil wall:.5 dark:.12")
    own = {"own": stone}
    easel.add(rectangle(-0.1, top, easel.aspect + 0.1, 1.1), stone, to=easel.tint("own black:.25", own), detail=0.2)
    for depth in rng.uniform(0.1, 1, rng.integers(3, 9)):
        streak = ellipse(rng.random() * easel.aspect, top + (1 - top) * depth, 0.2 * depth, 0.006, points=14)
        easel.add(streak, easel.tint("own white:.3", own), FLAT, opacity=0.6)


def _people(easel: Easel, top: float, most: int) -> None:
    """Passers-by and a lamp or two, the near ones tall."""
    rng = easel.rng
    for x in rng.uniform(0.1, 0.9, rng.integers(0, 3)) * easel.aspect:
        easel.draw(LAMP, x, top + 0.03, rng.uniform(0.25, 0.33))
    for depth in np.sort(rng.random(rng.integers(2, most))):
        x, y = rng.uniform(0.1, 0.9) * easel.aspect, top + (0.98 - top) * depth
        easel.draw(PERSON, x, y, 0.06 + 0.1 * depth, wide=rng.uniform(0.8, 1.2), own="accent dark:.2-.8")


def _fronts(easel: Easel) -> None:
    base = easel.rng.uniform(0.78, 0.88)
    _row(easel, base, 0.2, 0.45)
    _pavement(easel, base)
    _people(easel, base + 0.02, 8)


def _waterfront(easel: Easel) -> None:
    """Houses along a quay and their broken reflection."""
    rng, quay = easel.rng, easel.rng.uniform(0.58, 0.68)
    _skyline(easel, quay, 0.3)
    _row(easel, quay, 0.24, 0.44)
    fronts = [s for s in easel.shapes if np.ptp(s.outline[:, 1]) > 0.12 and np.ptp(s.outline[:, 0]) < 0.35]
    add_water(easel, quay, 1.1)
    easel.add(rectangle(-0.1, quay - 0.005, easel.aspect + 0.1, quay + 0.03), "soil dark:.4", PLAIN, detail=0.4)
    for depth in np.sort(rng.random(46)):
        front = fronts[rng.integers(len(fronts))]
        x, colour = front.outline[:, 0].mean() + rng.normal(0, 0.03), easel.tint("own water:.35", {"own": front.colour})
        ripple = ellipse(x, quay + 0.05 + (0.95 - quay) * depth, 0.03 + 0.08 * rng.random(), 0.004 + 0.007 * depth)
        easel.add(ripple, colour, FLAT, detail=0.5, opacity=0.8)
    add_sails(easel, quay + 0.1, 0.95, int(rng.integers(0, 3)))


def _street(easel: Easel) -> None:
    """A street that runs to a vanishing point between two rows of houses."""
    rng = easel.rng
    vanish = np.array([easel.aspect * rng.uniform(0.38, 0.62), rng.uniform(0.58, 0.68)])
    _skyline(easel, vanish[1] + 0.01, 0.22)
    _pavement(easel, vanish[1])
    for edge in (-0.02, easel.aspect + 0.02):
        cuts = np.cumprod([1.0, *rng.uniform(0.62, 0.78, 5)])[::-1]
        for far, near in zip(cuts, cuts[1:], strict=False):
            # Corners at depth 1 lie at the picture's edge; every length shrinks towards the vanishing point.
            _receding_front(
                easel, lambda depth, y, edge=edge: vanish + ((edge, y) - vanish) * depth, near, far, edge > vanish[0]
            )
    _people(easel, vanish[1] + 0.06, 7)


def _receding_front(
    easel: Easel, at: Callable[[float, float], np.ndarray], near: float, far: float, right: bool
) -> None:
    """A front seen at a slant, between two depths."""

    def slanted(first: float, second: float, high: float, low: float) -> np.ndarray:
        return np.array([at(first, high), at(second, high), at(second, low), at(first, low)])

    rng, top, base = easel.rng, easel.rng.uniform(-0.15, 0.2), 1.05
    wall = easel.tint("front light:0-.35 black:.3" if right == (easel.lit_side > 0) else "front light:0-.35")
    easel.add(slanted(near, far, top - 0.1, top), "accent dark:.4", PLAIN, angle=1.0)
    easel.add(slanted(near, far, top, base), wall, UPRIGHT)
    rows = int(rng.integers(4, 6))
    for column in (np.arange(3) + 0.25) / 3:
        for row in (np.arange(rows) + 0.25) / rows:
            first, high = near + (far - near) * column, top + (base - top) * row
            pane = slanted(first, first + (far - near) * 0.16, high, high + (base - top) * 0.52 / rows)
            easel.add(pane, "pane", UPRIGHT, detail=0.75)


def _boulevard(easel: Easel) -> None:
    """House fronts behind a row of trees, people on the promenade."""
    rng, base, count = easel.rng, easel.rng.uniform(0.7, 0.78), int(easel.rng.integers(3, 6))
    _row(easel, base, 0.22, 0.36)
    _pavement(easel, base)
    for x in easel.aspect * (np.arange(count) + rng.uniform(0.3, 0.7, count)) / count:
        add_tree(easel, x, base + 0.06, rng.uniform(0.36, 0.5), kind="round")
    _people(easel, base + 0.06, 13)


def _rooftops(easel: Easel) -> None:
    """A town on a slope: gables above gables."""
    rng = easel.rng
    _skyline(easel, 0.5, 0.28)
    for level in np.linspace(0.55, 1.15, int(rng.integers(4, 6))):
        left, scale = -rng.uniform(0, 0.15), 0.6 + 0.5 * level
        while left < easel.aspect:
            right = left + rng.uniform(0.1, 0.22) * scale
            _front(easel, left, right, level - rng.uniform(0.12, 0.2) * scale, level + 0.1)
            left = right + rng.uniform(-0.02, 0.04)


COMPOSITIONS = {
    "street": _street,
    "fronts": _fronts,
    "waterfront": _waterfront,
    "boulevard": _boulevard,
    "rooftops": _rooftops,
}
