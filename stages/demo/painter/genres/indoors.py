"""Portraits and still lifes: a head and shoulders before a background; vessels, fruit and books on a table.

In: an easel. Out: the composition on it.
"""

import numpy as np

from stages.demo.painter.easel import Easel
from stages.demo.painter.genres.landscape import COMPOSITIONS as LANDSCAPES
from stages.demo.painter.genres.landscape import lay_layers
from stages.demo.painter.outlines import blob, ellipse, rectangle, ribbon
from stages.demo.painter.stencils import draw

PORTRAITS = {kind: kind for kind in ("plain", "hat", "beard", "curtain", "view", "outdoors")}
COLLARS = ("lapels", "scarf", "beads", "roll_neck", "bare")
# Colours of a sitter, mixed in turn: a later one may use an earlier one.
SITTER = {
    "skin": "skin light:0-.15",
    "hair": "hair dark:.15",
    "cloth": "accent dark:0-.45",
    "iris": "iris",
    "lips": "skin red:.35-.75",
    "shadow": "skin first:.15 black:.4",
}
# What stands behind, at least and less than how many, and what stands in front.
STILL_LIFES = {
    "fruit": ("bottle jug", (0, 2), "bowl apple pear grapes"),
    "bottles": ("bottle bottle bottle jug", (2, 5), "cup apple books"),
    "flowers": ("vase", (1, 2), "pear books cup apple"),
    "breakfast": ("bottle jug vase", (1, 3), "cup cup loaf apple jug"),
    "mixed": ("bottle jug vase", (1, 3), "bowl apple cup loaf grapes books"),
}


def portrait(easel: Easel) -> None:
    """Compose a portrait."""
    rng, kind = easel.rng, easel.choose("portrait", PORTRAITS)
    _add_background(easel, kind)
    x, y, size = easel.aspect * rng.normal(0.5, 0.08), rng.uniform(0.36, 0.48), rng.uniform(0.14, 0.24)
    size, turn, broad = min(size, easel.aspect * 0.3), rng.uniform(-0.5, 0.5), rng.uniform(0.9, 1.08)
    own: dict[str, np.ndarray] = {}
    for name, tint in SITTER.items():
        own[name] = easel.tint(tint, **own)

    def place(stencil: str, wide: float = 1.0, tall: float = 1.0, *, shift: float = 0.0) -> None:
        draw(easel, stencil, x + shift * size, y, size, scale=(wide, tall), **own)

    loose = kind != "beard" and rng.random() < 0.6
    place("loose_hair" if loose else "tied_hair", broad, rng.uniform(0.85, 1.2) if loose else 1.0)
    place("bust", rng.uniform(0.8, 1.12))
    place(rng.choice(COLLARS))
    place("head", broad)
    # Features move sideways as the head turns.
    narrow, opening = broad * (1 - 0.15 * abs(turn)), rng.uniform(0.8, 1.25)
    place("features", narrow, rng.uniform(0.95, 1.05), shift=0.4 * turn)
    for side in (-1, 1):
        place("eye", side * narrow, opening, shift=0.4 * turn + 0.33 * side * narrow)
    if kind == "beard":
        place("beard", tall=rng.uniform(0.85, 1.2))
    place("fringe", broad * rng.choice([-1, 1]), rng.uniform(0.97, 1.04))
    if kind == "hat" or rng.random() < 0.15:
        place(rng.choice(["brimmed", "beret"]), rng.choice([-1, 1]) * rng.uniform(0.9, 1.1))


def _add_background(easel: Easel, kind: str) -> None:
    """A wall, perhaps with a curtain or a window; or a landscape."""
    rng = easel.rng
    if kind == "outdoors":
        lay_layers(easel, LANDSCAPES[rng.choice(["hills", "sea", "lake"])], rng.uniform(0.5, 0.65))
        return
    _add_wall(easel, 1.1)
    if kind in ("curtain", "view"):
        draw(easel, kind, rng.choice([0.04, easel.aspect - 0.3]), rng.uniform(0, 0.12), 1)


