"""Things that more than one genre shows: skies, clouds, trees, houses, boats.

In: a scene and where the thing stands. Out: more shapes in the scene.
"""

import numpy as np

from stages.demo.painter.artists import Mood
from stages.demo.painter.colours import darker, jittered, lighter, mix
from stages.demo.painter.scene import Scene
from stages.demo.painter.shapes import blob, ellipse, rectangle, ribbon, smoothed

TREES = ("round", "round", "poplar", "pine", "birch")


def add_sky(rng: np.random.Generator, scene: Scene, mood: Mood, bottom: float) -> None:
    """A sky down to `bottom`: gradient, sun or moon, clouds."""
    top, low = mood.sky
    if mood.night:
        top, low = darker(mix(top, mood.dark, 0.6), 0.2), mix(low, mood.dark, 0.55)
    scene.add(rectangle(-0.1, -0.1, scene.aspect + 0.1, bottom), top, to=low, angle=rng.normal(0, 0.3), detail=0.1)
    if rng.random() < 0.65 or mood.night:
        _add_sun(rng, scene, mood, bottom)
    for _ in range(rng.integers(0, 3 if mood.night else 6)):
        size = rng.uniform(0.06, 0.17)
        add_cloud(rng, scene, mood, rng.uniform(0, scene.aspect), rng.uniform(0.05, 0.75) * bottom, size)
    if mood.night:
        for x, y in rng.uniform(0, 1, (rng.integers(8, 30), 2)) * (scene.aspect, bottom * 0.8):
            scene.add(ellipse(x, y, 0.004, 0.004, points=6), mood.light, shade=0, detail=1.0)


def _add_sun(rng: np.random.Generator, scene: Scene, mood: Mood, bottom: float) -> None:
    x = scene.aspect * np.clip(0.5 + 0.42 * np.cos(scene.light) + rng.normal(0, 0.05), 0.08, 0.92)
    y, radius = bottom * rng.uniform(0.2, 0.8), rng.uniform(0.025, 0.06)
    colour = mood.light if mood.night else mix(mood.light, mood.accents[1], 0.25)
    scene.add(ellipse(x, y, radius * 4, radius * 4), colour, shade=0, opacity=0.5, soft=radius * 1.5)
    scene.add(ellipse(x, y, radius * 2, radius * 2), colour, shade=0, opacity=0.4, soft=radius * 0.6)
    scene.add(ellipse(x, y, radius, radius), lighter(colour, 0.4), shade=0.02, angle=None, detail=0.8)


def add_cloud(rng: np.random.Generator, scene: Scene, mood: Mood, x: float, y: float, size: float) -> None:
    """A heap of rounded lumps with a flat, shaded base."""
    white = mix(mood.light, mood.sky[1], rng.uniform(0.15, 0.5))
    grey = mix(white, mood.sky[0], 0.5)
    if mood.night:
        white, grey = mix(white, mood.dark, 0.6), mix(grey, mood.dark, 0.7)
    scene.add(ellipse(x, y, size * 1.5, size * 0.22), grey, shade=0.03, detail=0.2, opacity=0.8)
    for _ in range(rng.integers(3, 7)):
        offset = rng.normal(0, 0.6)
        lump = size * rng.uniform(0.3, 0.55) * (1.2 - 0.4 * abs(offset))
        outline = blob(rng, x + offset * size, y - lump * 0.45, lump * 1.3, lump * 0.75, bumps=0.08)
        outline[:, 1] = np.minimum(outline[:, 1], y + size * 0.1)
        scene.add(outline, white, to=grey, angle=None, detail=0.2, opacity=0.92)


