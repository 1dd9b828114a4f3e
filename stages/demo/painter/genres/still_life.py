"""Still lifes: vessels, fruit, bread, flowers and books on a table before a wall.

In: an easel. Out: the still life on it, from stencils that stand with their foot at (0, 0); their unit is about twice
the height of a cup.
"""

import numpy as np

from stages.demo.painter.easel import FLAT, GLOW, PLAIN, SMALL, SOLID, SPHERE, TURNED, UPRIGHT, Easel, Part, part
from stages.demo.painter.outlines import arc, blob, ellipse, mirrored, path, rectangle, ribbon, smoothed

ASPECTS = (0.8, 1.45)


def _gleam(radius: float, low: float, high: float) -> Part:
    line = np.array([(0.5, low), (0.55, (low + high) / 2), (0.5, high)]) * (radius, -1)
    return part(ribbon(line, [0.005, 0.07, 0.005]), "light white:.5", SMALL, lit=True, angle=1.5, opacity=0.7)


def _handle(x: float, y: float, radius: float) -> Part:
    return part(ribbon(arc(x, y, radius, -1.8, 1.8), 0.06), "own black:.18", PLAIN, angle=None, detail=0.6)


BOTTLE = (
    part(mirrored(".2 0, .24 -.05, .24 -.75, .19 -.92, .08 -1.08, .075 -1.34, .1 -1.34, .1 -1.4"), "glass", TURNED),
    part(rectangle(-0.19, -0.56, 0.19, -0.24), "light accent:.15", PLAIN, gradient="right", chance=0.5, detail=0.6),
    _gleam(0.24, 0.2, 0.85),
)
JUG = (
    _handle(0.33, -0.62, 0.24),
    part(mirrored(".24 0, .34 -.12, .4 -.4, .33 -.68, .2 -.86, .22 -1, .26 -1.04"), "own", TURNED),
    part(ellipse(0, -1.04, 0.26, 0.06), "own black:.55", SMALL, angle=None),
    _gleam(0.4, 0.25, 0.7),
)
CUP = (
    part(ellipse(0, -0.02, 0.42, 0.1), "own black:.08", SOLID, detail=0.5),
    _handle(0.26, -0.27, 0.12),
    part(mirrored(".13 -.02, .22 -.12, .26 -.3, .27 -.44"), "own", TURNED),
    part(ellipse(0, -0.44, 0.27, 0.065), "own white:.2", SMALL, angle=None),
    part(ellipse(0, -0.43, 0.22, 0.045), "wood black:.5", SMALL, angle=None),
)
LOAF = (
    part(smoothed(path("-.6 -.08, -.5 -.36, -.1 -.46, .35 -.4, .62 -.14, .5 0, -.5 0")), "crust accent:.15", SPHERE),
    *(
        part(ribbon(path("-.05 -.38, .07 -.2") + (shift, 0), 0.05), "crust white:.4", SMALL, angle=1.0)
        for shift in (-0.27, 0, 0.27)
    ),
)
BOOK = (
    part(path("-.5 -.13, -.4 -.24, .54 -.24, .5 -.13"), "own white:.15", PLAIN, detail=0.4),
    part(rectangle(-0.5, -0.13, 0.5, 0), "own", SOLID, detail=0.5),
    part(rectangle(-0.3, -0.09, 0.1, -0.06), "light", SMALL, opacity=0.8),
)
APPLE = (
    part(smoothed(path("0 -.45, .2 -.49, .27 -.28, .17 -.02, -.17 -.02, -.27 -.28, -.2 -.49")), "own", SPHERE),
    part(ellipse(0.1, -0.35, 0.045, 0.035, points=12), "own white:.75", SMALL, lit=True, opacity=0.8),
    part(ribbon(path("0 -.44, .03 -.55"), 0.025), "grass black:.5", SMALL, angle=1.5, chance=0.6),
)
PEAR = (
    part(smoothed(mirrored(".12 -.01, .23 -.1, .25 -.2, .17 -.34, .1 -.44, .08 -.53, .04 -.58"), 1), "own", SPHERE),
    part(ribbon(path("0 -.56, .04 -.68"), 0.025), "dark", SMALL, angle=1.5),
)
GRAPES = tuple(
    part(ellipse((i - (5 - row) / 2) * 0.13, -0.06 - row * 0.1, 0.075, 0.075, points=16), "own white:0-.1", SPHERE)
    for row in range(4)
    for i in range(6 - row)
)
RIM = (part(ellipse(0, -0.4, 0.72, 0.13), "own black:.5", PLAIN, angle=None, detail=0.5),)
HALF = arc(0, 0, 1, 0, np.pi)
BOWL = (part(np.concatenate([HALF * (0.72, 0.4), HALF[::-1] * (0.72, 0.12)]) + (0, -0.4), "own", SOLID, angle=0.2),)
VASE = (part(mirrored(".2 0, .28 -.2, .3 -.45, .17 -.7, .2 -.82"), "own", TURNED), _gleam(0.3, 0.2, 0.6))
# What a thing is drawn with: stencil, colour.
SIMPLE = {
    "bottle": (BOTTLE, "light"),
    "jug": (JUG, "accent light:0-.5"),
    "cup": (CUP, "light accent:.1-.6"),
    "loaf": (LOAF, "crust"),
    "apple": (APPLE, "fruit accent:.3"),
    "pear": (PEAR, "fruit leaf:.3"),
    "grapes": (GRAPES, "grape accent:.25"),
}
# Things that stand behind and in front by composition.
COMPOSITIONS = {
    "fruit": ("bottle jug", "bowl apple apple pear grapes"),
    "bottles": ("bottle bottle bottle jug", "cup apple books"),
    "flowers": ("vase", "pear books cup apple"),
    "breakfast": ("bottle jug vase", "cup cup loaf apple jug"),
    "mixed": ("bottle jug vase", "bowl apple cup loaf grapes books"),
}
COUNTS = {"flowers": (1, 2), "bottles": (2, 5), "fruit": (0, 2)}


