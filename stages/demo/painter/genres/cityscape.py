"""Cityscapes: house fronts, streets in perspective, skylines over water.

In: a mood and the picture's shape. Out: a scene.
"""

from itertools import pairwise

import numpy as np

from stages.demo.painter.artists import Mood
from stages.demo.painter.colours import darker, jittered, lighter, mix
from stages.demo.painter.genres.houses import add_front, add_receding_house, add_row
from stages.demo.painter.genres.things import add_cloud, add_sail, add_sky, add_tree
from stages.demo.painter.scene import Scene
from stages.demo.painter.shapes import ellipse, rectangle, ribbon, smoothed

COMPOSITIONS = ("street", "fronts", "waterfront", "boulevard", "rooftops")
ASPECTS = (0.72, 1.7)


def cityscape(rng: np.random.Generator, mood: Mood, aspect: float) -> Scene:
    """Compose a cityscape."""
    scene = Scene(aspect, mood.light_rad)
    add_sky(rng, scene, mood, 0.75)
    COMPOSE[mood.composition(rng, "cityscape", COMPOSITIONS)](rng, scene, mood)
    return scene


def _add_skyline(rng: np.random.Generator, scene: Scene, mood: Mood, base: float, height: float) -> None:
    """Far blocks, a dome, a steeple: one flat tone in the haze."""
    haze = mix(mix(mood.sky[1], mood.sky[0], 0.5), mood.dark, 0.45 if mood.night else 0.22)
    left = -0.05
    while left < scene.aspect:
        wide, tall = rng.uniform(0.04, 0.13), height * rng.uniform(0.3, 1.0)
        tone = jittered(rng, haze, 0.02)
        scene.add(rectangle(left, base - tall, left + wide, base), tone, shade=0.06, angle=1.5, detail=0.3)
        if rng.random() < 0.25:
            scene.add(
                ellipse(left + wide / 2, base - tall, wide * 0.4, wide * 0.5), tone, shade=0.08, angle=None, detail=0.4
            )
        elif rng.random() < 0.3:
            tip = np.array(
                [
                    (left + wide * 0.3, base - tall),
                    (left + wide * 0.5, base - tall * 1.6),
                    (left + wide * 0.7, base - tall),
                ]
            )
            scene.add(tip, tone, shade=0.06, angle=1.5, detail=0.4)
        left += wide * rng.uniform(0.7, 1.1)


def _add_people(rng: np.random.Generator, scene: Scene, mood: Mood, top: float, bottom: float, count: int) -> None:
    for depth in np.sort(rng.random(count)):
        x, y, tall = rng.uniform(0.1, 0.9) * scene.aspect, top + (bottom - top) * depth, 0.05 + 0.09 * depth
        coat = mix(mood.accent(rng), mood.dark, rng.uniform(0.2, 0.8))
        scene.add(ellipse(x + tall * 0.2, y, tall * 0.35, tall * 0.06), mood.dark, shade=0, opacity=0.4, soft=0.004)
        scene.add(
            smoothed(
                [
                    (x - tall * 0.1, y - tall * 0.8),
                    (x + tall * 0.1, y - tall * 0.8),
                    (x + tall * 0.17, y),
                    (x - tall * 0.17, y),
                ],
                1,
            ),
            coat,
            shade=0.15,
            angle=1.5,
            detail=0.9,
        )
        scene.add(
            ellipse(x, y - tall * 0.88, tall * 0.08, tall * 0.1, points=12),
            mix(mood.light, mood.accents[0], 0.3),
            shade=0.15,
            detail=1.0,
        )


def _add_lamp(scene: Scene, mood: Mood, x: float, base: float, tall: float) -> None:
    scene.add(ribbon([(x, base), (x, base - tall)], tall * 0.035), mood.dark, shade=0.05, angle=1.5, detail=0.8)
    if mood.night:
        scene.add(ellipse(x, base - tall, tall * 0.5, tall * 0.5), mood.light, shade=0, opacity=0.5, soft=tall * 0.16)
    scene.add(ellipse(x, base - tall, tall * 0.055, tall * 0.07, points=14), mood.light, shade=0.05, detail=0.9)


def _add_street(rng: np.random.Generator, scene: Scene, mood: Mood, top: float) -> None:
    stone = mix(mix(mood.land[2], mood.wall, 0.5), mood.dark, 0.55 if mood.night else 0.12)
    scene.add(rectangle(-0.1, top, scene.aspect + 0.1, 1.1), stone, to=darker(stone, 0.25), angle=0.0, detail=0.2)
    for depth in rng.uniform(0.1, 1, rng.integers(3, 9)):
        streak = ellipse(rng.uniform(0, 1) * scene.aspect, top + (1 - top) * depth, 0.2 * depth, 0.006, points=14)
        scene.add(streak, lighter(stone, 0.3), shade=0.05, detail=0.3, opacity=0.6)


