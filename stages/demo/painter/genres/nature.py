"""What more than one genre shows out of doors: skies, water, trees, cottages, boats.

In: an easel and where the thing stands. Out: more shapes on the easel.
"""

import numpy as np

from stages.demo.painter.easel import FLAT, GLOW, PLAIN, SMALL, SOLID, UPRIGHT, Easel, Tint, part
from stages.demo.painter.outlines import blob, ellipse, path, rectangle, ribbon, smoothed

# Sun or moon, in units of its radius.
SUN = (
    part(ellipse(0, 0, 4, 4), "own", GLOW, soft=1.5),
    part(ellipse(0, 0, 2, 2), "own", GLOW, soft=0.6),
    part(ellipse(0, 0, 1, 1), "own white:.4", SMALL, angle=None),
)
# A cottage from its foot: long side, gable end, roof, chimney, door, window; 1 is half its width.
COTTAGE = (
    part(rectangle(-0.35, -0.8, 1, 0), "own black:.15", UPRIGHT, detail=0.5),
    part(path("-1 0, -1 -.8, -.68 -1.4, -.35 -.8, -.35 0"), "own", UPRIGHT, detail=0.5),
    part(rectangle(0.3, -1.7, 0.5, -1.2), "roof", UPRIGHT),
    part(path("-.68 -1.4, .75 -1.4, 1.08 -.75, -.35 -.75"), "roof", PLAIN, angle=1.1, detail=0.5),
    part(rectangle(0.1, -0.5, 0.35, 0), "dark", UPRIGHT, detail=0.8),
    part(rectangle(0.55, -0.55, 0.8, -0.3), "pane", SMALL),
)
# A sailing boat from its waterline, with its reflection; 1 is the height of the mast.
SAIL = (
    part(ellipse(0, 0.25, 0.22, 0.3), "own", GLOW),
    part(path("-.5 -.1, .55 -.14, .38 .06, -.36 .06"), "hull", SMALL),
    part(smoothed(path(".03 -1.15, .18 -.6, .45 -.18, .03 -.18"), 1), "own", SOLID, detail=0.7),
    part(path("-.02 -1, -.03 -.18, -.42 -.16"), "own white:.3", SOLID, detail=0.7),
    part(ribbon(path("0 -1.2, 0 -.1"), 0.035), "dark", UPRIGHT, detail=0.9),
)
PINE_TIER = path("0 -.27, .5 -.08, 1 .01, 0 -.03, -1 .01, -.5 -.08")


def add_sky(easel: Easel, bottom: float) -> None:
    """A sky down to `bottom`: gradient, sun or moon, stars, clouds."""
    rng, night, wide = easel.rng, easel.mood.night, easel.aspect
    sky = rectangle(-0.1, -0.1, wide + 0.1, bottom)
    easel.add(sky, "zenith", to="horizon", angle=rng.normal(0, 0.3), detail=0.1)
    if night or rng.random() < 0.65:
        x = wide * np.clip(0.5 + 0.42 * np.cos(easel.light) + rng.normal(0, 0.05), 0.08, 0.92)
        easel.draw(SUN, x, bottom * rng.uniform(0.2, 0.8), rng.uniform(0.025, 0.06), own="light second:0-.3")
    for x, y in rng.random((rng.integers(8, 30) if night else 0, 2)) * (wide, bottom * 0.8):
        easel.add(ellipse(x, y, 0.004, 0.004, points=6), "light", SMALL)
    for x, y in rng.random((rng.integers(0, 3 if night else 6), 2)) * (wide, bottom * 0.75):
        add_cloud(easel, x, y, rng.uniform(0.06, 0.17))


def add_cloud(easel: Easel, x: float, y: float, size: float) -> None:
    """A heap of rounded lumps with a flat, shaded base."""
    rng = easel.rng
    white = easel.tint("light dark:.6" if easel.mood.night else "light horizon:.15-.5")
    grey = easel.tint("own zenith:.5", {"own": white})
    easel.add(ellipse(x, y, size * 1.5, size * 0.22), grey, FLAT, opacity=0.8)
    for offset in rng.normal(0, 0.6, rng.integers(3, 7)):
        lump = size * rng.uniform(0.3, 0.55) * (1.2 - 0.4 * abs(offset))
        outline = blob(rng, x + offset * size, y - lump * 0.45, lump * 1.3, lump * 0.75, bumps=0.1)
        easel.add(np.minimum(outline, (np.inf, y + size * 0.1)), white, FLAT, to=grey, angle=None, opacity=0.92)


def add_water(easel: Easel, top: float, bottom: float) -> None:
    """Water reflects the sky, and the brighter sky near the light; ripples widen towards the viewer."""
    rng = easel.rng
    easel.add(rectangle(-0.1, top, easel.aspect + 0.1, bottom), "water horizon:.4", to="water black:.25", detail=0.2)
    glint = easel.aspect * (0.5 + 0.4 * np.cos(easel.light))
    for depth in np.sort(rng.random(rng.integers(18, 34))):
        bright = rng.random() < 0.55
        x = rng.normal(glint, 0.05 + 0.1 * depth) if bright else rng.uniform(0, easel.aspect)
        ripple = ellipse(
            x, top + (bottom - top) * depth**1.3, 0.03 + 0.14 * depth * rng.random(), 0.003 + 0.008 * depth
        )
        easel.add(ripple, "light horizon:.3" if bright else "water black:.2", FLAT, detail=0.5, opacity=0.75)


