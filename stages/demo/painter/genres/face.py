"""The head of a portrait: face, hair, beard.

In: a scene and the sitter. Out: more shapes in the scene.
The head's own frame has its centre at (0, 0), its chin at y = 1 and its temples at x = ±0.74.
"""

from dataclasses import dataclass

import numpy as np

from stages.demo.painter.artists import Mood
from stages.demo.painter.colours import darker, from_hex, lighter, mix
from stages.demo.painter.scene import Scene
from stages.demo.painter.shapes import ellipse, ribbon, smoothed


@dataclass(frozen=True)
class Sitter:
    """Who sits: frame of the head and what is particular to the face."""

    x: float
    y: float
    size: float
    turn: float
    skin: np.ndarray
    hair: np.ndarray
    shade_side: float

    def place(self, points: object) -> np.ndarray:
        """From the head's frame to the picture's."""
        return np.asarray(points, dtype=float) * self.size + (self.x, self.y)

    def face(self, points: object) -> np.ndarray:
        """As `place`, for features that move sideways as the head turns."""
        return self.place(np.asarray(points, dtype=float) * (1 - 0.15 * abs(self.turn), 1) + (0.4 * self.turn, 0))


def _head_outline(grow: float = 1.0) -> np.ndarray:
    """An egg: full at the temples, narrow at the chin."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    y = -np.cos(angle)
    x = np.sin(angle) * 0.74 * np.where(y > 0, 1 - 0.3 * y**2, 1)
    return np.stack([x, y], axis=1) * grow


def add_head(rng: np.random.Generator, scene: Scene, mood: Mood, sitter: Sitter) -> None:
    skin = sitter.skin
    for side in (-1, 1):
        if side * sitter.turn < 0.2:
            ear = ellipse(0.75 * side, 0.1, 0.11, 0.22)
            scene.add_solid(sitter.place(ear), darker(skin, 0.08), shade=0.2, angle=1.5, detail=0.6)
    head = _head_outline()
    scene.add_solid(sitter.place(head), skin, shade=0.16, angle=None, detail=0.5)
    inner = head * (0.35, 1) + (0.12 * sitter.shade_side, 0)
    side = np.sign(head[:, 0]) == sitter.shade_side
    crescent = np.concatenate([head[side], inner[side][::-1]])
    scene.add(
        sitter.place(crescent),
        darker(mix(skin, mood.accents[0], 0.15), 0.35),
        shade=0,
        opacity=0.42,
        soft=sitter.size * 0.06,
    )
    for cheek in (-0.4, 0.4):
        scene.add(
            sitter.face(ellipse(cheek, 0.3, 0.17, 0.13)),
            mix(skin, from_hex("d0503f"), 0.6),
            shade=0,
            opacity=0.4,
            soft=sitter.size * 0.06,
        )


def add_features(rng: np.random.Generator, scene: Scene, mood: Mood, sitter: Sitter) -> None:
    """Eyes, brows, nose, mouth."""
    skin, shadow = sitter.skin, darker(sitter.skin, 0.42)
    iris = (darker(mood.water, 0.2), from_hex("4a2f1c"), from_hex("4d6a3c"), mood.dark)[rng.integers(4)]
    gaze, opening, tilt = rng.uniform(-0.04, 0.04), rng.uniform(0.065, 0.105), rng.uniform(-0.05, 0.06)
    for side in (-1, 1):
        x = 0.33 * side
        scene.add(sitter.face(ellipse(x, -0.06, 0.2, 0.14)), shadow, shade=0, opacity=0.35, soft=sitter.size * 0.04)
        white = smoothed(
            [
                (x - 0.18, 0.0),
                (x - 0.06, -opening),
                (x + 0.08, -opening),
                (x + 0.18, 0.0),
                (x + 0.06, opening * 0.8),
                (x - 0.08, opening * 0.8),
            ],
            1,
        )
        scene.add(sitter.face(white), mix(mood.light, skin, 0.25), shade=0.05, detail=1.0)
        scene.add(
            sitter.face(ellipse(x + gaze, -0.01, 0.082, min(0.085, opening * 1.05), points=16)),
            iris,
            shade=0.1,
            angle=None,
            detail=1.0,
        )
        scene.add(sitter.face(ellipse(x + gaze, -0.01, 0.04, 0.045, points=10)), darker(iris, 0.8), shade=0, detail=1.0)
        scene.add(sitter.face(ellipse(x + gaze + 0.03, -0.04, 0.02, 0.02, points=8)), mood.light, shade=0, detail=1.0)
        lid = [(x - 0.2, 0.01), (x - 0.07, -opening), (x + 0.08, -opening), (x + 0.2, 0.01)]
        scene.add(sitter.face(ribbon(lid, [0.015, 0.045, 0.045, 0.015])), darker(sitter.hair, 0.4), shade=0, detail=1.0)
        brow = [(x - 0.2 * side, -0.2 + tilt), (x, -0.27), (x + 0.22 * side, -0.19)]
        scene.add(sitter.face(ribbon(brow, [0.055, 0.05, 0.015])), darker(sitter.hair, 0.1), shade=0.05, detail=0.9)
    lead = sitter.shade_side
    nose = smoothed(
        [(0.03 * lead, -0.12), (0.13 * lead, 0.34), (0.15 * lead, 0.42), (-0.02 * lead, 0.44), (0.01 * lead, 0.2)], 1
    )
    scene.add(sitter.face(nose), shadow, shade=0.05, angle=1.4, detail=0.8, opacity=0.6)
    scene.add(
        sitter.face(ellipse(-0.02 * lead, 0.35, 0.05, 0.06)),
        lighter(skin, 0.4),
        shade=0,
        opacity=0.5,
        soft=sitter.size * 0.02,
    )
    _add_mouth(rng, scene, sitter)


def _add_mouth(rng: np.random.Generator, scene: Scene, sitter: Sitter) -> None:
    lips = mix(sitter.skin, from_hex(("b8322f", "a04438", "8c4a3e")[rng.integers(3)]), rng.uniform(0.45, 0.85))
    smile, y, wide = rng.uniform(-0.02, 0.06), 0.62, rng.uniform(0.2, 0.27)
    upper = [
        (-wide, y - smile),
        (-0.07, y - 0.065),
        (0, y - 0.045),
        (0.07, y - 0.065),
        (wide, y - smile),
        (0, y + 0.015),
    ]
    lower = smoothed([(-wide, y - smile), (0, y + 0.01), (wide, y - smile), (0.12, y + 0.1), (-0.12, y + 0.1)], 1)
    scene.add(sitter.face(lower), lips, shade=0.1, detail=0.9)
    scene.add(sitter.face(upper), darker(lips, 0.25), shade=0.05, detail=0.9)
    scene.add(
        sitter.face(ellipse(0, y + 0.17, 0.15, 0.04)),
        darker(sitter.skin, 0.4),
        shade=0,
        opacity=0.4,
        soft=sitter.size * 0.03,
    )


def add_front_hair(rng: np.random.Generator, scene: Scene, sitter: Sitter, long_hair: bool) -> None:
    """The cap of hair above the forehead, parted somewhere."""
    part, line = rng.uniform(-0.5, 0.5), rng.uniform(-0.62, -0.42)
    cap = _head_outline(1.1)
    cap = cap[cap[:, 1] < -0.1]
    cap = cap[np.argsort(cap[:, 0])]
    down = -0.05 if not long_hair else 0.25
    fringe = [
        (0.78, down),
        (0.62, line + 0.22),
        (0.4, line),
        (part, line - 0.12),
        (-0.4, line),
        (-0.62, line + 0.22),
        (-0.78, down),
    ]
    scene.add_solid(sitter.place(np.concatenate([cap, fringe])), sitter.hair, shade=0.22, angle=0.9, detail=0.45)
    for _ in range(5):
        x = rng.uniform(-0.6, 0.6)
        lock = [(part + (x - part) * 0.3, -1.05), (x, -0.85), (x * 1.15, line - 0.02)]
        scene.add(
            sitter.place(ribbon(lock, [0.02, 0.07, 0.01])),
            lighter(sitter.hair, 0.18),
            shade=0.05,
            angle=1.2,
            detail=0.5,
            opacity=0.6,
        )


def add_beard(rng: np.random.Generator, scene: Scene, sitter: Sitter) -> None:
    drop = rng.uniform(1.1, 1.6)
    outline = smoothed(
        [
            (-0.73, 0.1),
            (-0.5, 0.5),
            (-0.24, 0.5),
            (0, 0.56),
            (0.24, 0.5),
            (0.5, 0.5),
            (0.73, 0.1),
            (0.66, 0.75),
            (0.3, drop),
            (-0.3, drop),
            (-0.66, 0.75),
        ]
    )
    scene.add_solid(sitter.place(outline), darker(sitter.hair, 0.05), shade=0.2, angle=1.5, detail=0.5)
    scene.add(
        sitter.face(ellipse(0, 0.66, 0.15, 0.04)), mix(sitter.skin, from_hex("a04438"), 0.6), shade=0.05, detail=0.9
    )
