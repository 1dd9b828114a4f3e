"""Houses of a cityscape: fronts seen squarely or at a slant, with windows, roofs, doors and shops.

In: a scene and where the house stands. Out: more shapes in the scene.
"""

import numpy as np

from stages.demo.painter.artists import Mood
from stages.demo.painter.colours import darker, jittered, lighter, mix
from stages.demo.painter.scene import Scene
from stages.demo.painter.shapes import rectangle


def _wall_colour(rng: np.random.Generator, mood: Mood) -> np.ndarray:
    base = (mood.light, mood.wall, mood.accent(rng), mood.land[2])[rng.choice(4, p=[0.25, 0.25, 0.35, 0.15])]
    colour = jittered(rng, mix(base, mood.light, rng.uniform(0, 0.35)), 0.03)
    return mix(colour, mood.dark, 0.6) if mood.night else colour


def _pane_colour(rng: np.random.Generator, mood: Mood) -> np.ndarray:
    if mood.night:
        return mix(mood.light, mood.accents[1], 0.35) if rng.random() < 0.45 else darker(mood.dark, 0.2)
    return mix(mix(mood.dark, mood.water, 0.35), mood.sky[1], rng.uniform(0, 0.35))


def add_front(
    rng: np.random.Generator, scene: Scene, mood: Mood, left: float, right: float, top: float, base: float
) -> None:
    """One house front: wall, roof, rows of windows, a door or a shop."""
    wall, wide = _wall_colour(rng, mood), right - left
    roof = mix(mix(mood.accent(rng), mood.dark, 0.35), mood.land[2], 0.2)
    _add_roof(rng, scene, roof, left, right, top, wide)
    scene.add(rectangle(left, top, right, base), wall, shade=0.1, gradient=scene.light + np.pi, angle=1.5, detail=0.3)
    scene.add(
        rectangle(left - wide * 0.02, top, right + wide * 0.02, top + wide * 0.05),
        lighter(wall, 0.25),
        shade=0.1,
        detail=0.4,
    )
    columns, storey = int(rng.integers(2, 5)), rng.uniform(0.085, 0.12)
    rows = max(1, int((base - top - storey) / storey))
    shutter = mood.accent(rng) if rng.random() < 0.4 else None
    step, tall = wide / columns, storey * rng.uniform(0.5, 0.62)
    half = step * rng.uniform(0.2, 0.28)
    for row in range(rows):
        y = top + storey * (row + 0.35)
        for column in range(columns):
            _add_window(
                scene, mood, left + step * (column + 0.5), y, half, tall, wall, _pane_colour(rng, mood), shutter
            )
    _add_ground_floor(rng, scene, mood, left, right, base - storey * 0.85, base)


def _add_window(
    scene: Scene,
    mood: Mood,
    x: float,
    y: float,
    half: float,
    tall: float,
    wall: np.ndarray,
    pane: np.ndarray,
    shutter: np.ndarray | None,
) -> None:
    scene.add(
        rectangle(x - half * 1.25, y - half * 0.25, x + half * 1.25, y + tall + half * 0.3),
        lighter(wall, 0.35),
        shade=0.05,
        angle=1.5,
        detail=0.7,
    )
    scene.add(rectangle(x - half, y, x + half, y + tall), pane, shade=0.08, angle=1.5, detail=0.8)
    if shutter is not None:
        for side in (-1, 1):
            near, far = x + side * half * 1.1, x + side * half * 1.8
            scene.add(rectangle(min(near, far), y, max(near, far), y + tall), shutter, shade=0.1, angle=1.5, detail=0.7)


