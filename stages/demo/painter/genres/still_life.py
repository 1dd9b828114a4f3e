"""Still lifes: vessels, fruit, flowers and books on a table before a wall.

In: a mood and the picture's shape. Out: a scene.
"""

import numpy as np

from stages.demo.painter.artists import Mood
from stages.demo.painter.colours import darker, from_hex, lighter, mix
from stages.demo.painter.genres.tableware import (
    add_books,
    add_bottle,
    add_bowl,
    add_cup,
    add_fruit,
    add_grapes,
    add_jug,
    add_loaf,
    add_vase,
)
from stages.demo.painter.scene import Scene
from stages.demo.painter.shapes import ellipse, rectangle, ribbon

COMPOSITIONS = ("fruit", "bottles", "flowers", "breakfast", "mixed", "mixed")
ASPECTS = (0.8, 1.45)


def still_life(rng: np.random.Generator, mood: Mood, aspect: float) -> Scene:
    """Compose a still life: the tall things stand behind, the small ones before."""
    scene = Scene(aspect, mood.light_rad)
    kind = mood.composition(rng, "still_life", COMPOSITIONS)
    edge = rng.uniform(0.5, 0.64)
    _add_room(rng, scene, mood, edge)
    if rng.random() < 0.6:
        _add_cloth(rng, scene, mood, edge)
    back = {"bottles": [add_bottle, add_jug, add_bottle, add_bottle], "flowers": [add_vase]}.get(
        kind, [add_bottle, add_jug, add_vase]
    )
    front = {
        "fruit": [add_bowl, add_fruit, add_fruit, add_fruit, add_grapes],
        "bottles": [add_cup, add_fruit, add_books],
        "flowers": [add_fruit, add_books, add_cup, add_fruit],
        "breakfast": [add_cup, add_loaf, add_fruit, add_jug, add_cup],
    }.get(kind, [add_bowl, add_fruit, add_cup, add_loaf, add_grapes, add_books])
    counts = {"flowers": (1, 2), "bottles": (2, 5), "fruit": (0, 2)}.get(kind, (1, 3))
    _set_out(rng, scene, mood, back, edge + 0.08, int(rng.integers(*counts)), 1.15)
    _set_out(rng, scene, mood, front, edge + 0.17, int(rng.integers(1, 4)) + (scene.aspect > 1.1), 1.0)
    _set_out(
        rng,
        scene,
        mood,
        [add_fruit, add_fruit, *front],
        edge + 0.28,
        int(rng.integers(1, 4)) + (scene.aspect > 1.1),
        0.95,
    )
    return scene


def _set_out(
    rng: np.random.Generator, scene: Scene, mood: Mood, kinds: list, y: float, count: int, scale: float
) -> None:
    """Put things side by side in a row, with uneven gaps."""
    places = (np.arange(count) + rng.uniform(0.3, 0.7, count)) / max(count, 1)
    size = 0.3 * scale * min(1.0, scene.aspect)
    for place in rng.permutation(places):
        x = scene.aspect * (0.14 + 0.72 * place)
        kinds[rng.integers(len(kinds))](rng, scene, mood, x, y + rng.normal(0, 0.02), size * rng.uniform(0.85, 1.15))


def _add_room(rng: np.random.Generator, scene: Scene, mood: Mood, edge: float) -> None:
    wide = scene.aspect + 0.1
    wall = mix(mood.wall, mood.dark, 0.45 if mood.night else rng.uniform(0, 0.3))
    scene.add(
        rectangle(-0.1, -0.1, wide, edge + 0.02),
        lighter(wall, 0.18),
        to=darker(wall, 0.28),
        gradient=scene.light + np.pi,
        angle=rng.uniform(0, 3),
        detail=0.05,
    )
    if rng.random() < 0.3:
        colour, left = mix(mood.accent(rng), wall, 0.4), rng.uniform(0, 0.7) * scene.aspect
        scene.add(
            rectangle(left, rng.uniform(-0.1, 0.2), left + rng.uniform(0.2, 0.5), edge), colour, shade=0.15, detail=0.1
        )
    scene.add(ellipse(scene.aspect * 0.5, edge - 0.15, 0.3, 0.25), lighter(wall, 0.5), shade=0, opacity=0.3, soft=0.1)
    wood = mix(mix(mood.land[2], from_hex("8a5a34"), 0.5), mood.accent(rng), 0.2)
    scene.add(rectangle(-0.1, edge, wide, 0.955), lighter(wood, 0.1), to=darker(wood, 0.12), angle=0.03, detail=0.15)
    scene.add(rectangle(-0.1, 0.94, wide, 1.1), darker(wood, 0.5), shade=0.1, detail=0.15)


def _add_cloth(rng: np.random.Generator, scene: Scene, mood: Mood, edge: float) -> None:
    """A cloth that lies on the table and hangs over its edge in folds."""
    colour = mix(mood.light, mood.accent(rng), rng.choice([0.08, 0.25, 0.85]))
    left, right = np.sort(rng.uniform(-0.1, 1.1, 2)) * scene.aspect
    right = max(right, left + 0.5)
    skew = rng.normal(0, 0.08)
    hem = np.stack([np.linspace(right, left, 14), 1.0 + 0.03 * np.sin(np.linspace(0, 14, 14))], axis=1)
    scene.add(
        np.concatenate([[(left + skew, edge + 0.03), (right + skew, edge + 0.02)], hem]),
        colour,
        shade=0.1,
        gradient=scene.light + np.pi,
        angle=0.2,
        detail=0.2,
    )
    for x in rng.uniform(left, right, rng.integers(3, 8)):
        fold = [(x + skew * 0.5, rng.uniform(edge + 0.1, 0.85)), (x + 0.02, 0.93), (x + rng.normal(0, 0.03), 1.03)]
        scene.add(
            ribbon(fold, [0.002, 0.02, 0.05]), darker(colour, 0.35), shade=0.1, angle=1.4, detail=0.3, opacity=0.5
        )
    if rng.random() < 0.4:
        stripe = mood.accent(rng)
        for y in np.linspace(edge + 0.08, 0.9, 5):
            scene.add(
                ribbon([(left + skew * 0.8, y), (right + skew * 0.8, y + 0.005)], 0.012),
                stripe,
                shade=0.05,
                detail=0.4,
                opacity=0.8,
            )
