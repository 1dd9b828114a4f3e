"""Abstracts: circles, bars, stacks of colour, drifting signs, waves, organic forms.

In: a mood and the picture's shape. Out: a scene.
"""

from itertools import pairwise

import numpy as np

from stages.demo.painter.artists import Mood
from stages.demo.painter.colours import darker, lighter, mix
from stages.demo.painter.scene import Scene
from stages.demo.painter.shapes import arc, blob, down_to, ellipse, rectangle, ribbon, ridge

COMPOSITIONS = ("circles", "bars", "stack", "signs", "waves", "forms")
ASPECTS = (0.72, 1.4)


def abstract(rng: np.random.Generator, mood: Mood, aspect: float) -> Scene:
    """Compose an abstract picture."""
    scene = Scene(aspect, mood.light_rad)
    ground = mix(
        (mood.paper, mood.wall, mood.dark, mood.sky[1])[rng.choice(4, p=[0.4, 0.3, 0.1, 0.2])], mood.accent(rng), 0.1
    )
    scene.add(
        rectangle(-0.1, -0.1, aspect + 0.1, 1.1),
        ground,
        shade=0.08,
        gradient=scene.light + np.pi,
        angle=rng.uniform(0, 3),
        detail=0.1,
    )
    COMPOSE[mood.composition(rng, "abstract", COMPOSITIONS)](rng, scene, mood)
    return scene


def _circles(rng: np.random.Generator, scene: Scene, mood: Mood) -> None:
    """Discs of rings, cut into sectors of changing colour."""
    for size in -np.sort(-rng.uniform(0.1, 0.42, rng.integers(2, 6))):
        x, y = rng.uniform(0.1, 0.9) * scene.aspect, rng.uniform(0.12, 0.88)
        for ring in np.linspace(1, 0.2, rng.integers(3, 7)):
            scene.add(ellipse(x, y, size * ring, size * ring), mood.accent(rng), shade=0.08, angle=None, detail=0.35)
            if rng.random() < 0.45:
                start = rng.choice(4) * np.pi / 2
                sector = np.concatenate(
                    [[(x, y)], arc(x, y, size * ring, start, start + np.pi * rng.choice([0.5, 1.0]))]
                )
                scene.add(
                    sector,
                    mix(mood.accent(rng), mood.dark, rng.choice([0.0, 0.4])),
                    shade=0.08,
                    angle=None,
                    detail=0.35,
                )


def _bars(rng: np.random.Generator, scene: Scene, mood: Mood) -> None:
    """A rectangle divided again and again, some panes coloured, with bars between them."""
    panes = [(0.0, 0.0, scene.aspect, 1.0)]
    for _ in range(rng.integers(5, 12)):
        areas = np.array([(right - left) * (bottom - top) for left, top, right, bottom in panes])
        left, top, right, bottom = panes.pop(int(rng.choice(len(panes), p=areas / areas.sum())))
        cut = rng.uniform(0.25, 0.75)
        if right - left > bottom - top:
            middle = left + (right - left) * cut
            panes += [(left, top, middle, bottom), (middle, top, right, bottom)]
        else:
            middle = top + (bottom - top) * cut
            panes += [(left, top, right, middle), (left, middle, right, bottom)]
    bar, tilt = mix(mood.dark, mood.accent(rng), 0.1), rng.choice([0.0, 0.0, rng.normal(0, 0.12)])
    turn = np.array([(np.cos(tilt), np.sin(tilt)), (-np.sin(tilt), np.cos(tilt))])
    middle, wide = np.array([scene.aspect / 2, 0.5]), rng.uniform(0.008, 0.025)
    for pane in panes:
        outline = (rectangle(*pane) - middle) @ turn * (1 + abs(tilt)) + middle
        colour = mood.accent(rng) if rng.random() < 0.6 else mix(mood.paper, mood.light, 0.5)
        scene.add(outline, colour, shade=0.06, angle=rng.choice([0.0, 1.5]), detail=0.2)
        for corner in range(4):
            scene.add(ribbon([outline[corner], outline[(corner + 1) % 4]], wide), bar, shade=0.02, detail=0.4)


def _stack(rng: np.random.Generator, scene: Scene, mood: Mood) -> None:
    """Two to four soft-edged fields of colour over one another."""
    cuts = np.concatenate([[0.06], _spread(rng, int(rng.integers(1, 4))), [0.95]])
    for top, bottom in pairwise(cuts):
        inset, colour = rng.uniform(0.05, 0.1), mood.accent(rng)
        steps = np.linspace(0, 1, 14)
        wobble = rng.normal(0, 0.006, (2, 14))
        left, right = inset, scene.aspect - inset
        upper = np.stack([left + (right - left) * steps, top + 0.015 + wobble[0]], axis=1)
        lower = np.stack([right - (right - left) * steps, bottom - 0.015 + wobble[1]], axis=1)
        scene.add(np.concatenate([upper, lower]), colour, opacity=0.5, soft=0.02, shade=0.05)
        scene.add(np.concatenate([upper, lower]), colour, shade=0.14, angle=rng.normal(0, 0.3), detail=0.1, opacity=0.9)
        for y in top + (bottom - top) * rng.uniform(0.15, 0.85, rng.integers(0, 4)):
            line = ribbon([(left + 0.03, y), (right - 0.03, y + rng.normal(0, 0.01))], rng.uniform(0.005, 0.03))
            scene.add(line, lighter(colour, rng.uniform(0.1, 0.5)), shade=0.05, detail=0.3, opacity=0.7)


