"""Portraits: a head and shoulders before a background.

In: an easel. Out: the portrait on it.
"""

import numpy as np

from stages.demo.painter.easel import Easel
from stages.demo.painter.genres.landscape import COMPOSITIONS as LANDSCAPES
from stages.demo.painter.genres.landscape import lay_layers
from stages.demo.painter.outlines import ellipse, rectangle, ribbon
from stages.demo.painter.stencils import draw

ASPECTS = (0.66, 0.95)
KINDS = ("plain", "hat", "beard", "curtain", "window", "outdoors")
COLLARS = ("lapels", "scarf", "beads", "roll_neck", "bare")


def portrait(easel: Easel) -> None:
    """Compose a portrait."""
    rng, kind = easel.rng, easel.choose("portrait", {kind: kind for kind in KINDS})
    BACKGROUNDS.get(kind, _wall)(easel)
    x, y, size = easel.aspect * rng.normal(0.5, 0.08), rng.uniform(0.36, 0.48), rng.uniform(0.14, 0.24)
    size, turn, broad = min(size, easel.aspect * 0.3), rng.uniform(-0.5, 0.5), rng.uniform(0.9, 1.08)
    tints = {"skin": "skin light:0-.15", "hair": "hair dark:.15", "cloth": "accent dark:0-.45", "iris": "iris"}
    own = {name: easel.tint(tint) for name, tint in tints.items()}
    own["lips"], own["shadow"] = (easel.tint(tint, **own) for tint in ("skin red:.35-.75", "skin first:.15 black:.4"))
    own["trim"], own["hat"], own["band"] = (easel.tint(tint) for tint in ("light accent:.05-.8", "accent", "accent"))

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


def _wall(easel: Easel) -> None:
    """A wall with a pool of light, mostly with a panel or a dado."""
    rng, wide = easel.rng, easel.aspect + 0.1
    easel.add(rectangle(-0.1, -0.1, wide, 1.1), "wall dark:0-.3", "solid", angle=rng.uniform(0, 3), detail=0.05)
    match rng.integers(4):
        case 0:
            easel.add(rectangle(-0.1, rng.uniform(0.55, 0.8), wide, 1.1), "accent black:.3", "flat", detail=0.1)
        case 1:
            easel.add(rectangle(rng.uniform(0.2, 0.8) * wide, -0.1, wide, 1.1), "wall accent:.5", "flat", detail=0.1)
        case 2:
            easel.add(rectangle(-0.1, -0.1, rng.uniform(0.2, 0.8) * wide, 1.1), "wall dark:.6", "flat", detail=0.1)
    easel.add(ellipse(rng.random() * wide, 0.4, 0.35, 0.35), "wall white:.4", "glow", soft=0.1)


def _curtain(easel: Easel) -> None:
    _wall(easel)
    side, down, colour = easel.rng.choice([-0.05, easel.aspect - 0.3]), np.linspace(0, 1, 8), easel.tint("accent")
    for fold in np.sort(easel.rng.uniform(0, 0.32, 7)):
        line = np.stack([side + fold + 0.02 * np.sin(3 * down + fold * 20), 1.2 * down - 0.1], axis=1)
        shade = easel.tint("own black:0-.3", own=colour)
        easel.add(ribbon(line, 0.09), shade, "upright", shade=0.2, gradient="right")


def _window(easel: Easel) -> None:
    _wall(easel)
    draw(easel, "view", easel.rng.choice([0.04, easel.aspect - 0.3]), easel.rng.uniform(0.06, 0.16), 1)


def _outdoors(easel: Easel) -> None:
    lay_layers(easel, LANDSCAPES[easel.rng.choice(["hills", "sea", "lake"])], easel.rng.uniform(0.5, 0.65))


BACKGROUNDS = {"curtain": _curtain, "window": _window, "outdoors": _outdoors}
