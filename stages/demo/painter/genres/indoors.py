"""Portraits and still lifes: a head and shoulders before a background; vessels, fruit and books on a table.

In: an easel. Out: the composition on it.
"""

import numpy as np

from stages.demo.painter.easel import Easel
from stages.demo.painter.genres.landscape import COMPOSITIONS as LANDSCAPES
from stages.demo.painter.genres.landscape import lay_layers
from stages.demo.painter.outlines import ellipse, rectangle
from stages.demo.painter.stencils import draw

PORTRAITS = {kind: kind for kind in ("plain", "hat", "beard", "curtain", "view", "outdoors")}
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
    place(rng.choice(["lapels", "scarf", "beads", "roll_neck", "bare"]))
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
    panel = rng.choice(["dado", "niche", "hanging", "door_frame", "bare"])
    draw(easel, panel, rng.uniform(-0.2, 0.2) * wide, 0, 1, scale=(wide, bottom))
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
            draw(easel, "bouquet", x, foot - 0.8 * size * grow * tall, size * grow, scale=(rng.choice([-1, 1]), 1))
        draw(easel, "shadow", x, foot, size * grow)
        draw(easel, name, x, foot, size * grow, scale=(rng.choice([-1, 1]) * wide, tall))