def _fronts(rng: np.random.Generator, scene: Scene, mood: Mood) -> None:
    base = rng.uniform(0.78, 0.88)
    add_row(rng, scene, mood, base, 0.2, 0.45)
    _add_street(rng, scene, mood, base)
    _add_people(rng, scene, mood, base + 0.02, 1.0, int(rng.integers(2, 8)))
    for x in rng.uniform(0.1, 0.9, rng.integers(0, 3)) * scene.aspect:
        _add_lamp(scene, mood, x, base + 0.05, rng.uniform(0.25, 0.33))


def _waterfront(rng: np.random.Generator, scene: Scene, mood: Mood) -> None:
    """Houses along a quay and their broken reflection."""
    quay = rng.uniform(0.58, 0.68)
    _add_skyline(rng, scene, mood, quay, 0.3)
    add_row(rng, scene, mood, quay, 0.24, 0.44)
    surface = mix(mood.water, mood.dark, 0.55 if mood.night else 0.0)
    scene.add(
        rectangle(-0.1, quay, scene.aspect + 0.1, 1.1),
        mix(surface, mood.sky[1], 0.2),
        to=darker(surface, 0.3),
        detail=0.2,
    )
    scene.add(
        rectangle(-0.1, quay - 0.005, scene.aspect + 0.1, quay + 0.03),
        mix(mood.land[2], mood.dark, 0.4),
        shade=0.1,
        detail=0.4,
    )
    fronts = [
        shape for shape in scene.shapes if np.ptp(shape.outline[:, 1]) > 0.12 and np.ptp(shape.outline[:, 0]) < 0.35
    ]
    for depth in np.sort(rng.random(46)):
        source = fronts[rng.integers(len(fronts))] if fronts and rng.random() < 0.75 else None
        x = source.outline[:, 0].mean() if source else rng.uniform(0, scene.aspect)
        colour = mix(source.colour, surface, 0.35) if source else mix(mood.light, surface, 0.4)
        y = quay + 0.05 + (0.95 - quay) * depth
        scene.add(
            ellipse(x + rng.normal(0, 0.03), y, 0.03 + 0.08 * rng.random(), 0.004 + 0.007 * depth, points=14),
            colour,
            shade=0.04,
            detail=0.5,
            opacity=0.8,
        )
    for _ in range(rng.integers(0, 3)):
        add_sail(rng, scene, mood, rng.uniform(0.1, 0.9) * scene.aspect, rng.uniform(quay + 0.1, 0.92), 0.16)


def _street(rng: np.random.Generator, scene: Scene, mood: Mood) -> None:
    """A street that runs to a vanishing point between two rows of houses."""
    vanish = np.array([scene.aspect * rng.uniform(0.38, 0.62), rng.uniform(0.58, 0.68)])
    _add_skyline(rng, scene, mood, vanish[1] + 0.01, 0.22)
    _add_street(rng, scene, mood, vanish[1])
    for side in (-1, 1):
        start = np.array([-0.02 if side < 0 else scene.aspect + 0.02, 0.0])
        cuts = np.concatenate([[1.0], np.cumprod(rng.uniform(0.62, 0.78, 5))])
        houses = list(pairwise(cuts))[::-1]
        for near, far in houses:
            add_receding_house(rng, scene, mood, vanish, start[0], near, far, rng.uniform(-0.15, 0.2))
    _add_people(rng, scene, mood, vanish[1] + 0.06, 0.98, int(rng.integers(2, 7)))
    _add_lamp(scene, mood, vanish[0] + rng.choice([-0.2, 0.2]) * scene.aspect, vanish[1] + 0.2, 0.3)


def _boulevard(rng: np.random.Generator, scene: Scene, mood: Mood) -> None:
    """House fronts behind a row of trees, people on the promenade."""
    base = rng.uniform(0.7, 0.78)
    add_row(rng, scene, mood, base, 0.22, 0.36)
    _add_street(rng, scene, mood, base)
    count = int(rng.integers(3, 6))
    for i in range(count):
        add_tree(
            rng,
            scene,
            mood,
            scene.aspect * (i + rng.uniform(0.3, 0.7)) / count,
            base + 0.06,
            rng.uniform(0.36, 0.5),
            kind="round",
        )
    _add_people(rng, scene, mood, base + 0.06, 1.0, int(rng.integers(5, 13)))


def _rooftops(rng: np.random.Generator, scene: Scene, mood: Mood) -> None:
    """A town on a slope: gables above gables."""
    _add_skyline(rng, scene, mood, 0.5, 0.28)
    for level in np.linspace(0.55, 1.15, int(rng.integers(4, 6))):
        left, scale = -rng.uniform(0, 0.15), 0.6 + 0.5 * level
        while left < scene.aspect:
            right = left + rng.uniform(0.1, 0.22) * scale
            add_front(rng, scene, mood, left, right, level - rng.uniform(0.12, 0.2) * scale, level + 0.1)
            left = right + rng.uniform(-0.02, 0.04)
    if rng.random() < 0.4:
        add_cloud(rng, scene, mood, rng.uniform(0, scene.aspect), 0.12, 0.12)


COMPOSE = {
    "street": _street,
    "fronts": _fronts,
    "waterfront": _waterfront,
    "boulevard": _boulevard,
    "rooftops": _rooftops,
}