def add_tree(
    rng: np.random.Generator,
    scene: Scene,
    mood: Mood,
    x: float,
    base: float,
    height: float,
    *,
    haze: float = 0.0,
    kind: str | None = None,
) -> None:
    """A tree that stands at (x, base).

    Parameters
    ----------
    haze
        How much of the sky's colour lies before it, 0 to 1.
    kind
        round, poplar, pine or birch; drawn when not given.
    """
    kind = kind or TREES[rng.integers(len(TREES))]
    leaf = jittered(rng, mood.land[rng.integers(2)], 0.05)
    if rng.random() < 0.15:
        leaf = mix(leaf, mood.accent(rng), 0.6)
    leaf = mix(darker(leaf, 0.12), mood.sky[1], haze)
    bark = mix(mix(mood.dark, mood.land[2], 0.35), mood.sky[1], haze)
    if kind == "birch":
        bark = mix(mood.light, mood.dark, 0.12)
    lean = rng.normal(0, 0.04) * height
    trunk = [(x, base), (x + lean * 0.4, base - height * 0.35), (x + lean, base - height * 0.8)]
    thick = height * (0.045 if kind != "birch" else 0.03)
    scene.add(
        ribbon(trunk, [thick * 1.5, thick, thick * 0.3]),
        bark,
        shade=0.2,
        gradient=scene.light + np.pi,
        angle=1.5,
        detail=0.6,
    )
    CROWNS[kind](rng, scene, leaf, x + lean, base, height)


def _crown_round(
    rng: np.random.Generator, scene: Scene, leaf: np.ndarray, x: float, base: float, height: float
) -> None:
    """Lumps of leaves, the dark ones first and the lit ones on the light's side."""
    middle, reach = base - height * 0.66, height * 0.3
    toward = np.array([np.cos(scene.light), np.sin(scene.light)]) * reach
    for step, count in ((0.0, 4), (0.22, 4), (0.42, 3)):
        for _ in range(count):
            dx, dy = rng.normal(0, 0.42, 2) * reach + toward * step
            size = reach * rng.uniform(0.4, 0.62) * (1.15 - step)
            tone = darker(leaf, 0.38) if step == 0 else lighter(leaf, (step - 0.15) * 0.9)
            outline = blob(rng, x + dx, middle + dy * 0.9, size * 1.1, size, bumps=0.14, lobes=9)
            scene.add_solid(outline, tone, shade=0.14, angle=rng.uniform(0, 3), detail=0.55)


def _crown_poplar(
    rng: np.random.Generator, scene: Scene, leaf: np.ndarray, x: float, base: float, height: float
) -> None:
    outline = blob(rng, x, base - height * 0.55, height * 0.085, height * 0.46, bumps=0.07, lobes=11)
    scene.add_solid(outline, leaf, shade=0.32, angle=1.5, detail=0.55)


def _crown_pine(rng: np.random.Generator, scene: Scene, leaf: np.ndarray, x: float, base: float, height: float) -> None:
    for tier in range(5):
        low = base - height * (0.12 + 0.17 * tier)
        reach = height * (0.2 - 0.033 * tier) * rng.uniform(0.9, 1.15)
        outline = np.array(
            [(x, low - height * 0.27), (x + reach * 0.5, low - height * 0.08), (x + reach, low + 0.01 * height),
             (x, low - height * 0.03), (x - reach, low + 0.01 * height), (x - reach * 0.5, low - height * 0.08)]
        )  # fmt: skip
        scene.add_solid(outline, darker(leaf, 0.25 - 0.03 * tier), shade=0.2, angle=1.2, detail=0.6)


def _crown_birch(
    rng: np.random.Generator, scene: Scene, leaf: np.ndarray, x: float, base: float, height: float
) -> None:
    for mark in rng.uniform(0.05, 0.7, 7):
        scene.add(
            ellipse(x, base - height * mark, height * 0.012, height * 0.004, points=8),
            darker(leaf, 0.8),
            shade=0,
            detail=0.9,
        )
    for _ in range(9):
        dx, dy = rng.normal(0, 0.1, 2) * height
        size = height * rng.uniform(0.05, 0.12)
        outline = blob(rng, x + dx, base - height * 0.76 + dy * 1.3, size, size * 1.2, bumps=0.2, lobes=9)
        scene.add_solid(outline, lighter(leaf, rng.uniform(0, 0.35)), shade=0.12, angle=1.2, detail=0.6, opacity=0.85)


