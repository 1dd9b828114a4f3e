"""Portraits: a head and shoulders before a background.

In: an easel. Out: the portrait on it, from stencils whose unit is the head: its centre at (0, 0), its chin at y = 1.
"""

import numpy as np

from stages.demo.painter.easel import FLAT, GLOW, PLAIN, SMALL, SOLID, SPHERE, UPRIGHT, Easel, part
from stages.demo.painter.genres.landscape import lay_layers
from stages.demo.painter.outlines import arc, ellipse, mirrored, path, rectangle, ribbon, smoothed

ASPECTS = (0.66, 0.95)

EGG = smoothed(mirrored("0 -1.02, .42 -.96, .72 -.55, .75 0, .66 .45, .4 .88, .14 1.02"))
LOOSE_HAIR = (part(smoothed(mirrored("0 -1.25, .5 -1, .95 -.2, 1 .6, .85 1.6")), "hair black:.2", SOLID, angle=1.4),)
TIED_HAIR = (
    part(ellipse(0.1, -1.25, 0.4, 0.34), "hair", SPHERE, chance=0.3),
    part(ellipse(0, -0.22, 0.88, 0.95), "hair black:.2", SOLID, angle=1.4),
)
BUST = (
    part(smoothed(mirrored(".4 1.25, 1.35 1.65, 1.85 2.3, 1.95 6")), "cloth", SOLID, angle=1.1),
    part(mirrored(".36 .5, .4 1.35, .62 1.62, 0 1.95"), "skin black:.12", PLAIN, angle=1.5, detail=0.4),
    part(ellipse(-0.1, 1.05, 0.42, 0.22), "skin black:.5", GLOW, opacity=0.55, soft=0.1, lit=True),
)
COLLARS = (
    tuple(
        part(path(".42 1.3, .95 1.75, .2 2.6, .02 2.1") * (side, 1), "trim", SOLID, detail=0.5) for side in (-1, 1)
    ),  # lapels
    (
        part(smoothed(path("-.62 1.2, 0 1.42, .62 1.2, .78 1.55, .1 1.95, -.75 1.6")), "trim", SOLID, detail=0.5),
        part(path(".1 1.8, .45 1.75, .55 2.8, .15 2.85"), "trim black:.1", SOLID, angle=1.4, detail=0.5),
    ),  # a scarf
    tuple(
        part(ellipse(x, y, 0.065, 0.065, points=12), "trim", SPHERE, detail=0.9)
        for x, y in arc(0, 0, 1, 0.35, np.pi - 0.35, points=13) * (0.62, 0.42) + (0, 1.32)
    ),  # beads
    (
        part(smoothed(mirrored(".5 .98, .62 1.55, 0 1.75")), "cloth white:.12", SOLID, angle=0.1, detail=0.4),
    ),  # roll neck
    (),
)
HEAD = (
    *(part(ellipse(x, 0.1, 0.11, 0.22), "skin black:.08", SOLID, detail=0.6) for x in (-0.75, 0.75)),
    part(EGG, "skin", SOLID, shade=0.16, angle=None, detail=0.5),
    part(smoothed(path("-.1 -1, -.75 -.3, -.7 .45, -.2 1, -.42 .4, -.5 -.3")), "shadow", GLOW, lit=True),
)
EYE = (
    part(ellipse(0, -0.06, 0.2, 0.14), "skin black:.45", GLOW, soft=0.04),
    part(smoothed(path("-.18 0, -.06 -.085, .08 -.085, .18 0, .06 .07, -.08 .07"), 1), "light skin:.25", SMALL),
    part(ellipse(0, -0.01, 0.08, 0.082, points=16), "iris", SMALL, detail=1.0),
    part(ellipse(0, -0.01, 0.04, 0.045, points=10), "iris black:.8", SMALL, detail=1.0),
    part(ellipse(0.03, -0.04, 0.02, 0.02, points=8), "light", SMALL, detail=1.0),
    part(ribbon(path("-.2 .01, -.07 -.085, .08 -.085, .2 .01"), [0.015, 0.045, 0.045, 0.015]), "hair black:.4", SMALL),
    part(ribbon(path("-.2 -.19, 0 -.27, .22 -.2"), [0.055, 0.05, 0.015]), "hair black:.1", SMALL),
)
FEATURES = (
    *(part(ellipse(x, 0.3, 0.17, 0.13), "skin red:.5", GLOW) for x in (-0.4, 0.4)),
    part(smoothed(path("-.03 -.12, -.13 .34, -.15 .42, .02 .44, -.01 .2"), 1), "shadow", SMALL, lit=True, opacity=0.6),
    part(ellipse(0.02, 0.35, 0.05, 0.06), "skin white:.4", GLOW, lit=True, soft=0.02),
    part(smoothed(path("-.23 .6, 0 .63, .23 .6, .12 .72, -.12 .72"), 1), "lips", SMALL),
    part(path("-.23 .6, -.07 .555, 0 .575, .07 .555, .23 .6, 0 .635"), "lips black:.25", SMALL),
    part(ellipse(0, 0.79, 0.15, 0.04), "skin black:.4", GLOW, soft=0.03),
)
BEARD = (
    part(smoothed(mirrored("0 .5, .24 .47, .5 .42, .73 .05, .66 .75, .3 1.35")), "hair black:.05", SOLID, angle=1.5),
    part(ellipse(0, 0.66, 0.15, 0.04), "lips", SMALL),
)
FRINGE = part(
    smoothed(path("-.78 0, -.82 -.5, -.5 -1, 0 -1.13, .5 -1, .82 -.5, .78 0, .6 -.35, .4 -.55, -.1 -.65, -.5 -.5"), 1),
    "hair", SOLID, angle=0.9, detail=0.45,
)  # fmt: skip
LOCK = part(ribbon(path("-.02 -1.05, .25 -.85, .4 -.6"), [0.02, 0.07, 0.01]), "hair white:.18", PLAIN, opacity=0.6)
HATS = (
    (
        part(smoothed(mirrored("0 -1.45, .6 -1.3, .68 -.6"), 1), "own", SOLID, detail=0.35),
        part(rectangle(-0.69, -0.85, 0.69, -0.6), "band", SOLID, detail=0.5),
        part(ellipse(0, -0.56, 1.3, 0.24), "own white:.08", SOLID, detail=0.4),
    ),
    (part(smoothed(path("-.85 -.5, -1.05 -.95, -.3 -1.4, .6 -1.3, 1 -.8, .8 -.5")), "own", SPHERE, detail=0.35),),
)
WINDOW = (
    part(rectangle(-0.02, -0.02, 0.28, 0.4), "light wall:.3"),
    part(rectangle(0, 0, 0.26, 0.2), "zenith"),
    part(rectangle(0, 0.2, 0.26, 0.38), "horizon"),
    part(smoothed(path("0 .38, .02 .3, .12 .27, .22 .31, .26 .38")), "grass", SOLID, detail=0.4),
    part(rectangle(0.125, 0, 0.135, 0.38), "light", UPRIGHT, detail=0.5),
)