def _add_roof(
    rng: np.random.Generator, scene: Scene, roof: np.ndarray, left: float, right: float, top: float, wide: float
) -> None:
    kind, rise = rng.integers(4), wide * rng.uniform(0.3, 0.6)
    if kind < 3:
        x = left + wide * rng.uniform(0.15, 0.75)
        scene.add(
            rectangle(x, top - rise * 1.15, x + wide * 0.1, top), darker(roof, 0.2), shade=0.15, angle=1.5, detail=0.5
        )
    if kind == 0:
        scene.add(
            np.array([(left - 0.005, top), ((left + right) / 2, top - rise), (right + 0.005, top)]),
            roof,
            shade=0.15,
            angle=1.0,
            detail=0.4,
        )
    elif kind == 1:
        scene.add(
            np.array(
                [
                    (left, top),
                    (left + wide * 0.12, top - rise * 0.7),
                    (right - wide * 0.12, top - rise * 0.7),
                    (right, top),
                ]
            ),
            roof,
            shade=0.15,
            angle=1.3,
            detail=0.4,
        )
    elif kind == 2:
        steps = [
            (0, 0),
            (0, 0.3),
            (0.17, 0.3),
            (0.17, 0.6),
            (0.34, 0.6),
            (0.34, 0.95),
            (0.66, 0.95),
            (0.66, 0.6),
            (0.83, 0.6),
            (0.83, 0.3),
            (1, 0.3),
            (1, 0),
        ]
        scene.add(np.array(steps) * (wide, -rise) + (left, top), roof, shade=0.12, angle=1.5, detail=0.4)


def _add_ground_floor(
    rng: np.random.Generator, scene: Scene, mood: Mood, left: float, right: float, top: float, base: float
) -> None:
    wide, awning = right - left, mood.accent(rng)
    if rng.random() < 0.45:
        scene.add(
            rectangle(left + wide * 0.1, top, right - wide * 0.1, base),
            _pane_colour(rng, mood),
            shade=0.1,
            angle=1.5,
            detail=0.6,
        )
        count = 6
        for i in range(count):
            stripe = awning if i % 2 else mood.light
            x = left + wide * (0.06 + 0.88 * i / count)
            width = wide * 0.88 / count
            scene.add(
                np.array([(x, top), (x + width, top), (x + width, top + 0.035), (x, top + 0.035)]),
                stripe,
                shade=0.1,
                angle=1.5,
                detail=0.7,
            )
    else:
        x = left + wide * rng.uniform(0.2, 0.7)
        scene.add(
            rectangle(x, top + 0.005, x + min(wide * 0.22, 0.05), base),
            mix(awning, mood.dark, 0.3),
            shade=0.12,
            angle=1.5,
            detail=0.7,
        )


def add_row(rng: np.random.Generator, scene: Scene, mood: Mood, base: float, highest: float, lowest: float) -> None:
    left = -rng.uniform(0, 0.1)
    while left < scene.aspect:
        right = left + rng.uniform(0.16, 0.32)
        add_front(rng, scene, mood, left, right, rng.uniform(highest, lowest), base)
        left = right


def add_receding_house(
    rng: np.random.Generator,
    scene: Scene,
    mood: Mood,
    vanish: np.ndarray,
    edge: float,
    near: float,
    far: float,
    top: float,
) -> None:
    """A front seen at a slant: every height shrinks towards the vanishing point."""

    def at(depth: float, height: float) -> tuple[float, float]:
        return vanish[0] + (edge - vanish[0]) * depth, vanish[1] + (height - vanish[1]) * depth

    wall, base = _wall_colour(rng, mood), 1.05
    away = np.cos(scene.light) * (edge - vanish[0]) > 0
    wall = darker(wall, 0.3) if away else wall
    roof = mix(mood.accent(rng), mood.dark, 0.4)
    scene.add(
        np.array([at(near, top - 0.1), at(far, top - 0.1), at(far, top), at(near, top)]),
        roof,
        shade=0.12,
        angle=1.0,
        detail=0.35,
    )
    scene.add(
        np.array([at(near, top), at(far, top), at(far, base), at(near, base)]), wall, shade=0.1, angle=1.5, detail=0.3
    )
    columns, rows = 3, int(rng.integers(4, 6))
    for column in range(columns):
        first = near + (far - near) * (column + 0.25) / columns
        second = near + (far - near) * (column + 0.72) / columns
        for row in range(rows):
            high = top + (base - top) * (row + 0.25) / rows
            low = high + (base - top) * 0.52 / rows
            pane = np.array([at(first, high), at(second, high), at(second, low), at(first, low)])
            scene.add(pane, _pane_colour(rng, mood), shade=0.08, angle=1.5, detail=0.75)