def _add_wall(easel: Easel, bottom: float) -> None:
    """A wall with a pool of light, mostly with a dado, a panel or a hanging."""
    rng, wide = easel.rng, easel.aspect + 0.1
    easel.add(rectangle(-0.1, -0.1, wide, bottom), "wall dark:0-.3", "solid", angle=rng.uniform(0, 3), detail=0.05)
    left, right = np.sort(rng.uniform(0, 1, 2)) * wide
    panels = (-0.1, rng.uniform(0.55, 0.8), wide), (left, -0.1, wide), (-0.1, -0.1, right), (left, 0.1, right)
    tints = "accent black:.3", "wall accent:.5", "wall dark:.6", "accent wall:.4"
    if (chosen := rng.integers(5)) < len(panels):
        x, top, end = panels[chosen]
        easel.add(rectangle(x, top, end, bottom), tints[chosen], "upright", detail=0.1)
    easel.add(ellipse(rng.uniform(0.2, 0.8) * wide, 0.4, 0.35, 0.3), "wall white:.4", "glow", soft=0.1)


def still_life(easel: Easel) -> None:
    """Compose a still life: the tall things stand behind, the small ones before."""
    rng, edge, wide = easel.rng, easel.rng.uniform(0.5, 0.64), easel.aspect + 0.1
    behind, counts, before = easel.choose("still_life", STILL_LIFES)
    _add_wall(easel, edge + 0.02)
    wood = easel.tint("soil wood:.5 accent:.2")
    easel.add(rectangle(-0.1, edge, wide, 0.955), wood, detail=0.15)
    easel.add(rectangle(-0.1, 0.94, wide, 1.1), easel.tint("own black:.5", own=wood), detail=0.15)
    if rng.random() < 0.6:
        left, wide = rng.uniform(-0.1, 0.5) * easel.aspect, rng.uniform(0.4, 0.8) * easel.aspect
        draw(easel, "cloth", left, edge + 0.02, 1, scale=(wide, 1.0 - edge))
    _set_out(easel, behind, edge + 0.08, int(rng.integers(*counts)), 1.15)
    for names, depth in ((before, 0.17), (f"apple pear {before}", 0.28)):
        _set_out(easel, names, edge + depth, int(rng.integers(1, 4)) + (easel.aspect > 1.1), 1.0)


def _set_out(easel: Easel, names: str, y: float, count: int, scale: float) -> None:
    """Put things side by side in a row, with uneven gaps."""
    rng, size = easel.rng, 0.3 * scale * min(1.0, easel.aspect)
    for place in rng.permutation(np.arange(count) + rng.uniform(0.3, 0.7, count)) / max(count, 1):
        name, x, foot = rng.choice(names.split()), easel.aspect * (0.14 + 0.72 * place), y + rng.normal(0, 0.02)
        wide, tall, grow = rng.uniform((0.85, 0.88, 0.85), 1.15)
        if name == "vase":
            _add_bouquet(easel, x, foot - 0.8 * size * grow * tall, size * grow)
        draw(easel, "shadow", x, foot, size * grow)
        draw(easel, name, x, foot, size * grow, scale=(rng.choice([-1, 1]) * wide, tall))


def _add_bouquet(easel: Easel, x: float, y: float, size: float) -> None:
    """Flowers on stems with leaves, out of the neck of a vase at (x, y)."""
    rng, petals = easel.rng, [easel.tint("accent") for _ in range(3)]
    heads = np.stack([rng.normal(0, 0.3, 11), -rng.uniform(0.1, 0.85, 11)], axis=1) * size + (x, y)
    for head in heads:
        stem, leaf = np.array([(x, y + 0.1 * size), (x, y) + (head - (x, y)) * (0.4, 0.5), head]), "foliage black:.15"
        easel.add(ribbon(stem, 0.025 * size), leaf, "small", angle=1.5)
        easel.add(blob(rng, 0, 0, 0.16 * size, 0.07 * size) + (stem[1] + head) / 2, leaf, "solid", detail=0.5)
    for head in heads:
        radius, petal = size * rng.uniform(0.08, 0.15), petals[rng.integers(3)]
        easel.add(blob(rng, *head, radius, radius, bumps=0.3), petal, "sphere", shade=0.35, detail=0.7)
        easel.add(ellipse(*head, radius * 0.3, radius * 0.3), "second", "small", angle=None)