def add_sails(easel: Easel, top: float, bottom: float, count: int) -> None:
    """Boats on the water, the far ones small."""
    for depth in np.sort(easel.rng.random(count) ** 1.5):
        x, wide = easel.rng.uniform(0.1, 0.9) * easel.aspect, easel.rng.choice([-1, 1])
        sail = easel.rng.choice(["light accent:.1", "light accent:.8"])
        easel.draw(
            SAIL, x, top + (bottom - top) * depth, 0.06 + 0.2 * depth, wide=wide, own=sail, hull="accent dark:.4"
        )


def add_cottage(easel: Easel, x: float, base: float, size: float) -> None:
    """A cottage, seen from either side."""
    wide = easel.rng.choice([-1, 1]) * easel.rng.uniform(0.8, 1.2)
    easel.draw(COTTAGE, x, base, size, wide=wide, own="light wall:.1-.5", roof="accent dark:.2")


def add_tree(easel: Easel, x: float, base: float, height: float, *, haze: float = 0.0, kind: str = "") -> None:
    """A tree that stands at (x, base).

    Parameters
    ----------
    haze
        How much of the sky's colour lies before it, 0 to 1.
    kind
        round, poplar, pine or birch; drawn when not given.
    """
    rng = easel.rng
    kind = kind or ("round", "round", "poplar", "pine", "birch")[rng.integers(5)]
    leaf = easel.tint(f"foliage black:.12 horizon:{haze:.3f}")
    bark = easel.tint(f"{'light dark:.12' if kind == 'birch' else 'dark soil:.35'} horizon:{haze:.3f}")
    lean, thick = rng.normal(0, 0.04), 0.03 if kind == "birch" else 0.045
    trunk = ribbon(np.array([(0, 0), (lean * 0.4, -0.35), (lean, -0.8)]), [thick * 1.5, thick, thick * 0.3])
    easel.add(trunk * height + (x, base), bark, SOLID, angle=1.5, detail=0.6)
    CROWNS[kind](easel, leaf, x + lean * height, base, height)


def _crown_round(easel: Easel, leaf: Tint, x: float, base: float, height: float) -> None:
    """Lumps of leaves, the dark ones first and the lit ones on the light's side."""
    rng, middle, reach = easel.rng, base - height * 0.66, height * 0.3
    lit = np.array([np.cos(easel.light), np.sin(easel.light)])
    for step, tone, count in ((0.0, "own black:.38", 4), (0.22, "own white:.06", 4), (0.42, "own white:.24", 3)):
        for dx, dy in (rng.normal(0, 0.42, (count, 2)) + lit * step) * reach:
            size = reach * rng.uniform(0.4, 0.62) * (1.15 - step)
            outline = blob(rng, x + dx, middle + dy * 0.9, size * 1.1, size)
            tint = easel.tint(tone, {"own": easel.tint(leaf)})
            easel.add(outline, tint, SOLID, shade=0.14, angle=rng.uniform(0, 3), detail=0.55)


def _crown_poplar(easel: Easel, leaf: Tint, x: float, base: float, height: float) -> None:
    outline = blob(easel.rng, x, base - height * 0.55, height * 0.085, height * 0.46, bumps=0.1)
    easel.add(outline, leaf, SOLID, shade=0.32, angle=1.5, detail=0.55)


def _crown_pine(easel: Easel, leaf: Tint, x: float, base: float, height: float) -> None:
    for tier in range(5):
        reach = (0.2 - 0.033 * tier) * easel.rng.uniform(0.9, 1.15)
        outline = PINE_TIER * (reach * height, height) + (x, base - height * (0.12 + 0.17 * tier))
        easel.add(outline, easel.tint("own black:.1-.25", {"own": easel.tint(leaf)}), SOLID, angle=1.2, detail=0.6)


def _crown_birch(easel: Easel, leaf: Tint, x: float, base: float, height: float) -> None:
    rng = easel.rng
    for mark in rng.uniform(0.05, 0.7, 7):
        easel.add(ellipse(x, base - height * mark, height * 0.012, height * 0.004, points=8), "dark", SMALL)
    for dx, dy in rng.normal(0, 0.1, (9, 2)) * height:
        size = height * rng.uniform(0.05, 0.12)
        outline = blob(rng, x + dx, base - height * 0.76 + dy * 1.3, size, size * 1.2, bumps=0.2)
        tint = easel.tint("own white:0-.35", {"own": easel.tint(leaf)})
        easel.add(outline, tint, SOLID, shade=0.12, detail=0.6, opacity=0.85)


CROWNS = {"round": _crown_round, "poplar": _crown_poplar, "pine": _crown_pine, "birch": _crown_birch}