def still_life(easel: Easel) -> None:
    """Compose a still life: the tall things stand behind, the small ones before."""
    rng = easel.rng
    kind = easel.one_of("still_life", {name: name for name in COMPOSITIONS})
    edge, more = rng.uniform(0.5, 0.64), int(easel.aspect > 1.1)
    _room(easel, edge)
    if rng.random() < 0.6:
        _cloth(easel, edge)
    behind, before = (names.split() for names in COMPOSITIONS[kind])
    _set_out(easel, behind, edge + 0.08, int(rng.integers(*COUNTS.get(kind, (1, 3)))), 1.15)
    _set_out(easel, before, edge + 0.17, int(rng.integers(1, 4)) + more, 1.0)
    _set_out(easel, ["apple", "pear", *before], edge + 0.28, int(rng.integers(1, 4)) + more, 0.95)


def _set_out(easel: Easel, names: list[str], y: float, count: int, scale: float) -> None:
    """Put things side by side in a row, with uneven gaps."""
    rng = easel.rng
    size = 0.3 * scale * min(1.0, easel.aspect)
    for place in rng.permutation(np.arange(count) + rng.uniform(0.3, 0.7, count)) / max(count, 1):
        _put(easel, rng.choice(names), easel.aspect * (0.14 + 0.72 * place), y + rng.normal(0, 0.02), size)


def _put(easel: Easel, name: str, x: float, y: float, size: float) -> None:
    """Put one thing on the table, with its shadow on the side away from the light."""
    size *= easel.rng.uniform(0.85, 1.15)
    reach = size * (0.55 if name in ("bowl", "loaf", "books") else 0.25 if name in ("apple", "pear") else 0.36)
    away = x - np.cos(easel.light) * reach * 0.8
    easel.add(ellipse(away, y, reach * 1.4, reach * 0.3), "dark black:.3", GLOW, opacity=0.5, soft=reach * 0.14)
    if name in SIMPLE:
        stencil, tint = SIMPLE[name]
        wide, tall = easel.rng.choice([-1, 1]) * easel.rng.uniform(0.85, 1.15), easel.rng.uniform(0.88, 1.15)
        easel.draw(stencil, x, y, size, wide=wide, tall=tall, own=tint, glass="glass dark:.2")
    else:
        {"bowl": _put_bowl, "books": _put_books, "vase": _put_vase}[name](easel, x, y, size)


def _put_bowl(easel: Easel, x: float, y: float, size: float) -> None:
    """A bowl heaped with fruit."""
    colour = easel.tint("accent light:.1-.7")
    easel.draw(RIM, x, y, size, own=colour)
    for dx in easel.rng.normal(0, 0.25, easel.rng.integers(4, 8)):
        lift = 0.25 + (0.2 - dx * dx) * easel.rng.uniform(0.1, 1.3)
        easel.draw(APPLE, x + dx * size, y - lift * size, 0.75 * size, own="fruit accent:.3")
    easel.draw(BOWL, x, y, size, own=colour)