def _spread(rng: np.random.Generator, count: int) -> np.ndarray:
    """Heights between the fields, none of them close to another."""
    return 0.06 + 0.89 * (np.arange(1, count + 1) + rng.uniform(-0.35, 0.35, count)) / (count + 1)


def _signs(rng: np.random.Generator, scene: Scene, mood: Mood) -> None:
    """Triangles, arcs, discs and beams that drift along one diagonal."""
    slope = rng.choice([-1, 1]) * rng.uniform(0.3, 0.9)
    for _ in range(rng.integers(9, 20)):
        along = rng.uniform(-0.5, 0.5)
        x = scene.aspect * (0.5 + along) + rng.normal(0, 0.08)
        y, size = 0.5 + slope * along + rng.normal(0, 0.16), rng.gamma(3, 0.035)
        kind, colour = rng.integers(5), mix(mood.accent(rng), mood.dark, rng.choice([0, 0, 0.6]))
        if kind == 0:
            corners = arc(x, y, size * 1.4, *(rng.uniform(0, 6) + np.array([0, 4.2])), points=3)
            scene.add_solid(corners, colour, shade=0.12, angle=rng.uniform(0, 3), detail=0.4)
        elif kind == 1:
            start = rng.uniform(0, 6)
            scene.add(
                ribbon(arc(x, y, size * 1.6, start, start + rng.uniform(1.5, 4)), size * 0.15),
                colour,
                shade=0.05,
                angle=None,
                detail=0.6,
            )
        elif kind == 2:
            scene.add(ellipse(x, y, size * 1.5, size * 1.5), colour, shade=0, opacity=0.35, soft=size * 0.3)
            scene.add_sphere(ellipse(x, y, size, size), colour, shade=0.15, detail=0.4)
        elif kind == 3:
            reach = rng.uniform(0.15, 0.5) * np.array([1, slope * rng.choice([-1, 1])])
            scene.add(
                ribbon([np.array([x, y]) - reach, np.array([x, y]) + reach], size * 0.13),
                colour,
                shade=0.05,
                angle=float(np.arctan2(*reach[::-1])),
                detail=0.6,
            )
        else:
            for i in range(rng.integers(2, 6)):
                scene.add(
                    rectangle(x + i * size * 0.4, y, x + i * size * 0.4 + size * 0.25, y + size * 0.9),
                    mood.accent(rng),
                    shade=0.05,
                    detail=0.5,
                )


def _waves(rng: np.random.Generator, scene: Scene, mood: Mood) -> None:
    """Bands that swing across the picture."""
    count = rng.integers(6, 14)
    for i in range(count):
        line = ridge(rng, scene.aspect, (i + 0.5) / count, 0.06, waves=1.5, rough=0.15)
        colour = mood.accent(rng) if i % 3 else mix(mood.light, mood.sky[0], rng.random())
        scene.add(down_to(line, 1.1), colour, shade=0.12, angle=rng.normal(0, 0.25), detail=0.3)
        if rng.random() < 0.4:
            scene.add(ribbon(line, 0.008), darker(colour, 0.5), shade=0, angle=0.0, detail=0.6)


def _forms(rng: np.random.Generator, scene: Scene, mood: Mood) -> None:
    """Swimming organic forms, one large, many small, with kernels inside."""
    sizes = np.concatenate([[rng.uniform(0.22, 0.34)], rng.uniform(0.03, 0.16, rng.integers(5, 13))])
    for size in sizes:
        x, y = rng.uniform(0.12, 0.88) * scene.aspect, rng.uniform(0.12, 0.88)
        colour = mood.accent(rng)
        scene.add(
            blob(rng, x + 0.015, y + 0.02, size, size, bumps=0.3, lobes=4), mood.dark, shade=0, opacity=0.3, soft=0.015
        )
        scene.add_sphere(
            blob(rng, x, y, size, size * rng.uniform(0.6, 1.1), bumps=0.32, lobes=4), colour, shade=0.18, detail=0.3
        )
        if rng.random() < 0.7:
            scene.add_sphere(
                blob(rng, x, y, size * 0.4, size * 0.4, bumps=0.3, lobes=3), mood.accent(rng), shade=0.2, detail=0.5
            )
        if rng.random() < 0.4:
            tail = np.stack([x + np.linspace(0, size * 2, 10), y + size * 0.4 * np.sin(np.linspace(0, 5, 10))], axis=1)
            scene.add(ribbon(tail, np.linspace(0.015, 0.002, 10)), mood.dark, shade=0, angle=0.2, detail=0.7)


COMPOSE = {"circles": _circles, "bars": _bars, "stack": _stack, "signs": _signs, "waves": _waves, "forms": _forms}
