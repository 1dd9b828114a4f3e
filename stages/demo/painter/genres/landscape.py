"""Landscapes: sky, hills, water, trees, now and then a house or a sail.

In: a mood and the picture's shape. Out: a scene.
"""

import numpy as np

from stages.demo.painter.artists import Mood
from stages.demo.painter.colours import darker, jittered, lighter, mix
from stages.demo.painter.genres.things import add_house, add_sail, add_sky, add_tree
from stages.demo.painter.scene import Scene
from stages.demo.painter.shapes import blob, down_to, ellipse, rectangle, ribbon, ridge

COMPOSITIONS = ("meadow", "sea", "lake", "mountains", "hills", "grove")
ASPECTS = (0.8, 2.0)


def landscape(rng: np.random.Generator, mood: Mood, aspect: float) -> Scene:
    """Compose a landscape."""
    scene = Scene(aspect, mood.light_rad)
    horizon = mood.horizon
    add_sky(rng, scene, mood, horizon + 0.02)
    kind = mood.composition(rng, "landscape", COMPOSITIONS)
    COMPOSE[kind](rng, scene, mood, horizon)
    return scene


def _meadow(rng: np.random.Generator, scene: Scene, mood: Mood, horizon: float) -> None:
    _add_hills(rng, scene, mood, horizon, count=rng.integers(1, 3), height=0.04)
    _add_ground(rng, scene, mood, horizon)
    _add_path(rng, scene, mood, horizon)
    _add_far_trees(rng, scene, mood, horizon + 0.03)
    if rng.random() < 0.5:
        add_house(rng, scene, mood, rng.uniform(0.2, 0.8) * scene.aspect, horizon + 0.08, rng.uniform(0.07, 0.12))
    _add_flowers(rng, scene, mood, horizon)
    _add_near_trees(rng, scene, mood, horizon, count=rng.integers(1, 4))


def _sea(rng: np.random.Generator, scene: Scene, mood: Mood, horizon: float) -> None:
    if rng.random() < 0.6:
        _add_hills(rng, scene, mood, horizon, count=1, height=0.05)
    _add_water(rng, scene, mood, horizon, 1.05)
    for _ in range(rng.integers(1, 5)):
        depth = rng.random() ** 1.5
        add_sail(
            rng, scene, mood, rng.uniform(0.1, 0.9) * scene.aspect, horizon + 0.02 + 0.25 * depth, 0.06 + 0.2 * depth
        )
    if rng.random() < 0.7:
        shore = ridge(rng, scene.aspect, rng.uniform(0.88, 0.95), 0.04, waves=1)
        scene.add(down_to(shore - (0, 0.012), 1.1), lighter(mood.water, 0.7), shade=0.02, detail=0.3)
        scene.add(down_to(shore, 1.1), mix(mood.land[2], mood.light, 0.3), shade=0.12, angle=0.1, detail=0.2)


def _lake(rng: np.random.Generator, scene: Scene, mood: Mood, horizon: float) -> None:
    _add_hills(rng, scene, mood, horizon, count=rng.integers(2, 4), height=0.07)
    _add_far_trees(rng, scene, mood, horizon + 0.01)
    shore = rng.uniform(0.82, 0.95)
    _add_water(rng, scene, mood, horizon + 0.015, shore + 0.1)
    bank = ridge(rng, scene.aspect, shore, 0.05, waves=1)
    scene.add(down_to(bank, 1.1), mood.land[0], shade=0.2, angle=0.15, detail=0.35)
    _add_reeds(rng, scene, mood, bank)
    _add_near_trees(rng, scene, mood, horizon + 0.15, count=rng.integers(1, 3))


def _mountains(rng: np.random.Generator, scene: Scene, mood: Mood, horizon: float) -> None:
    _add_peaks(rng, scene, mood, horizon)
    _add_hills(rng, scene, mood, horizon + 0.05, count=2, height=0.06)
    if rng.random() < 0.5:
        _add_water(rng, scene, mood, horizon + 0.12, 1.05)
        scene.add(down_to(ridge(rng, scene.aspect, 0.92, 0.05, waves=1), 1.1), mood.land[1], shade=0.2, detail=0.3)
    else:
        _add_ground(rng, scene, mood, horizon + 0.1)
    _add_near_trees(rng, scene, mood, horizon + 0.15, count=rng.integers(2, 6), kinds=("pine", "pine", "round"))


