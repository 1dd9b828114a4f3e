"""What stands on the table of a still life: vessels, fruit, bread, books, flowers.

In: a scene, the place (x, y) of the thing's foot, and its size in picture heights. Out: more shapes in the scene.
What stands beside what is left to `still_life`.
"""

import numpy as np

from stages.demo.painter.artists import Mood
from stages.demo.painter.colours import darker, from_hex, jittered, lighter, mix
from stages.demo.painter.scene import Scene
from stages.demo.painter.shapes import arc, blob, ellipse, rectangle, ribbon, smoothed

FRUITS = ("c8372d", "d9822b", "e3c23c", "8fa63a", "7a2f4a", "d9a441", "b5482f")


def _add_shadow(scene: Scene, x: float, y: float, wide: float, mood: Mood) -> None:
    """A soft shadow on the table, on the side away from the light."""
    away = -np.cos(scene.light)
    scene.add(
        ellipse(x + away * wide * 0.9, y, wide * 1.5, wide * 0.32),
        darker(mood.dark, 0.3),
        shade=0,
        opacity=0.5,
        soft=wide * 0.14,
    )


def _turned(profile: list[tuple[float, float]], x: float, y: float, size: float) -> np.ndarray:
    """A vessel from half its profile: (radius, height) pairs from foot to lip."""
    right = np.array(profile, dtype=float)
    outline = np.concatenate([right, right[::-1] * (-1, 1)]) * (size, -size) + np.array([x, y])
    return outline


def _add_gleam(
    scene: Scene, x: float, y: float, size: float, radius: float, low: float, high: float, mood: Mood
) -> None:
    side = np.cos(scene.light) * radius * 0.55
    path = np.array([(side, low), (side * 1.08, (low + high) / 2), (side, high)]) * (size, -size) + (x, y)
    scene.add(
        ribbon(path, [0.005 * size, 0.07 * size, 0.005 * size]),
        lighter(mood.light, 0.5),
        shade=0,
        angle=1.5,
        detail=0.8,
        opacity=0.7,
    )


def add_bottle(rng: np.random.Generator, scene: Scene, mood: Mood, x: float, y: float, size: float) -> None:
    """A bottle, sometimes with a label."""
    belly, tall, neck = rng.uniform(0.2, 0.28), rng.uniform(0.75, 1.0), rng.uniform(0.35, 0.55)
    colour = mix((mood.land[1], mood.dark, mood.accent(rng), mood.water)[rng.integers(4)], mood.dark, 0.2)
    profile = [
        (belly * 0.9, 0),
        (belly, 0.05),
        (belly, tall * 0.8),
        (belly * 0.8, tall),
        (0.08, tall + 0.18),
        (0.075, tall + neck),
        (0.1, tall + neck),
        (0.1, tall + neck + 0.06),
    ]
    _add_shadow(scene, x, y, belly * size, mood)
    scene.add(
        _turned(profile, x, y, size),
        colour,
        shade=0.3,
        gradient=np.pi if np.cos(scene.light) > 0 else 0.0,
        angle=1.5,
        detail=0.45,
    )
    if rng.random() < 0.5:
        label = rectangle(
            x - belly * size * 0.8, y - tall * 0.62 * size, x + belly * size * 0.8, y - tall * 0.25 * size
        )
        scene.add(label, mix(mood.light, mood.accent(rng), 0.15), shade=0.12, gradient=0.0, detail=0.6)
    _add_gleam(scene, x, y, size, belly, tall * 0.2, tall * 0.9, mood)


def add_jug(rng: np.random.Generator, scene: Scene, mood: Mood, x: float, y: float, size: float) -> None:
    """An earthenware jug with a handle."""
    colour = mix(mood.accent(rng), mood.light, rng.uniform(0, 0.5))
    side = rng.choice([-1, 1])
    _add_shadow(scene, x, y, 0.38 * size, mood)
    handle = arc(x + side * 0.34 * size, y - 0.62 * size, 0.24 * size, -1.7, 1.7) * (1, 1)
    if side < 0:
        handle[:, 0] = 2 * (x + side * 0.34 * size) - handle[:, 0]
    scene.add(ribbon(handle, 0.07 * size), darker(colour, 0.2), shade=0.15, angle=None, detail=0.5)
    profile = [(0.24, 0), (0.34, 0.12), (0.4, 0.4), (0.33, 0.68), (0.2, 0.86), (0.22, 1.0), (0.26, 1.04)]
    scene.add(
        _turned(profile, x, y, size),
        colour,
        shade=0.32,
        gradient=np.pi if np.cos(scene.light) > 0 else 0.0,
        angle=1.3,
        detail=0.4,
    )
    scene.add(
        ellipse(x, y - 1.04 * size, 0.26 * size, 0.06 * size), darker(colour, 0.55), shade=0.1, angle=None, detail=0.6
    )
    _add_gleam(scene, x, y, size, 0.4, 0.25, 0.7, mood)


