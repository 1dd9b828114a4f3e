"""What more than one genre shows out of doors: skies, water, trees, cottages, boats.

In: an easel and where the thing stands. Out: more shapes on the easel.
"""

import numpy as np

from stages.demo.painter.easel import Easel
from stages.demo.painter.outlines import blob, ellipse, rectangle, ribbon
from stages.demo.painter.stencils import draw

# Crowns in tree heights, dark lumps first: count, spread, middle, half width, half height, towards the light, tint.
CROWNS = {
    "round": (
        (4, 0.13, 0.66, 0.18, 0.16, 0.0, "leaf black:.38"),
        (4, 0.13, 0.66, 0.15, 0.14, 0.07, "leaf white:.06"),
        (3, 0.12, 0.66, 0.12, 0.11, 0.13, "leaf white:.24"),
    ),
    "poplar": ((1, 0.0, 0.55, 0.085, 0.46, 0.0, "leaf"), (4, 0.05, 0.6, 0.05, 0.12, 0.03, "leaf white:.1")),
    "birch": ((9, 0.1, 0.76, 0.09, 0.11, 0.0, "leaf white:0-.35"),),
    "pine": (),  # a stencil
}


def add_sky(easel: Easel, bottom: float) -> None:
    """A sky down to `bottom`: gradient, sun or moon, stars, clouds."""
    rng, night, wide = easel.rng, easel.mood.night, easel.aspect
    sky = rectangle(-0.1, -0.1, wide + 0.1, bottom)
    easel.add(sky, "zenith", to="horizon", angle=rng.normal(0, 0.3), detail=0.1)
    if night or rng.random() < 0.65:
        x = wide * np.clip(0.5 + 0.42 * np.cos(easel.mood.light) + rng.normal(0, 0.05), 0.08, 0.92)
        draw(easel, "sun", x, bottom * rng.uniform(0.2, 0.8), rng.uniform(0.025, 0.06))
    for x, y in rng.random((rng.integers(8, 30) if night else 0, 2)) * (wide, bottom * 0.8):
        easel.add(ellipse(x, y, 0.004, 0.004, points=6), "light", "small")
    for x, y in rng.random((rng.integers(0, 3 if night else 6), 2)) * (wide, bottom * 0.75):
        _add_cloud(easel, x, y, rng.uniform(0.06, 0.17))


def _add_cloud(easel: Easel, x: float, y: float, size: float) -> None:
    """A heap of rounded lumps with a flat, shaded base."""
    white = easel.tint("light dark:.6" if easel.mood.night else "light horizon:.15-.5")
    grey = easel.tint("white zenith:.5", white=white)
    easel.add(ellipse(x, y, size * 1.5, size * 0.22), grey, "flat", opacity=0.8)
    for offset in easel.rng.normal(0, 0.6, easel.rng.integers(3, 7)):
        lump = size * easel.rng.uniform(0.3, 0.55) * (1.2 - 0.4 * abs(offset))
        outline = blob(easel.rng, x + offset * size, y - lump * 0.45, lump * 1.3, lump * 0.75, bumps=0.1)
        easel.add(np.minimum(outline, (np.inf, y + size * 0.1)), white, "flat", to=grey, angle=None, opacity=0.92)


def add_water(easel: Easel, top: float) -> None:
    """Water reflects the sky, and the brighter sky near the light; ripples widen towards the viewer."""
    rng, wide = easel.rng, easel.aspect
    easel.add(rectangle(-0.1, top, wide + 0.1, 1.1), "water horizon:.4", to="water black:.25", detail=0.2)
    for depth in np.sort(rng.random(rng.integers(18, 34))):
        bright, y = rng.random() < 0.55, top + (1.1 - top) * depth**1.3
        glint = rng.normal(0.5 + 0.4 * np.cos(easel.mood.light), 0.05 + 0.1 * depth)
        x = wide * (glint if bright else rng.random())
        ripple = ellipse(x, y, 0.03 + 0.14 * depth * rng.random(), 0.003 + 0.008 * depth)
        easel.add(ripple, "light horizon:.3" if bright else "water black:.2", "flat", detail=0.5, opacity=0.75)


def add_sails(easel: Easel, top: float) -> None:
    """Boats on the water below `top`, the far ones small."""
    for depth in np.sort(easel.rng.random(easel.rng.integers(1, 5)) ** 1.5):
        sail, side = easel.rng.choice(["light accent:.1", "light accent:.8"]), easel.rng.choice([-1, 1])
        x, y = easel.rng.uniform(0.1, 0.9) * easel.aspect, top + 0.02 + 0.25 * depth
        draw(easel, "sail", x, y, 0.06 + 0.2 * depth, scale=(side, 1), own=sail)


def add_tree(easel: Easel, x: float, base: float, height: float, *, haze: float = 0.0, kind: str = "") -> None:
    """A tree that stands at (x, base): round, poplar, pine or birch, drawn when not given, behind `haze` (0 to 1)."""
    rng = easel.rng
    kind, air = kind or rng.choice(["round", *CROWNS]), f"horizon:{haze:.2f}"
    leaf, thick = easel.tint(f"foliage black:.12 {air}"), 0.03 if kind == "birch" else 0.045
    trunk = ribbon(np.array([(0, 0), (0, -0.35), (rng.normal(0, 0.04), -0.8)]), [thick * 1.5, thick, thick * 0.3])
    bark = f"light dark:.12 {air}" if kind == "birch" else f"dark soil:.35 {air}"
    easel.add(trunk * height + (x, base), bark, "solid", angle=1.5, detail=0.6)
    lit = np.array([np.cos(easel.mood.light), np.sin(easel.mood.light)])
    for count, spread, middle, wide, tall, step, tint in CROWNS[kind]:
        for dx, dy in rng.normal(0, spread, (count, 2)) + lit * step + (0, -middle):
            radius = height * rng.uniform(0.75, 1.15)
            lump = blob(rng, x + dx * height, base + dy * height, wide * radius, tall * radius)
            easel.add(lump, easel.tint(tint, leaf=leaf), "solid", angle=rng.uniform(0, 3), shade=0.16, detail=0.55)
    if kind == "pine":
        draw(easel, "pine", x, base, height, scale=(rng.uniform(0.8, 1.2), 1), leaf=leaf)