def _hills(rng: np.random.Generator, scene: Scene, mood: Mood, horizon: float) -> None:
    count = rng.integers(4, 7)
    for i in range(count):
        near = (i + 1) / count
        level = horizon + (1.0 - horizon) * near**1.3 * 0.85 - 0.04
        colour = mix(mood.sky[1], jittered(rng, mood.land[rng.integers(3)], 0.05), 0.35 + 0.65 * near)
        line = ridge(rng, scene.aspect, level, 0.04 + 0.05 * near, waves=1.2, rough=0.25)
        scene.add(down_to(line, 1.1), colour, shade=0.16, angle=rng.normal(0, 0.35), detail=0.2 + 0.2 * near)
        for _ in range(rng.integers(0, 5)):
            x, y = line[rng.integers(8, 82)]
            add_tree(rng, scene, mood, x, y + 0.02, 0.05 + 0.13 * near * rng.uniform(0.6, 1), haze=0.5 * (1 - near))
    if rng.random() < 0.4:
        add_house(rng, scene, mood, rng.uniform(0.2, 0.8) * scene.aspect, 0.8, rng.uniform(0.08, 0.14))


def _grove(rng: np.random.Generator, scene: Scene, mood: Mood, horizon: float) -> None:
    _add_far_trees(rng, scene, mood, horizon + 0.02, height=0.12)
    _add_ground(rng, scene, mood, horizon)
    _add_path(rng, scene, mood, horizon)
    kind = ("birch", "poplar", "round", "pine")[rng.integers(4)]
    for depth in np.sort(rng.random(rng.integers(7, 13))):
        x = rng.uniform(-0.02, 1.02) * scene.aspect
        add_tree(
            rng, scene, mood, x, horizon + 0.05 + 0.42 * depth, 0.3 + 0.5 * depth, haze=0.35 * (1 - depth), kind=kind
        )


COMPOSE = {"meadow": _meadow, "sea": _sea, "lake": _lake, "mountains": _mountains, "hills": _hills, "grove": _grove}


def _add_hills(
    rng: np.random.Generator, scene: Scene, mood: Mood, horizon: float, *, count: int, height: float
) -> None:
    """Ridges behind one another; air makes the far ones pale and blue."""
    for i in range(count):
        near = (i + 1) / (count + 1)
        line = ridge(rng, scene.aspect, horizon - height * (1.3 - 1.2 * near), height, waves=1.6, rough=0.35)
        colour = mix(mix(mood.sky[0], mood.sky[1], 0.4), mood.land[1], 0.25 + 0.5 * near)
        scene.add(down_to(line, horizon + 0.1), colour, shade=0.08, angle=0.1, detail=0.15)


def _add_peaks(rng: np.random.Generator, scene: Scene, mood: Mood, horizon: float) -> None:
    """Crags with snow on top and a shaded flank."""
    for i in range(rng.integers(2, 5)):
        near = 0.3 + 0.2 * i
        x, reach = rng.uniform(0.05, 0.95) * scene.aspect, rng.uniform(0.3, 0.6)
        top = horizon - rng.uniform(0.2, 0.38) * (1.1 - 0.15 * i)
        side = np.linspace(0, 1, 9)[1:]
        rise = np.abs(rng.normal(0, 0.018, (2, 8)))
        left = np.stack([x - reach * side, top + (horizon + 0.1 - top) * side**0.85 + rise[0]], axis=1)
        right = np.stack([x + reach * side, top + (horizon + 0.1 - top) * side**0.9 + rise[1]], axis=1)
        body = np.concatenate([left[::-1], [(x, top)], right])
        colour = mix(mood.sky[0], mix(mood.land[1], mood.dark, 0.3), near)
        scene.add(body, colour, shade=0.14, angle=1.0, detail=0.3)
        lit = left if np.cos(scene.light) > 0 else right
        spine = np.stack([x + rng.normal(0, 0.02, 5), np.linspace(top + 0.03, horizon + 0.1, 5)], axis=1)
        scene.add(
            np.concatenate([[(x, top)], lit, spine[::-1]]), darker(colour, 0.35), shade=0.06, angle=-1.0, detail=0.3
        )
        cap = np.concatenate(
            [left[2::-1], [(x, top)], right[:3], [(x + reach * 0.12, top + 0.07), (x - reach * 0.06, top + 0.05)]]
        )
        scene.add(
            cap, mix(mood.light, mood.sky[0], 0.1), shade=0.05, gradient=scene.light + np.pi, angle=1.0, detail=0.4
        )


def _add_ground(rng: np.random.Generator, scene: Scene, mood: Mood, horizon: float) -> None:
    """Fields that lie one before another, lighter where they are far."""
    scene.add(
        rectangle(-0.1, horizon, scene.aspect + 0.1, 1.1),
        mix(mood.land[0], mood.sky[1], 0.25),
        to=mood.land[1],
        detail=0.2,
    )
    edges = horizon + (1 - horizon) * np.sort(rng.random(rng.integers(2, 5))) ** 1.4
    for edge in edges:
        colour = jittered(rng, mood.land[rng.integers(3)], 0.05)
        near = (edge - horizon) / (1 - horizon)
        line = ridge(rng, scene.aspect, edge, 0.015 + 0.03 * near, waves=0.8, rough=0.2)
        line[:, 1] += rng.normal(0, 0.06) * (line[:, 0] / scene.aspect - 0.5)
        scene.add(
            down_to(np.maximum(line, (-9, horizon + 0.005)), 1.1),
            colour,
            shade=0.15,
            angle=rng.normal(0, 0.3),
            detail=0.2 + 0.3 * near,
        )