def add_bowl(rng: np.random.Generator, scene: Scene, mood: Mood, x: float, y: float, size: float) -> None:
    """A bowl heaped with fruit."""
    colour = mix(mood.accent(rng), mood.light, rng.uniform(0.1, 0.7))
    _add_shadow(scene, x, y, 0.55 * size, mood)
    rim = y - 0.4 * size
    scene.add(ellipse(x, rim, 0.72 * size, 0.13 * size), darker(colour, 0.5), shade=0.1, angle=None, detail=0.5)
    for _ in range(rng.integers(4, 8)):
        dx = rng.normal(0, 0.26)
        _add_round_fruit(
            rng, scene, mood, x + dx * size, rim - (0.16 - 0.5 * dx * dx) * size * rng.uniform(0.3, 1.4), 0.2 * size
        )
    angle = np.linspace(0, np.pi, 20)
    body = np.stack([0.72 * np.cos(angle), -0.4 + 0.4 * np.sin(angle) ** 0.7], axis=1)
    front = np.stack([0.72 * np.cos(angle[::-1]), -0.4 + 0.12 * np.sin(angle[::-1])], axis=1)
    scene.add(
        np.concatenate([body, front]) * size + (x, y),
        colour,
        shade=0.3,
        gradient=scene.light + np.pi,
        angle=0.2,
        detail=0.45,
    )


def _add_round_fruit(rng: np.random.Generator, scene: Scene, mood: Mood, x: float, y: float, radius: float) -> None:
    colour = jittered(rng, mix(from_hex(FRUITS[rng.integers(len(FRUITS))]), mood.accent(rng), 0.35), 0.03)
    scene.add_sphere(blob(rng, x, y, radius, radius * 0.95, bumps=0.03, lobes=3), colour, shade=0.45, detail=0.5)
    glint = np.array([np.cos(scene.light), np.sin(scene.light)]) * radius * 0.45
    scene.add(
        ellipse(x + glint[0], y + glint[1], radius * 0.16, radius * 0.12, points=12),
        lighter(colour, 0.75),
        shade=0,
        detail=0.9,
        opacity=0.8,
    )
    if rng.random() < 0.5:
        stem = [(x, y - radius * 0.85), (x + radius * 0.1, y - radius * 1.25)]
        scene.add(ribbon(stem, radius * 0.12), darker(mood.land[1], 0.5), shade=0, angle=1.5, detail=0.9)


def add_fruit(rng: np.random.Generator, scene: Scene, mood: Mood, x: float, y: float, size: float) -> None:
    """An apple or a pear."""
    radius = size * rng.uniform(0.22, 0.28)
    _add_shadow(scene, x, y, radius, mood)
    if rng.random() < 0.3:
        colour = jittered(rng, mix(from_hex("b8a93c"), mood.accent(rng), 0.35), 0.03)
        pear = _turned(
            [(0.5, 0.05), (0.92, 0.4), (0.98, 0.8), (0.7, 1.35), (0.42, 1.75), (0.34, 2.1), (0.15, 2.3)], x, y, radius
        )
        scene.add_sphere(smoothed(pear, 1), colour, detail=0.5)
        scene.add(
            ribbon([(x, y - 2.25 * radius), (x + radius * 0.15, y - 2.7 * radius)], radius * 0.1),
            mood.dark,
            shade=0,
            angle=1.5,
            detail=0.9,
        )
    else:
        _add_round_fruit(rng, scene, mood, x, y - radius * 0.92, radius)


def add_grapes(rng: np.random.Generator, scene: Scene, mood: Mood, x: float, y: float, size: float) -> None:
    """A bunch of grapes lying on the table."""
    colour = mix(from_hex(("5a2a55", "8fa24a", "3a2f5c")[rng.integers(3)]), mood.accent(rng), 0.25)
    _add_shadow(scene, x, y, 0.35 * size, mood)
    for row in range(4):
        for i in range(6 - row):
            place = (x + (i - (5 - row) / 2) * 0.13 * size + rng.normal(0, 0.01), y - (0.06 + row * 0.1) * size)
            scene.add_sphere(
                ellipse(*place, 0.075 * size, 0.075 * size, points=16),
                jittered(rng, colour, 0.03),
                shade=0.45,
                detail=0.7,
            )


def add_cup(rng: np.random.Generator, scene: Scene, mood: Mood, x: float, y: float, size: float) -> None:
    """A cup on a saucer."""
    colour, side = mix(mood.light, mood.accent(rng), rng.choice([0.1, 0.6])), rng.choice([-1, 1])
    _add_shadow(scene, x, y, 0.36 * size, mood)
    scene.add(
        ellipse(x, y - 0.02 * size, 0.42 * size, 0.1 * size), darker(colour, 0.08), shade=0.15, angle=0.0, detail=0.5
    )
    scene.add(
        ribbon(ellipse(x + side * 0.26 * size, y - 0.27 * size, 0.13 * size, 0.12 * size), 0.045 * size),
        darker(colour, 0.15),
        shade=0.1,
        angle=None,
        detail=0.7,
    )
    profile = [(0.13, 0.02), (0.22, 0.12), (0.26, 0.3), (0.27, 0.44)]
    scene.add(
        _turned(profile, x, y, size),
        colour,
        shade=0.25,
        gradient=np.pi if np.cos(scene.light) > 0 else 0.0,
        angle=1.4,
        detail=0.5,
    )
    scene.add(
        ellipse(x, y - 0.44 * size, 0.27 * size, 0.065 * size), lighter(colour, 0.2), shade=0.05, angle=None, detail=0.6
    )
    scene.add(
        ellipse(x, y - 0.43 * size, 0.22 * size, 0.045 * size),
        mix(from_hex("5b3520"), mood.dark, 0.3),
        shade=0.05,
        angle=None,
        detail=0.7,
    )