def _put_books(easel: Easel, x: float, y: float, size: float) -> None:
    """A pile of books, spines to the viewer."""
    for floor in range(easel.rng.integers(1, 4)):
        slip, wide = easel.rng.normal(0, 0.04) * size, easel.rng.uniform(0.8, 1.1)
        easel.draw(BOOK, x + slip, y - 0.13 * size * floor, size, wide=wide, own="accent dark:0-.4")


def _put_vase(easel: Easel, x: float, y: float, size: float) -> None:
    """A vase with a bunch of flowers."""
    rng, top = easel.rng, y - 0.8 * size
    petals = [easel.tint("accent") for _ in range(3)]
    for lean, rise in zip(rng.normal(0, 0.3, 12) * size, rng.uniform(0.2, 0.75, 12) * size, strict=True):
        leaf = easel.tint("foliage black:.15")
        stem = np.array([(x, top + 0.1 * size), (x + lean * 0.4, top - rise * 0.5), (x + lean, top - rise)])
        easel.add(ribbon(stem, 0.025 * size), leaf, SMALL, angle=1.5)
        easel.add(blob(rng, *((stem[1] + stem[2]) / 2), 0.16 * size, 0.07 * size), leaf, SOLID, detail=0.5)
    easel.draw(VASE, x, y, size, wide=rng.uniform(0.85, 1.2), own="accent light:0-.6")
    for _ in range(rng.integers(7, 15)):
        place = x + rng.normal(0, 0.3) * size, top - rng.uniform(0.1, 0.85) * size
        radius, petal = size * rng.uniform(0.08, 0.15), petals[rng.integers(3)]
        easel.add(blob(rng, *place, radius, radius, bumps=0.3), petal, SPHERE, shade=0.35, detail=0.7)
        easel.add(ellipse(*place, radius * 0.3, radius * 0.3, points=10), "second", SMALL, angle=None)


def _room(easel: Easel, edge: float) -> None:
    """A wall, sometimes with a hanging, and the table."""
    rng, wide = easel.rng, easel.aspect + 0.1
    wall = rectangle(-0.1, -0.1, wide, edge + 0.02)
    easel.add(wall, "wall dark:0-.3", SOLID, angle=rng.uniform(0, 3), detail=0.05)
    if rng.random() < 0.35:
        left = rng.uniform(0, 0.7) * easel.aspect
        hanging = rectangle(left, rng.uniform(-0.1, 0.2), left + rng.uniform(0.2, 0.5), edge)
        easel.add(hanging, "accent wall:.4", UPRIGHT, shade=0.15, detail=0.1)
    easel.add(ellipse(easel.aspect * 0.5, edge - 0.15, 0.3, 0.25), "wall white:.5", GLOW, opacity=0.3, soft=0.1)
    wood = easel.tint("soil wood:.5 accent:.2")
    easel.add(rectangle(-0.1, edge, wide, 0.955), wood, PLAIN, detail=0.15)
    easel.add(rectangle(-0.1, 0.94, wide, 1.1), easel.tint("own black:.5", {"own": wood}), PLAIN, detail=0.15)


def _cloth(easel: Easel, edge: float) -> None:
    """A cloth that lies on the table and hangs over its edge in folds, sometimes striped."""
    rng = easel.rng
    colour = easel.tint(f"light accent:{rng.choice([0.08, 0.25, 0.85])}")
    left, right = np.sort(rng.uniform(-0.1, 1.1, 2)) * easel.aspect
    right, skew, turns = max(right, left + 0.5), rng.normal(0, 0.08), np.linspace(0, 14, 14)
    hem = np.stack([np.linspace(right, left, 14), 1.0 + 0.03 * np.sin(turns)], axis=1)
    easel.add(
        np.concatenate([[(left + skew, edge + 0.03), (right + skew, edge + 0.02)], hem]), colour, SOLID, shade=0.1
    )
    for x in rng.uniform(left, right, rng.integers(3, 8)):
        fold = np.array([(x + skew * 0.5, rng.uniform(edge + 0.1, 0.85)), (x + 0.02, 0.93), (x, 1.03)])
        shadow = easel.tint("own black:.35", {"own": colour})
        easel.add(ribbon(fold, [0.002, 0.02, 0.05]), shadow, FLAT, angle=1.4, opacity=0.5)
    stripe = easel.tint("accent")
    for y in np.linspace(edge + 0.08, 0.9, 5) if rng.random() < 0.4 else ():
        line = np.array([(left + skew * 0.8, y), (right + skew * 0.8, y + 0.005)])
        easel.add(ribbon(line, 0.012), stripe, FLAT, detail=0.4, opacity=0.8)