def portrait(easel: Easel) -> None:
    """Compose a portrait."""
    rng, kind = easel.rng, easel.one_of("portrait", COMPOSITIONS)
    BACKGROUNDS[kind if kind in BACKGROUNDS else "plain"](easel)
    x, y, size = easel.aspect * rng.normal(0.5, 0.05), rng.uniform(0.36, 0.46), rng.uniform(0.15, 0.24)
    size, turn = min(size, easel.aspect * 0.3), rng.uniform(-0.5, 0.5)
    own = {"skin": "skin light:0-.15", "hair": "hair dark:.15", "cloth": "accent dark:0-.45", "iris": "iris"}
    own = {name: easel.tint(tint) for name, tint in own.items()}
    own["lips"], own["shadow"] = (easel.tint(tint, own) for tint in ("skin red:.35-.75", "skin first:.15 black:.4"))
    own["trim"] = easel.tint(rng.choice(["light accent:.05", "light accent:.6"]))

    def draw(stencil, shift=0.0, *, wide=1.0, tall=1.0):
        easel.draw(stencil, x + shift * size, y, size, wide=wide, tall=tall, **own)

    long_hair, broad = kind != "beard" and rng.random() < 0.6, rng.uniform(0.9, 1.08)
    draw(LOOSE_HAIR if long_hair else TIED_HAIR, wide=broad, tall=rng.uniform(0.85, 1.2) if long_hair else 1.0)
    draw(BUST, wide=rng.uniform(0.87, 1.1))
    draw(COLLARS[rng.integers(len(COLLARS))])
    draw(HEAD, wide=broad)
    # Features move sideways as the head turns.
    narrow, opening = broad * (1 - 0.15 * abs(turn)), rng.uniform(0.8, 1.25)
    draw(FEATURES, 0.4 * turn, wide=narrow, tall=rng.uniform(0.95, 1.05))
    for side in (-1, 1):
        draw(EYE, 0.4 * turn + 0.33 * side * narrow, wide=side * narrow, tall=opening)
    if kind == "beard":
        draw(BEARD, tall=rng.uniform(0.85, 1.2))
    draw((FRINGE, LOCK), wide=broad * rng.choice([-1, 1]), tall=rng.uniform(0.97, 1.04))
    if kind == "hat" or rng.random() < 0.1:
        hat = HATS[rng.integers(len(HATS))]
        easel.draw(hat, x, y, size, wide=rng.choice([-1, 1]) * rng.uniform(0.9, 1.1), own="accent", band="accent")


def _plain(easel: Easel) -> None:
    """A wall with a pool of light, sometimes a dado."""
    rng, wide = easel.rng, easel.aspect + 0.1
    wall = easel.tint("wall dark:0-.25")
    easel.add(rectangle(-0.1, -0.1, wide, 1.1), wall, SOLID, shade=0.25, angle=rng.uniform(0, 3), detail=0.05)
    if rng.random() < 0.4:
        easel.add(rectangle(-0.1, rng.uniform(0.62, 0.8), wide, 1.1), "accent black:.3", FLAT, detail=0.1)
    easel.add(ellipse(easel.aspect / 2, 0.4, 0.35, 0.35), "wall white:.4", GLOW, soft=0.1)


def _curtain(easel: Easel) -> None:
    _plain(easel)
    side, down, colour = easel.rng.choice([-0.05, easel.aspect - 0.3]), np.linspace(0, 1, 8), easel.tint("accent")
    for fold in np.sort(easel.rng.uniform(0, 0.32, 7)):
        line = np.stack([side + fold + 0.02 * np.sin(3 * down + fold * 20), 1.2 * down - 0.1], axis=1)
        easel.add(
            ribbon(line, 0.09), easel.tint("own black:0-.3", {"own": colour}), UPRIGHT, shade=0.2, gradient="right"
        )


def _window(easel: Easel) -> None:
    _plain(easel)
    easel.draw(WINDOW, easel.rng.choice([0.04, easel.aspect - 0.3]), easel.rng.uniform(0.06, 0.16), 1)


def _outdoors(easel: Easel) -> None:
    lay_layers(
        easel, easel.rng.choice(["downs", "hills water sails", "hills water bank"]), easel.rng.uniform(0.5, 0.65)
    )


BACKGROUNDS = {"plain": _plain, "curtain": _curtain, "window": _window, "outdoors": _outdoors}
COMPOSITIONS = {kind: kind for kind in ("plain", "hat", "beard", "curtain", "window", "outdoors")}