CROWNS = {"round": _crown_round, "poplar": _crown_poplar, "pine": _crown_pine, "birch": _crown_birch}


def add_house(rng: np.random.Generator, scene: Scene, mood: Mood, x: float, base: float, size: float) -> None:
    """A cottage: gable end, long side, roof, door, window, chimney with smoke."""
    wall = mix(mood.light, mood.wall, rng.uniform(0.1, 0.5))
    roof = mix(mood.accent(rng), mood.dark, 0.2)
    left, right, eaves = x - size, x + size, base - size * 0.8
    ridge_y, gable = eaves - size * 0.6, x - size * 0.35
    scene.add(rectangle(gable, eaves, right, base), darker(wall, 0.15), shade=0.06, angle=1.5, detail=0.5)
    scene.add(
        np.array([(left, base), (left, eaves), ((left + gable) / 2, ridge_y), (gable, eaves), (gable, base)]),
        wall,
        shade=0.05,
        angle=1.5,
        detail=0.5,
    )
    slope = np.array(
        [
            ((left + gable) / 2, ridge_y),
            (right - size * 0.25, ridge_y),
            (right + size * 0.08, eaves + size * 0.05),
            (gable, eaves + size * 0.05),
        ]
    )
    scene.add(slope, roof, shade=0.15, angle=1.1, detail=0.5)
    scene.add(
        rectangle(right - size * 0.7, ridge_y - size * 0.3, right - size * 0.5, ridge_y + size * 0.15),
        roof,
        shade=0.2,
        detail=0.5,
    )
    scene.add(
        rectangle(x + size * 0.1, eaves + size * 0.3, x + size * 0.35, base),
        mood.dark,
        shade=0.1,
        angle=1.5,
        detail=0.8,
    )
    lit = mix(mood.light, mood.accents[1], 0.4) if mood.night else darker(mood.water, 0.3)
    scene.add(
        rectangle(x + size * 0.55, eaves + size * 0.25, x + size * 0.8, eaves + size * 0.5), lit, shade=0.1, detail=0.9
    )


def add_sail(rng: np.random.Generator, scene: Scene, mood: Mood, x: float, base: float, size: float) -> None:
    """A sailing boat and its reflection."""
    hull, sail = mix(mood.accent(rng), mood.dark, 0.4), mix(mood.light, mood.accent(rng), rng.choice([0.1, 0.8]))
    scene.add(ellipse(x, base + size * 0.25, size * 0.22, size * 0.3), sail, shade=0, opacity=0.35, soft=size * 0.06)
    turn = 1 if rng.random() < 0.5 else -1
    bow = np.array([(-0.5, -0.1), (0.55, -0.14), (0.38, 0.06), (-0.36, 0.06)]) * (turn * size, size) + (x, base)
    scene.add(bow, hull, shade=0.15, detail=0.7)
    main = smoothed(np.array([(0.03, -1.15), (0.18, -0.6), (0.45, -0.18), (0.03, -0.18)]), 1) * (turn * size, size) + (
        x,
        base,
    )
    jib = np.array([(-0.02, -1.0), (-0.03, -0.18), (-0.42, -0.16)]) * (turn * size, size) + (x, base)
    scene.add_solid(main, sail, shade=0.15, angle=1.2, detail=0.7)
    scene.add_solid(jib, lighter(sail, 0.3), shade=0.1, angle=1.2, detail=0.7)
    scene.add(
        ribbon([(x, base - size * 1.2), (x, base - size * 0.1)], size * 0.035),
        mood.dark,
        shade=0,
        angle=1.5,
        detail=0.9,
    )