def add_loaf(rng: np.random.Generator, scene: Scene, mood: Mood, x: float, y: float, size: float) -> None:
    """A loaf of bread with cuts in its crust."""
    crust = jittered(rng, mix(from_hex("b87a3a"), mood.accent(rng), 0.15), 0.03)
    _add_shadow(scene, x, y, 0.5 * size, mood)
    loaf = smoothed(
        [(-0.6, -0.08), (-0.5, -0.36), (-0.1, -0.46), (0.35, -0.4), (0.62, -0.14), (0.5, 0.0), (-0.5, 0.0)]
    ) * size + (x, y)
    scene.add_sphere(loaf, crust, shade=0.4, detail=0.45)
    for i in range(3):
        cut = np.array([(-0.32 + 0.27 * i, -0.38), (-0.2 + 0.27 * i, -0.2)]) * size + (x, y)
        scene.add(ribbon(cut, 0.05 * size), lighter(crust, 0.4), shade=0.1, angle=1.0, detail=0.7)


def add_books(rng: np.random.Generator, scene: Scene, mood: Mood, x: float, y: float, size: float) -> None:
    """A pile of books, spines to the viewer."""
    _add_shadow(scene, x, y, 0.5 * size, mood)
    for _ in range(rng.integers(1, 4)):
        thick, wide, slip = size * rng.uniform(0.1, 0.17), size * rng.uniform(0.4, 0.55), rng.normal(0, 0.04) * size
        cover = mix(mood.accent(rng), mood.dark, rng.uniform(0, 0.4))
        top = np.array([(-wide, 0), (-wide * 0.8, -thick * 0.9), (wide * 1.08, -thick * 0.9), (wide, 0)])
        top += (x + slip, y - thick)
        scene.add(top, lighter(cover, 0.15), shade=0.1, detail=0.4)
        scene.add(rectangle(x + slip - wide, y - thick, x + slip + wide, y), cover, shade=0.15, detail=0.5)
        scene.add(
            rectangle(x + slip - wide * 0.6, y - thick * 0.7, x + slip + wide * 0.2, y - thick * 0.5),
            mood.light,
            shade=0.05,
            detail=0.8,
            opacity=0.8,
        )
        y -= thick


def add_vase(rng: np.random.Generator, scene: Scene, mood: Mood, x: float, y: float, size: float) -> None:
    """A vase with a bunch of flowers."""
    colour = mix(mood.accent(rng), mood.light, rng.uniform(0, 0.6))
    _add_shadow(scene, x, y, 0.3 * size, mood)
    top = y - 0.8 * size
    for _ in range(rng.integers(7, 14)):
        lean, rise = rng.normal(0, 0.3) * size, rng.uniform(0.2, 0.75) * size
        leaf = darker(jittered(rng, mood.land[rng.integers(2)], 0.05), 0.15)
        scene.add(
            ribbon([(x, top + 0.1 * size), (x + lean * 0.4, top - rise * 0.5), (x + lean, top - rise)], 0.025 * size),
            leaf,
            shade=0.05,
            angle=1.5,
            detail=0.6,
        )
        scene.add_solid(
            blob(rng, x + lean * 0.7, top - rise * 0.5, 0.16 * size, 0.07 * size, bumps=0.2),
            leaf,
            shade=0.2,
            angle=0.6,
            detail=0.5,
        )
    scene.add(
        _turned([(0.2, 0), (0.28, 0.2), (0.3, 0.45), (0.17, 0.7), (0.2, 0.82)], x, y, size),
        colour,
        shade=0.32,
        gradient=np.pi if np.cos(scene.light) > 0 else 0.0,
        angle=1.4,
        detail=0.4,
    )
    petals = [mood.accent(rng) for _ in range(3)]
    for _ in range(rng.integers(7, 15)):
        lean, rise = rng.normal(0, 0.3) * size, rng.uniform(0.1, 0.85) * size
        radius, petal = size * rng.uniform(0.08, 0.15), jittered(rng, petals[rng.integers(3)], 0.04)
        scene.add_sphere(
            blob(rng, x + lean, top - rise, radius, radius, bumps=0.22, lobes=7), petal, shade=0.35, detail=0.7
        )
        scene.add(
            ellipse(x + lean, top - rise, radius * 0.3, radius * 0.3, points=10),
            mix(petal, mood.accents[1], 0.7),
            shade=0.1,
            angle=None,
            detail=0.9,
        )
    _add_gleam(scene, x, y, size, 0.3, 0.2, 0.6, mood)