def _add_water(rng: np.random.Generator, scene: Scene, mood: Mood, top: float, bottom: float) -> None:
    """Water reflects the sky, and the brighter sky near the light; ripples widen towards the viewer."""
    surface = mix(mood.water, mood.sky[1], 0.45)
    scene.add(
        rectangle(-0.1, top, scene.aspect + 0.1, bottom), surface, to=darker(mood.water, 0.25), angle=0.0, detail=0.2
    )
    glint = scene.aspect * (0.5 + 0.4 * np.cos(scene.light))
    for depth in np.sort(rng.random(rng.integers(18, 34))):
        y = top + (bottom - top) * depth**1.3
        bright = rng.random() < 0.55
        x = rng.normal(glint, 0.05 + 0.1 * depth) if bright else rng.uniform(0, scene.aspect)
        colour = mix(mood.light, mood.sky[1], 0.3) if bright else darker(mood.water, 0.2)
        scene.add(
            ellipse(x, y, 0.03 + 0.14 * depth * rng.random(), 0.003 + 0.008 * depth, points=14),
            colour,
            shade=0.02,
            detail=0.5,
            opacity=0.75,
        )


def _add_path(rng: np.random.Generator, scene: Scene, mood: Mood, horizon: float) -> None:
    down = np.linspace(0, 1, 16)
    start, end = rng.uniform(0.3, 0.7, 2) * scene.aspect
    x = start + (end - start) * down + 0.12 * np.sin(down * rng.uniform(3, 6) + rng.uniform(0, 6)) * down**0.5
    path = np.stack([x, horizon + 0.02 + (1.08 - horizon) * down**1.5], axis=1)
    scene.add(
        ribbon(path, 0.01 + 0.2 * down**1.6), mix(mood.land[2], mood.light, 0.45), shade=0.1, angle=0.2, detail=0.35
    )


def _add_far_trees(rng: np.random.Generator, scene: Scene, mood: Mood, level: float, *, height: float = 0.05) -> None:
    colour = mix(mood.sky[0], darker(mood.land[1], 0.2), 0.7)
    line = ridge(rng, scene.aspect, level - height * 0.7, height * 0.5, waves=6, rough=0.7)
    scene.add(down_to(line, level + 0.01), colour, shade=0.12, angle=1.4, detail=0.45)


def _add_flowers(rng: np.random.Generator, scene: Scene, mood: Mood, horizon: float) -> None:
    colours = [mood.accent(rng) for _ in range(3)]
    middle = rng.uniform(0.2, 0.8) * scene.aspect
    for depth in np.sort(rng.random(rng.integers(15, 60))):
        x, y = rng.normal(middle, 0.3 * scene.aspect), horizon + 0.08 + (1 - horizon) * depth
        size = 0.004 + 0.012 * depth
        scene.add(
            ellipse(x, y, size, size * 0.8, points=9), colours[rng.integers(3)], shade=0.05, angle=1.3, detail=0.9
        )


def _add_reeds(rng: np.random.Generator, scene: Scene, mood: Mood, bank: np.ndarray) -> None:
    middle = rng.integers(10, 80)
    for _ in range(rng.integers(6, 22)):
        x, y = bank[np.clip(int(rng.normal(middle, 12)), 0, 89)]
        lean = rng.normal(0, 0.03)
        path = [(x, y + 0.03), (x + lean * 0.3, y - 0.05), (x + lean, y - rng.uniform(0.08, 0.16))]
        scene.add(
            ribbon(path, [0.008, 0.006, 0.001]),
            darker(mood.land[1], rng.uniform(0, 0.35)),
            shade=0.05,
            angle=1.5,
            detail=0.8,
        )


def _add_near_trees(
    rng: np.random.Generator,
    scene: Scene,
    mood: Mood,
    horizon: float,
    *,
    count: int,
    kinds: tuple[str, ...] | None = None,
) -> None:
    """Trees stand to the sides more often than in the middle, where the view is."""
    kind = None if kinds is None else kinds[rng.integers(len(kinds))]
    for depth in np.sort(rng.uniform(0.15, 1, count)):
        x = scene.aspect * (rng.beta(0.6, 0.6) * 1.04 - 0.02)
        base = horizon + (1.02 - horizon) * depth
        add_tree(
            rng, scene, mood, x, base, 0.2 + 0.5 * depth * rng.uniform(0.6, 1.1), haze=0.3 * (1 - depth), kind=kind
        )
        scene.add(
            blob(rng, x + 0.04, base, 0.1 * depth + 0.03, 0.012),
            darker(mood.land[1], 0.45),
            shade=0,
            opacity=0.45,
            soft=0.008,
        )
